"""Show a batch: a live table on a terminal, lines elsewhere, JSON for programs; then a summary."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from pipeline.batch.clips import BatchClip
from pipeline.runtime.console_lines import WARNING, print_line, print_warning
from pipeline.runtime.progress import print_event
from stages.media.sniff import printable

ROWS = 12
"""Clips of each kind in the live table, and warnings in the summary, at most: a screenful."""

LEAST_FRACTION = 0.02
"""The part of a stage that must be done before the time left is estimated."""

STATUS_WORDS = {
    "done": "done",
    "unchanged": "finished before",
    "failed": "failed",
    "waiting": "not done",
}
"""What the summary calls the status of a clip."""


class BatchDisplay(Protocol):
    """The interface of everything that shows how a batch goes on."""

    def began(self, clip: BatchClip) -> None: ...
    def ended(self, clip: BatchClip) -> None: ...
    def show(self, clips: Sequence[BatchClip]) -> None: ...
    def warn(self, text: str) -> None: ...
    def close(self, clips: Sequence[BatchClip]) -> None: ...


class QuietDisplay:
    """The summary alone."""

    def began(self, clip: BatchClip) -> None:
        """Show nothing."""

    def ended(self, clip: BatchClip) -> None:
        """Show nothing."""

    def show(self, clips: Sequence[BatchClip]) -> None:
        """Show nothing."""

    def warn(self, text: str) -> None:
        """Print one line on standard error."""
        print_warning(text)

    def close(self, clips: Sequence[BatchClip]) -> None:
        """Print the summary: clips by status, the commonest warnings, and all errors."""
        counts = Counter(clip.status for clip in clips)
        summary = ", ".join(
            f"{counts[status]} {word}" for status, word in STATUS_WORDS.items() if counts[status]
        )
        with_warnings = sum(bool(clip.warnings) for clip in clips)
        ending = f"; {with_warnings} with warnings" if with_warnings else ""
        print(f"{summary or 'no clip'}{ending}", flush=True)
        texts = Counter(text for clip in clips for text in dict.fromkeys(clip.warnings))
        for text, count in texts.most_common(ROWS):
            self.warn(text if len(clips) == 1 else f"in {count} of {len(clips)} clips: {text}")
        if len(texts) > ROWS:
            self.warn(f"batch.json and the index page list {len(texts) - ROWS} other warnings")
        for clip in clips:
            if clip.status == "failed":
                name = f"{printable(clip.path)}: "
                print(f"{name}{clip.error.removeprefix(name)}", file=sys.stderr)


class LineDisplay(QuietDisplay):
    """A line when a clip begins and when it ends."""

    def began(self, clip: BatchClip) -> None:
        """Print that a clip begins."""
        print(f"{printable(clip.path)}: begins", file=sys.stderr, flush=True)

    def ended(self, clip: BatchClip) -> None:
        """Print how a clip ended."""
        print(
            f"{printable(clip.path)}: {clip.status} after {clip.seconds:.0f} s"
            f"{warning_count(clip)}",
            file=sys.stderr,
            flush=True,
        )


class JsonDisplay(QuietDisplay):
    """JSON lines on standard output."""

    def began(self, clip: BatchClip) -> None:
        """Print ``{"event": "begin", "clip": ...}``."""
        print_event("begin", clip=str(clip.path), out=str(clip.out))

    def ended(self, clip: BatchClip) -> None:
        """Print ``{"event": "end", "clip": ..., "status": ...}``."""
        entry = {name: value for name, value in clip.entry().items() if name != "path"}
        print_event("end", clip=str(clip.path), **entry)

    def warn(self, text: str) -> None:
        """Print ``{"event": "warning", "text": ...}``."""
        print_event("warning", text=text)

    def close(self, clips: Sequence[BatchClip]) -> None:
        """Print ``{"event": "done", ...}``."""
        with_warnings = sum(bool(clip.warnings) for clip in clips)
        print_event(
            "done",
            clips=len(clips),
            with_warnings=with_warnings,
            **Counter(clip.status for clip in clips),
        )


class TableDisplay(QuietDisplay):
    """One live table: clip, stage, progress, time left, result."""

    def __init__(self, console: Console) -> None:
        self.live = Live(console=console, refresh_per_second=4)
        self.live.start()
        self._stages: dict[str, tuple[float, str]] = {}

    def show(self, clips: Sequence[BatchClip]) -> None:
        """Show the clips that ended last, those that run, and how many wait."""
        table = Table("clip", "stage", "progress", "left", "result")
        running = [clip for clip in clips if clip.status == "running"]
        ended = [clip for clip in clips if clip.status in ("done", "unchanged", "failed")]
        for clip in ended[-ROWS:]:
            result = f"{clip.status}{warning_count(clip)}"
            if clip.status == "failed":
                result = f"failed: {clip.error}"
            table.add_row(escape(printable(clip.path)), "", "", "", escape(result))
        for clip in running[:ROWS]:
            left = self._seconds_left(clip)
            table.add_row(
                escape(printable(clip.path)),
                clip.stage,
                f"{100 * clip.fraction:.0f} %",
                "" if left is None else f"{left:.0f} s",
                "",
            )
        waiting = sum(clip.status == "waiting" for clip in clips)
        table.caption = f"{len(ended)} of {len(clips)} ended, {waiting} waiting"
        self.live.update(table)

    def warn(self, text: str) -> None:
        """Print one line above the table, or below it once the table is closed."""
        print_line(f"{WARNING} {text}", self.live.console)

    def close(self, clips: Sequence[BatchClip]) -> None:
        """Show the last state and the summary below it."""
        self.show(clips)
        self.live.stop()
        super().close(clips)

    def _seconds_left(self, clip: BatchClip) -> float | None:
        """Return the seconds left in the clip's stage; ``None`` where too little of it is done."""
        began, stage = self._stages.get(str(clip.path), (0.0, ""))
        if stage != clip.stage:
            self._stages[str(clip.path)] = time.monotonic(), clip.stage
            return None
        if clip.fraction <= LEAST_FRACTION:
            return None
        return (time.monotonic() - began) * (1 - clip.fraction) / clip.fraction


def warning_count(clip: BatchClip) -> str:
    """Return how many warnings a clip has, as the end of a phrase; empty where it has none."""
    count = len(clip.warnings)
    return f", {count} warning{'' if count == 1 else 's'}" if count else ""


def display_for(*, json_lines: bool, quiet: bool) -> BatchDisplay:
    """Return the display that fits the options and the terminal."""
    if json_lines:
        return JsonDisplay()
    if quiet:
        return QuietDisplay()
    console = Console(stderr=True)
    return TableDisplay(console) if console.is_terminal else LineDisplay()
