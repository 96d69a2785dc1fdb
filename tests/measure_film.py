"""Measure what film costs in seconds of the processor.

    python tests/measure_film.py [--height 720] [--frames 300] [--mixed 24] [--preset fast]

It makes an H.264 clip with one dissolve, takes it apart in a process of its own on one thread, and
reads from the manifest what a clean and a mixed frame took. Stages are timed by the clock and then
scaled so that they add up to what the process computed: other work on the machine does not count.
The figures in ``docs/cluster.md`` come from here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from pipeline.bench.clips import RATE, Scene, width_of
from pipeline.bench.measure import child_cpu_seconds
from pipeline.runtime.child_process import Child
from stages.media.clip import ClipInfo, Frames
from stages.media.write import LayerWriter

APART = ("plan", "motion", "networks", "sweeps", "ties", "finish", "separate")
"""The stages that only mixed frames need; the others are for every frame."""
HOURS = 1000.0
"""Hours of film for which the total is printed."""
TRANSITIONS = 30.0
"""Gradual transitions in an hour of film: an assumption."""


def film(path: Path, height: int, count: int, mixed: int) -> Path:
    """Write a clip of ``count`` frames with a linear dissolve of ``mixed`` in its middle, in H.264.

    height: of its pictures, in pixels. Returns the file's path.
    """
    scenes, first = (Scene(1, height), Scene(2, height)), (count - mixed) // 2
    info = ClipInfo(path, width_of(height), height, count, RATE, 1 / RATE)
    with LayerWriter(path, info) as writer:
        for index in range(count):
            share = min(1.0, max(0.0, (index - first + 1) / (mixed + 1)))
            picture = sum(
                part * scene.frame(index)
                for part, scene in zip((1 - share, share), scenes, strict=True)
                if part
            )
            writer.write(
                Frames(
                    torch.as_tensor(picture).permute(2, 0, 1)[None].float(), (index / RATE,), index
                )
            )
    return writer.path


def measured(clip: Path, out: Path, preset: str) -> tuple[dict[str, object], float]:
    """Return the manifest of a run on one thread, and the seconds that its process computed."""
    spent = child_cpu_seconds()
    words = [
        "run",
        str(clip),
        "--task",
        "transition",
        "--preset",
        preset,
        "--out",
        str(out),
        "--json",
    ]
    child = Child([sys.executable, "-m", "pipeline", *words], 1)
    while (status := child.status()) is None:
        list(child.events())
        time.sleep(0.1)
    if status:
        raise SystemExit(child.failure_reason(status))
    whole: dict[str, object] = json.loads((out / "manifest.json").read_text())
    return whole, child_cpu_seconds() - spent


def main(words: Sequence[str] | None = None) -> None:
    """Print seconds a frame, and the total for a thousand hours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (("height", 720), ("frames", 300), ("mixed", 24)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--preset", default="fast")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="unlayer-film-") as room:
        clip = film(Path(room, "film"), options.height, options.frames, options.mixed)
        whole, spent = measured(clip, Path(room, "out"), options.preset)
        report, moves = whole["report"], whole["transitions"]
    assert isinstance(report, dict) and isinstance(moves, list)
    found = sum(move["last_frame"] - move["first_frame"] + 1 for move in moves)
    stages = {
        name: seconds * spent / sum(report["stages"].values())
        for name, seconds in report["stages"].items()
    }
    fit = sum(seconds for name, seconds in stages.items() if name in APART)
    clean, mixed = (spent - fit) / options.frames, fit / max(1, found)
    size = f"{width_of(options.height)}x{options.height}"
    print(
        f"{size}, {options.frames} frames, {found} mixed ones found, {options.preset}, "
        f"one thread of {os.cpu_count()}",
        flush=True,
    )
    print(
        "seconds of the processor:",
        ", ".join(f"{name} {seconds:.1f}" for name, seconds in stages.items()),
        f"; {spent:.1f} in all",
    )
    print(
        f"{clean:.4f} s for every frame, {mixed:.3f} s more for a mixed one; "
        f"{report['peak_memory'] / 2**20:.0f} MiB"
    )
    frames = HOURS * 3600 * 25
    for_mixed = HOURS * TRANSITIONS * options.mixed * mixed
    total = frames * clean + for_mixed
    print(
        f"{HOURS:.0f} h at 25 frames/s, {TRANSITIONS:.0f} transitions an hour: "
        f"{total / 3600:,.0f} core hours"
    )
    print(
        f"of which {frames * clean / 3600:,.0f} for every frame, "
        f"{for_mixed / 3600:,.0f} for mixed ones"
    )


if __name__ == "__main__":
    main()
