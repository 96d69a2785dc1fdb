"""``bench``: what taking clips apart costs here, from small to large: seconds, decibels a second, memory, and how they grow.

The clips are made on the spot with layers that are known (:mod:`pipeline.bench.clips`). Each row is one ``run`` in a process of its own,
so that the peak of its memory is its own.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Column, Table

from pipeline.bench.clips import Known, Picture, layer_frames, width_of
from pipeline.run.opening import pick_device
from pipeline.runtime.child_process import Child
from pipeline.runtime.progress import tell
from pipeline.runtime.run_record import MANIFEST, read_json
from pipeline.settings import Settings
from pipeline.task import BenchClip
from pipeline.tasks import DEFAULT_TASK, find_task
from stages.errors import UnlayerError, UsageError
from stages.media.read import open_clip
from stages.media.sniff import printable

HEIGHTS = (144, 240, 360, 540, 720, 1080)
FRAMES = (20, 60, 200)
BUDGET = 600.0
"""Seconds for all rows unless ``--max-seconds`` says otherwise."""
GUESS = 0.9  # power of the values with which seconds grow while too few rows are known
SURE = 1.2  # by how much a row may be dearer than foreseen and still be begun
LOOK = 0.1  # seconds between two looks at a run


@dataclass(frozen=True)
class Row:
    """One clip taken apart. state: ``measured``, ``skipped``, ``stopped`` or ``failed``; note: why, where it was not measured.

    seconds: of the run, from its inputs to its manifest, by the clock; cpu_seconds: of all its processors, its start with it.
    held, reached: mean PSNR of the judged layers in dB, of a plain method and of the run. memory: the run's peak in bytes.
    """

    task: str
    preset: str
    device: str
    width: int
    height: int
    frames: int
    state: str = "measured"
    note: str = ""
    threads: int = 1
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    held: float = 0.0
    reached: float = 0.0
    memory: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def gain(self) -> float:
        """Decibels above the plain method."""
        return self.reached - self.held

    @property
    def gain_per_second(self) -> float:
        """The same for each second."""
        return self.gain / max(self.seconds, 1e-9)

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """What makes two rows the same."""
        return self.task, self.preset, self.device, self.height, self.frames


FIGURES: dict[str, Callable[[Row], float]] = {
    "seconds": lambda row: row.seconds,
    "processor seconds": lambda row: row.cpu_seconds,
    "memory": lambda row: row.memory,
}
"""What grows."""


def bench(settings: Settings) -> int:
    """Measures all rows that fit in the budget and prints them. Returns 0, or 1 where a run failed."""
    task = settings.task or DEFAULT_TASK
    clip = bench_clip(task)
    least = min(settings.frames or FRAMES)
    if least < clip.least_frames:
        raise UsageError(f"--frames {least}: {clip.reason}")
    device = str(pick_device(settings.device))
    budget, began = settings.max_seconds or BUDGET, time.monotonic()
    known = read_rows(settings.rows) if settings.rows else []
    board = _BenchDisplay(settings.json)
    rows: list[Row] = []
    # The cheapest first: what does not fit is what is dearest.
    wanted = sorted(
        (
            (height, frames)
            for height in settings.sizes or HEIGHTS
            for frames in settings.frames or FRAMES
        ),
        key=math.prod,
    )
    for height, frames in wanted:
        row = Row(task, settings.preset, device, width_of(height), height, frames)
        before = [
            other
            for other in [*known, *rows]
            if other.state == "measured" and other.key[:3] == row.key[:3]
        ]
        found = next((other for other in before if other.key == row.key), None)
        if found is None:
            left = budget - (time.monotonic() - began)
            need = foreseen(row, before)
            if left <= 0 or (before and need * SURE > left):
                found = _not_measured(
                    row,
                    "skipped",
                    f"about {need:.0f} s, of the budget {max(0.0, left):.0f} s are left",
                )
            else:
                found = measure(row, settings.seed, left)
            if settings.rows and found.state == "measured":
                with settings.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(found)) + "\n")
        rows.append(found)
        board.add(found)
    board.close(rows)
    if settings.table:
        settings.table.write_text(markdown(rows), encoding="utf-8")
    return 1 if any(row.state == "failed" for row in rows) else 0


def bench_clip(task: str) -> BenchClip:
    """Return the clip that ``task`` is measured on. Raises UsageError where it has none."""
    clip = find_task(task).bench
    if clip is None:
        raise UsageError(f"--task {task}: bench has no clip for this task; choose another one")
    return clip


def measure(row: Row, seed: int, left: float) -> Row:
    """Makes the row's clip, takes it apart in a process of its own that may take ``left`` seconds, and judges its layers."""
    clip: Known = bench_clip(row.task).make(row.height, row.frames)
    threads = torch.get_num_threads()
    began, spent = time.monotonic(), _cpu()
    with tempfile.TemporaryDirectory(prefix="unlayer-bench-") as room:
        source = clip.write(Path(room, "clip"))
        words = [
            "run",
            str(source),
            "--task",
            row.task,
            "--preset",
            row.preset,
            "--device",
            row.device,
            "--seed",
            str(seed),
        ]
        child = Child(
            [
                sys.executable,
                "-m",
                "pipeline",
                *words,
                "--out",
                f"{room}/out",
                "--lossless",
                "--json",
                *clip.options,
            ],
            threads,
        )
        try:
            while (status := child.status()) is None:
                if time.monotonic() - began > left:
                    return _not_measured(
                        row,
                        "stopped",
                        f"not done after {child.seconds():.0f} s, the end of the budget",
                    )
                for _ in child.events():
                    pass
                time.sleep(LOOK)
        finally:
            child.signal(signal.SIGTERM)
            child.wait()
        if status:
            return _not_measured(row, "failed", child.complaint(status))
        spent = _cpu() - spent
        held, reached = judge(clip, Path(room, "out"))
        report = (read_json(Path(room, "out", MANIFEST)) or {})["report"]
        assert isinstance(report, dict)
        figures = dict(
            seconds=report["seconds"],
            cpu_seconds=round(spent, 2),
            memory=report["peak_memory"] or 0,
            stages=report["stages"],
        )
        return Row(
            **{
                **asdict(row),
                **figures,
                "threads": report["threads"],
                "held": round(held, 3),
                "reached": round(reached, 3),
            }
        )


