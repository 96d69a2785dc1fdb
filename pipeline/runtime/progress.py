"""What a run tells while it works, and how long each stage took.

:class:`Stages` is what the tasks see: ``with stages.stage("find") as step: step(0.5, "frame 60 of 120")``. A :class:`Reporter` shows
it: a bar on a terminal, plain lines elsewhere, JSON lines, or nothing.
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

Step = Callable[[float, str], None]
"""Called with the fraction done, 0 to 1, and a few words on what is being done."""


class Reporter(Protocol):
    """Shows the progress of one stage after another. ``close`` may be called at any moment, and more than once."""

    def begin(self, stage: str) -> None: ...
    def step(self, stage: str, fraction: float, note: str) -> None: ...
    def end(self, stage: str, seconds: float) -> None: ...
    def warn(self, text: str) -> None: ...
    def close(self) -> None: ...


class Silent:
    """Shows warnings alone."""

    def begin(self, stage: str) -> None:
        """Shows nothing."""

    def step(self, stage: str, fraction: float, note: str) -> None:
        """Shows nothing."""

    def end(self, stage: str, seconds: float) -> None:
        """Shows nothing."""

    def warn(self, text: str) -> None:
        """One line on standard error."""
        print(f"unlayer: warning: {text}", file=sys.stderr)

    def close(self) -> None:
        """Has nothing to close."""


class Lines(Silent):
    """A line at most every ``every`` seconds, for logs: ``find 40 % frame 48 of 120, 3 s left``."""

    def __init__(self, every: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.every, self.clock = every, clock
        self.began = self.told = clock()

    def begin(self, stage: str) -> None:
        self.began = self.clock()

    def step(self, stage: str, fraction: float, note: str) -> None:
        now = self.clock()
        if now - self.told < self.every:
            return
        self.told = now
        left = (
            f", {(now - self.began) * (1 - fraction) / fraction:.0f} s left" if fraction > 0 else ""
        )
        print(f"{stage} {100 * fraction:.0f} % {note}{left}", file=sys.stderr, flush=True)

    def end(self, stage: str, seconds: float) -> None:
        # Stages that are over in a moment are not worth a line; a refusal then stands alone.
        if self.clock() - self.began >= 1:
            print(f"{stage} done in {seconds:.1f} s", file=sys.stderr, flush=True)


class JsonLines(Silent):
    """One JSON object a line on standard output, at most one step a second: ``{"event": "step", "stage": "find", ...}``."""

    def __init__(self) -> None:
        self.told = 0.0

    def begin(self, stage: str) -> None:
        tell("begin", stage=stage)

    def step(self, stage: str, fraction: float, note: str) -> None:
        if time.monotonic() - self.told >= 1:
            self.told = time.monotonic()
            tell("step", stage=stage, fraction=round(fraction, 4), note=note)

    def end(self, stage: str, seconds: float) -> None:
        tell("end", stage=stage, seconds=round(seconds, 3))

    def warn(self, text: str) -> None:
        tell("warning", text=text)


class Bars(Silent):
    """One bar a stage with the time left, on a terminal."""

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
        self.progress.console.print(
            f"unlayer: warning: {text}", markup=False, highlight=False, soft_wrap=True
        )

    def close(self) -> None:
        self.progress.stop()


def tell(event: str, **facts: Any) -> None:
    """Prints one line of JSON for programs that read our standard output."""
    print(json.dumps({"event": event, **facts}), flush=True)


def reporter(*, json_lines: bool, quiet: bool) -> Reporter:
    """The reporter that fits the options and the terminal."""
    if json_lines:
        return JsonLines()
    if quiet:
        return Silent()
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines()


class Stages:
    """Opens and times the stages of a run, one after another.

    seconds: wall-clock seconds by stage, exact; a stage that is opened again adds to its own. warnings: in order, none twice.
    check: called before each stage, and may raise.
    """

    def __init__(self, shown: Reporter) -> None:
        self.shown = shown
        self.seconds: dict[str, float] = {}
        self.warnings: list[str] = []
        self.check: Callable[[], None] = lambda: None

    @contextmanager
    def stage(
        self, name: str, *, within: Callable[[], dict[str, float]] | None = None
    ) -> Iterator[Step]:
        """Times the block as ``name`` and shows its steps.

        within: asked at the end for parts of the stage that were timed inside; they are booked under their own names and the rest
        under ``name``.
        """
        self.check()
        began = time.monotonic()
        self.shown.begin(name)

        def step(fraction: float, note: str = "") -> None:
            self.shown.step(name, min(1.0, max(0.0, fraction)), note)

        try:
            yield step
        finally:
            spent = time.monotonic() - began
            parts = within() if within else {}
            for part, seconds in {**parts, name: max(0.0, spent - sum(parts.values()))}.items():
                self.seconds[part] = self.seconds.get(part, 0.0) + seconds
        self.shown.end(name, spent)

    def warn(self, text: str) -> None:
        """Shows a warning and keeps it for the manifest."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.shown.warn(text)
