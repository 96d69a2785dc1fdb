"""Measure what runs cost here, from small clips to large ones (``bench``).

It prints seconds, decibels for each second and memory, and how they grow. The clips are made on
the spot, with known layers (:mod:`pipeline.bench.clips`). Each row is one ``run`` in its own
process, so that its peak of memory is its own.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from rich.console import Console
from rich.table import Column, Table

from pipeline.bench.clips import width_of
from pipeline.bench.measure import clip_of, measure
from pipeline.bench.rows import (
    FIGURES,
    BenchRow,
    cells,
    growth,
    growth_lines,
    markdown,
    mebibytes,
    predicted_seconds,
    read_rows,
    sorted_rows,
)
from pipeline.run.device import pick_device
from pipeline.runtime.console_lines import print_line
from pipeline.runtime.progress import print_event
from pipeline.settings import Settings
from pipeline.tasks import DEFAULT_TASK
from stages.errors import UsageError

HEIGHTS = (144, 240, 360, 540, 720, 1080)
"""Heights in pixels where ``--sizes`` gives none."""

FRAMES = (20, 60, 200)
"""Frames of a clip where ``--frames`` gives none."""

MAX_SECONDS = 600.0
"""Seconds for all rows where ``--max-seconds`` gives none."""

SAFETY = 1.2
"""How many times the predicted seconds must be left for a row to begin."""


def bench(settings: Settings) -> int:
    """Measure all rows that fit in the budget and print them.

    Returns the exit status: 0, or 1 where a run failed. Raises UsageError for wrong options.
    """
    task = _checked_task(settings)
    device = str(pick_device(settings.device))
    max_seconds, began = settings.max_seconds or MAX_SECONDS, time.monotonic()
    known = read_rows(settings.rows) if settings.rows else []
    display = _BenchDisplay(settings.json)
    rows: list[BenchRow] = []
    for height, frames in _clip_sizes(settings):
        row = BenchRow(task, settings.preset, device, width_of(height), height, frames)
        measured = [
            other
            for other in [*known, *rows]
            if other.state == "measured" and other.key[:3] == row.key[:3]
        ]
        result = next((other for other in measured if other.key == row.key), None)
        if result is None:
            seconds_left = max_seconds - (time.monotonic() - began)
            result = _measured_or_skipped(row, measured, settings.seed, seconds_left)
            if settings.rows and result.state == "measured":
                with settings.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(result)) + "\n")
        rows.append(result)
        display.add(result)
    display.close(rows)
    if settings.table:
        settings.table.write_text(markdown(rows), encoding="utf-8")
    return 1 if any(row.state == "failed" for row in rows) else 0


def _checked_task(settings: Settings) -> str:
    """Return the task to measure. Raises UsageError for wrong options."""
    task = settings.task or DEFAULT_TASK
    clip = clip_of(task)
    least = min(settings.frames or FRAMES)
    if least < clip.least_frames:
        raise UsageError(f"--frames {least}: {clip.reason}")
    return task


def _clip_sizes(settings: Settings) -> list[tuple[int, int]]:
    """Return height and frames of all clips, the cheapest first: the dearest are left out."""
    sizes = [
        (height, frames)
        for height in settings.sizes or HEIGHTS
        for frames in settings.frames or FRAMES
    ]
    return sorted(sizes, key=math.prod)


def _measured_or_skipped(
    row: BenchRow, measured: Sequence[BenchRow], seed: int, seconds_left: float
) -> BenchRow:
    """Measure a row, or skip it where it would take longer than ``seconds_left``.

    measured: rows of the same task, preset and device, for the prediction.
    """
    needed = predicted_seconds(row, measured)
    if seconds_left <= 0 or (measured and needed * SAFETY > seconds_left):
        left = max(0.0, seconds_left)
        note = f"about {needed:.0f} s, of the budget {left:.0f} s are left"
        return replace(row, state="skipped", note=note)
    return measure(row, seed, seconds_left)


class _BenchDisplay:
    """The rows as they come: lines on standard error and a table at the end, or JSON lines."""

    def __init__(self, json_lines: bool) -> None:
        self.json_lines = json_lines

    def add(self, row: BenchRow) -> None:
        """Show one row."""
        if self.json_lines:
            print_event(
                "row",
                **asdict(row),
                gain=round(row.gain, 3),
                gain_per_second=round(row.gain_per_second, 4),
            )
            return
        figures = row.note
        if row.state == "measured":
            figures = f"{row.seconds:.1f} s, {row.gain:+.1f} dB, {mebibytes(row.memory)}"
        print(
            f"{row.width}x{row.height}, {row.frames} frames: {row.state}, {figures}",
            file=sys.stderr,
            flush=True,
        )

    def close(self, rows: Sequence[BenchRow]) -> None:
        """Show all rows and how their cost grows."""
        if self.json_lines:
            powers = {name: growth(rows, figure) for name, figure in FIGURES.items()}
            names = ("pixels", "frames", "factor")
            print_event(
                "growth",
                **{
                    name: found and dict(zip(names, found, strict=True))
                    for name, found in powers.items()
                },
            )
            return
        console = Console()
        console.print(_table(rows))
        for line in growth_lines(rows):
            print_line(line, console)


def _table(rows: Sequence[BenchRow]) -> Table:
    """Return the table for a terminal."""
    table = Table(
        # In a narrow terminal the other columns are cut, not the sizes.
        Column("size", no_wrap=True),
        "frames",
        "seconds",
        "processor",
        "plain, dB",
        "Unlayer, dB",
        "dB/s",
        "memory",
    )
    for row in sorted_rows(rows):
        words = cells(row)
        if row.state != "measured":
            words = [*words[:3], *[""] * 5]
        table.add_row(*words)
    return table