def judge(clip: Known, out: Path) -> tuple[float, float]:
    """Mean PSNR in dB of the judged layers over the judged frames: of the clip's plain method, and of the run in the folder ``out``."""
    whole = read_json(out / MANIFEST) or {}
    first, last = clip.scored
    scores: dict[str, list[float]] = {"held": [], "reached": []}
    layers = whole["layers"]
    assert isinstance(layers, list)
    files = {name: layer for layer in layers for name in (layer["role"], layer["name"])}
    for role in clip.truth(first):
        covered = files.get(role)
        frames = (
            layer_frames(open_clip([out / covered["path"]], interlaced="keep").blocks())
            if covered
            else iter(())
        )
        # A still layer of a clip is one picture; every frame else has its own.
        drawn = (
            dict(
                zip(range(covered["first_frame"], covered["last_frame"] + 1), frames, strict=False)
            )
            if covered
            else {}
        )
        for index in range(first, last + 1):
            true = clip.truth(index)[role]
            # Where the search saw no mixture a layer is the input itself.
            scores["reached"].append(psnr(drawn.pop(index, None), true, clip.mixed(index)))
            scores["held"].append(psnr(clip.start(index)[role], true, true))
    held, reached = (float(np.mean(values)) for values in scores.values())
    return held, reached


def psnr(picture: Picture | None, truth: Picture, instead: Picture) -> float:
    """PSNR in dB of a picture, or of ``instead`` where there is none; at most 60."""
    drawn = (instead if picture is None else picture).clip(0, 1)
    return -10 * math.log10(max(1e-6, float(((drawn - truth) ** 2).mean())))


def growth(
    rows: Sequence[Row], figure: Callable[[Row], float]
) -> tuple[float, float, float] | None:
    """``(p, q, f)`` of ``figure ~ pixels^p frames^q``, by least squares in logarithms; f is the factor that rows differ from it by, in the
    mean. ``None`` where the rows do not tell: fewer than four, or all of one size or one length."""
    done = [row for row in rows if row.state == "measured" and figure(row) > 0]
    if (
        len(done) < 4
        or len({row.height for row in done}) < 2
        or len({row.frames for row in done}) < 2
    ):
        return None
    known = np.array(
        [[1.0, math.log(row.width * row.height), math.log(row.frames)] for row in done]
    )
    told = np.log([figure(row) for row in done])
    answer = np.linalg.lstsq(known, told, rcond=None)[0]
    return float(answer[1]), float(answer[2]), float(np.exp(np.abs(known @ answer - told).mean()))


