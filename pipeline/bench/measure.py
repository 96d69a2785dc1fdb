"""Measure one row of ``bench``: make its clip, separate it in its own process, judge its layers."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.bench.clips import KnownClip, Picture, layer_frames
from pipeline.bench.rows import BenchRow
from pipeline.runtime.child_process import PROGRAM, Child
from pipeline.runtime.run_record import MANIFEST, read_json
from pipeline.task import BenchClip
from pipeline.tasks import find_task
from stages.errors import UsageError
from stages.media.read import open_clip
from stages.mixing.psnr import psnr_of
from stages.optim.threads import map_in_threads, workers

POLL_SECONDS = 0.1
"""Seconds between two looks at a run."""

MOST_DECIBELS = 60.0
"""PSNR that counts for a nearly perfect layer, so that it does not outweigh all others."""


def clip_of(task: str) -> BenchClip:
    """Return the clip that ``task`` is measured on. Raises UsageError where it has none."""
    clip = find_task(task).bench
    if clip is None:
        raise UsageError(f"--task {task}: bench has no clip for this task; choose another one")
    return clip


def measure(
    row: BenchRow,
    seed: int,
    seconds_left: float,
) -> BenchRow:
    """Make the row's clip, separate it and judge its layers; return the row with its figures.

    seconds_left: what the run may take; after that it is stopped.
    """
    clip: KnownClip = clip_of(row.task).make(row.height, row.frames)
    threads = torch.get_num_threads()
    began, cpu_before = time.monotonic(), child_cpu_seconds()
    with tempfile.TemporaryDirectory(prefix="unlayer-bench-") as folder:
        source = clip.write(Path(folder, "clip"))
        out = Path(folder, "out")
        child = Child(_command(row, seed, source, out, clip), threads)
        try:
            while (status := child.status()) is None:
                if time.monotonic() - began > seconds_left:
                    note = f"not done after {child.seconds():.0f} s, the end of the budget"
                    return replace(row, state="stopped", note=note)
                for _ in child.events():
                    pass
                time.sleep(POLL_SECONDS)
        finally:
            child.signal(signal.SIGTERM)
            child.wait()
        if status:
            return replace(row, state="failed", note=child.failure_reason(status))
        cpu_seconds = child_cpu_seconds() - cpu_before
        held, reached = judge(clip, out)
        report = (read_json(out / MANIFEST) or {})["report"]
        assert isinstance(report, dict)
        return replace(
            row,
            threads=report["threads"],
            seconds=report["seconds"],
            cpu_seconds=round(cpu_seconds, 2),
            held=round(held, 3),
            reached=round(reached, 3),
            memory=report["peak_memory"] or 0,
            stages=report["stages"],
        )


def _command(row: BenchRow, seed: int, source: Path, out: Path, clip: KnownClip) -> list[str]:
    """Return the command line of the row's run."""
    words = [*PROGRAM, "run", str(source), "--task", row.task]
    words += ["--preset", row.preset, "--device", row.device, "--seed", str(seed)]
    return [*words, "--out", str(out), "--lossless", "--json", *clip.options]


def judge(clip: KnownClip, out: Path) -> tuple[float, float]:
    """Return the mean PSNR in dB of the judged layers: of the plain method, and of a run.

    out: the folder of the finished run.
    """
    manifest = read_json(out / MANIFEST) or {}
    layers = manifest["layers"]
    assert isinstance(layers, list)
    by_name = {name: layer for layer in layers for name in (layer["role"], layer["name"])}
    first, last = clip.judged
    frame_figures: list[list[tuple[float, float]]] = []
    with ExitStack() as files:
        readers = {
            role: files.enter_context(closing(_LayerReader(out, by_name.get(role))))
            for role in clip.truth(first)
        }
        for begin in range(first, last + 1, workers()):
            part = range(begin, min(last + 1, begin + workers()))
            jobs = [
                (index, {role: reader.at(index) for role, reader in readers.items()})
                for index in part
            ]
            frame_figures += map_in_threads(lambda job: _judged_frame(clip, *job), jobs)
    # Layer by layer, not frame by frame: the last digits of a mean depend on the order.
    figures = np.array(frame_figures).transpose(1, 0, 2).reshape(-1, 2)
    held, reached = figures.T
    return float(held.mean()), float(reached.mean())


def _judged_frame(
    clip: KnownClip, index: int, pictures: Mapping[str, Picture | None]
) -> list[tuple[float, float]]:
    """Return the PSNR of each judged layer in a frame: of the plain method, and of a run."""
    truth = clip.truth(index)
    plain = clip.baseline(index)
    figures = []
    for role, picture in pictures.items():
        # Where the search found no mixture, the layer is the input itself.
        shown = clip.mixed(index) if picture is None else picture
        figures.append((psnr(plain[role], truth[role]), psnr(shown, truth[role])))
    return figures


class _LayerReader:
    """Reads the pictures of a layer one after another.

    A still layer is one picture, under its first frame. Without a layer there are none.
    """

    def __init__(self, out: Path, layer: Mapping[str, Any] | None) -> None:
        self._numbers = range(0)
        self._read = 0
        if layer is not None:
            self._numbers = range(layer["first_frame"], layer["last_frame"] + 1)
            self._frames = layer_frames(
                open_clip([out / layer["path"]], interlaced="keep").blocks()
            )

    def at(self, index: int) -> Picture | None:
        """Return the picture of a frame, if it has one. Frames are asked for in rising order."""
        picture = None
        if index in self._numbers:
            while self._numbers[0] + self._read <= index:
                picture = next(self._frames, None)
                self._read += 1
        return picture

    def close(self) -> None:
        """Close the file."""
        if self._numbers:
            self._frames.close()


def psnr(picture: Picture, truth: Picture) -> float:
    """Return the PSNR of a picture ``(H, W, 3)`` in dB, at most :data:`MOST_DECIBELS`."""
    error = float(((picture.clip(0, 1) - truth) ** 2).mean())
    return psnr_of(error, MOST_DECIBELS)


def child_cpu_seconds() -> float:
    """Return the processor time of this process's children that have ended; 0 on Windows."""
    try:
        import resource
    except ImportError:
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
