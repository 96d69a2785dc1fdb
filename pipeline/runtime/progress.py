"""Report progress while a run works, and measure how long each stage takes.

Tasks use :class:`Stages`: ``with stages.stage("find") as step: step(0.5, "frame 60 of 120")``. A
:class:`Reporter` shows it as a bar on a terminal, as plain lines, as JSON lines, or not at all.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipeline.runtime.console_lines import WARNING, print_line, print_warning

Step = Callable[[float, str], None]
"""A function of the fraction done, 0 to 1, and a short note on what is being done."""

LINE_SECONDS = 5.0
"""Least seconds between two plain lines."""
JSON_SECONDS = 1.0
"""Least seconds between two JSON lines about the same stage."""
SHORT_STAGE = 1.0
"""Seconds below which a stage gets no line of its own, so that an error can stand alone."""


class Reporter(Protocol):
    """What shows the progress of one stage after another.

    ``close`` may be called at any moment, and more than once.
    """

    def begin(self, stage: str) -> None: ...
    def step(self, stage: str, fraction: float, note: str) -> None: ...
    def end(self, stage: str, seconds: float) -> None: ...
    def warn(self, text: str) -> None: ...
    def close(self) -> None: ...


class SilentReporter:
    """A reporter of warnings alone."""

    def begin(self, stage: str) -> None:
        """Show nothing."""

    def step(self, stage: str, fraction: float, note: str) -> None:
        """Show nothing."""

    def end(self, stage: str, seconds: float) -> None:
        """Show nothing."""

    def warn(self, text: str) -> None:
        """Print one line on standard error."""
        print_warning(text)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class LineReporter(SilentReporter):
    """A plain line now and then, for logs: ``find 40 % frame 48 of 120, 3 s left``.

    every: least seconds between two lines. clock: returns the time in seconds.
    """

    def __init__(
        self, every: float = LINE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.every = every
        self.clock = clock
        self.began = self.printed = clock()

    def begin(self, stage: str) -> None:
        self.began = self.clock()

    def step(self, stage: str, fraction: float, note: str) -> None:
        now = self.clock()
        if now - self.printed < self.every:
            return
        self.printed = now
        left = ""
        if fraction > 0:
            left = f", {(now - self.began) * (1 - fraction) / fraction:.0f} s left"
        print(f"{stage} {100 * fraction:.0f} % {note}{left}", file=sys.stderr, flush=True)

    def end(self, stage: str, seconds: float) -> None:
        if self.clock() - self.began >= SHORT_STAGE:
            print(f"{stage} done in {seconds:.1f} s", file=sys.stderr, flush=True)


class JsonReporter(SilentReporter):
    """One JSON object a line on standard output: ``{"event": "step", "stage": "find"}``."""

    def __init__(self) -> None:
        self.printed = 0.0

    def begin(self, stage: str) -> None:
        print_event("begin", stage=stage)

    def step(self, stage: str, fraction: float, note: str) -> None:
        if time.monotonic() - self.printed >= JSON_SECONDS:
            self.printed = time.monotonic()
            print_event("step", stage=stage, fraction=round(fraction, 4), note=note)

    def end(self, stage: str, seconds: float) -> None:
        print_event("end", stage=stage, seconds=round(seconds, 3))

    def warn(self, text: str) -> None:
        print_event("warning", text=text)


class BarReporter(SilentReporter):
    """A bar for each stage on a terminal, with the time left."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self.bars: dict[str, TaskID] = {}

    def begin(self, stage: str) -> None:
        self.progress.start()
        self.bars[stage] = self.progress.add_task(stage, total=1.0, note="")

    def step(self, stage: str, fraction: float, note: str) -> None:
        self.progress.update(self.bars[stage], completed=fraction, note=note)

    def end(self, stage: str, seconds: float) -> None:
        self.progress.update(self.bars[stage], completed=1.0, note="")

    def warn(self, text: str) -> None:
        print_line(f"{WARNING} {text}", self.progress.console)

    def close(self) -> None:
        self.progress.stop()


def print_event(event: str, **facts: Any) -> None:
    """Print one JSON object as a line on standard output, for programs that read it."""
    print(json.dumps({"event": event, **facts}), flush=True)


def reporter(*, json_lines: bool, quiet: bool) -> Reporter:
    """Return the reporter that fits the options and the terminal."""
    if json_lines:
        return JsonReporter()
    if quiet:
        return SilentReporter()
    console = Console(stderr=True)
    has_bars = console.is_terminal or console.is_jupyter
    return BarReporter(console) if has_bars else LineReporter()


class Stages:
    """The stages of a run, opened and timed one after another.

    reporter: shows the progress. seconds: wall-clock seconds by stage; a stage that is opened again
    adds to its own. warnings: in order, each once. check: called before each stage; what it
    raises ends the run.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.seconds: dict[str, float] = {}
        self.warnings: list[str] = []
        self.check: Callable[[], None] = lambda: None

    @contextmanager
    def stage(
        self, name: str, *, within: Callable[[], dict[str, float]] | None = None
    ) -> Iterator[Step]:
        """Time the block as stage ``name``, and yield the function that reports its steps.

        within: called at the end; returns the seconds of parts that were timed inside. They are
        recorded under their own names, and only the rest under ``name``.
        """
        self.check()
        began = time.monotonic()
        self.reporter.begin(name)

        def step(fraction: float, note: str = "") -> None:
            self.reporter.step(name, min(1.0, max(0.0, fraction)), note)

        try:
            yield step
        finally:
            spent = time.monotonic() - began
            parts = within() if within else {}
            rest = max(0.0, spent - sum(parts.values()))
            for part, seconds in {**parts, name: rest}.items():
                self.seconds[part] = self.seconds.get(part, 0.0) + seconds
        self.reporter.end(name, spent)

    def warn(self, text: str) -> None:
        """Show a warning and keep it for the manifest, unless it was given before."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.reporter.warn(text)