def foreseen(row: Row, before: Sequence[Row]) -> float:
    """Seconds that a row will take about, its clip with it, from the measured one that is nearest to it."""
    if not before:
        return 0.0
    powers = growth(before, lambda other: other.seconds)
    by_pixels, by_frames = powers[:2] if powers else (GUESS, GUESS)

    def apart(other: Row) -> tuple[float, float]:
        return math.log(row.height * row.width / (other.height * other.width)), math.log(
            row.frames / other.frames
        )

    near = min(before, key=lambda other: sum(map(abs, apart(other))))
    pixels, frames = apart(near)
    making = (
        1.5e-7 * row.width * row.height * row.frames
    )  # drawing, writing and reading again what is judged
    return near.seconds * math.exp(by_pixels * pixels + by_frames * frames) + making


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown, and how their cost grows."""
    lines = [
        "| size | frames | seconds | processor seconds | plain method, dB | Unlayer, dB | dB a second | memory |",
        "|---" * 8 + "|",
    ]
    for row in sorted(rows, key=lambda row: (row.height, row.frames)):
        lines.append("| " + " | ".join(cells(row)) + " |")
    return "\n".join(lines) + "\n\n" + "\n".join(told(rows)) + "\n"


def cells(row: Row) -> list[str]:
    """A row's figures in words."""
    size, frames = f"{row.width}x{row.height}", str(row.frames)
    if row.state != "measured":
        return [size, frames, row.state, row.note, "", "", "", ""]
    figures = [
        f"{row.seconds:.1f}",
        f"{row.cpu_seconds:.1f}",
        f"{row.held:.1f}",
        f"{row.reached:.1f}",
        f"{row.gain_per_second:.2g}",
    ]
    return [size, frames, *figures, f"{row.memory / 2**20:.0f} MiB"]


def told(rows: Sequence[Row]) -> list[str]:
    """How the cost grows, a line a figure."""
    lines = []
    for name, figure in FIGURES.items():
        if (powers := growth(rows, figure)) is not None:
            by_pixels, by_frames, off = powers
            lines.append(
                f"{name}: pixels^{by_pixels:.2f} frames^{by_frames:.2f}, rows differ from it by a factor of {off:.2f} in the mean"
            )
    return lines or ["too few rows to say how the cost grows"]


def read_rows(path: Path) -> list[Row]:
    """The rows that a ``--rows`` file has; none where there is no file. Raises UnlayerError."""
    if not path.exists():
        return []
    names = {item.name for item in fields(Row)}
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            values = json.loads(line)
            rows.append(Row(**{name: values[name] for name in names & set(values)}))
        except (ValueError, TypeError) as error:
            raise UnlayerError(
                f"{printable(path)}: line {number} is no row of bench ({error}); give another --rows file"
            ) from error
    return rows


def _not_measured(row: Row, state: str, note: str) -> Row:
    return Row(row.task, row.preset, row.device, row.width, row.height, row.frames, state, note)


def _cpu() -> float:
    """Seconds that the processes that this one has waited for have computed."""
    try:
        import resource
    except ImportError:
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _BenchDisplay:
    """Shows rows as they come: a line on standard error, and the table at the end; or JSON lines."""

    def __init__(self, json_lines: bool) -> None:
        self.json_lines = json_lines

    def add(self, row: Row) -> None:
        if self.json_lines:
            tell(
                "row",
                **asdict(row),
                gain=round(row.gain, 3),
                gain_per_second=round(row.gain_per_second, 4),
            )
        else:
            what = (
                row.note
                if row.state != "measured"
                else f"{row.seconds:.1f} s, {row.gain:+.1f} dB, {row.memory / 2**20:.0f} MiB"
            )
            print(
                f"{row.width}x{row.height}, {row.frames} frames: {row.state}, {what}",
                file=sys.stderr,
                flush=True,
            )

    def close(self, rows: Sequence[Row]) -> None:
        if self.json_lines:
            powers = {name: growth(rows, figure) for name, figure in FIGURES.items()}
            tell(
                "growth",
                **{
                    name: found and dict(zip(("pixels", "frames", "factor"), found, strict=True))
                    for name, found in powers.items()
                },
            )
            return
        console = Console()
        # In a narrow terminal the words give way, not the sizes.
        table = Table(
            Column("size", no_wrap=True),
            "frames",
            "seconds",
            "processor",
            "plain, dB",
            "Unlayer, dB",
            "dB/s",
            "memory",
        )
        for row in sorted(rows, key=lambda row: (row.height, row.frames)):
            words = cells(row)
            table.add_row(*(words if row.state == "measured" else [*words[:3], *[""] * 5]))
        console.print(table)
        for line in told(rows):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
