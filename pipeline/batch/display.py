"""What a batch tells while it works: one live table on a terminal, plain lines elsewhere, JSON lines for programs; a summary at the end."""

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

from pipeline.batch.clips import Item
from pipeline.runtime.progress import tell
from stages.media.sniff import printable

ROWS = 12
"""Clips of each kind that the live table shows at most: it has to fit a screen."""


class BatchDisplay(Protocol):
    """Shows a batch."""

    def began(self, item: Item) -> None: ...
    def ended(self, item: Item) -> None: ...
    def show(self, items: Sequence[Item]) -> None: ...
    def warn(self, text: str) -> None: ...
    def close(self, items: Sequence[Item]) -> None: ...


class Quiet:
    """The summary alone."""

    def began(self, item: Item) -> None:
        """Shows nothing."""

    def ended(self, item: Item) -> None:
        """Shows nothing."""

    def show(self, items: Sequence[Item]) -> None:
        """Shows nothing."""

    def warn(self, text: str) -> None:
        """One line on standard error."""
        print(f"unlayer: warning: {text}", file=sys.stderr, flush=True)

    def close(self, items: Sequence[Item]) -> None:
        """How many came out how and how many with warnings, the commonest warnings, and every failure's one line."""
        counts = Counter(item.status for item in items)
        words = {
            "done": "done",
            "unchanged": "finished before",
            "failed": "failed",
            "waiting": "not done",
        }
        told = (
            ", ".join(
                f"{counts[status]} {word}" for status, word in words.items() if counts[status]
            )
            or "no clip"
        )
        warned = sum(bool(item.warnings) for item in items)
        print(f"{told}; {warned} with warnings" if warned else told, flush=True)
        texts = Counter(text for item in items for text in dict.fromkeys(item.warnings))
        for text, count in texts.most_common(ROWS):
            self.warn(text if len(items) == 1 else f"in {count} of {len(items)} clips: {text}")
        if len(texts) > ROWS:
            self.warn(
                f"{len(texts) - ROWS} other warnings stand in batch.json and on the index page"
            )
        for item in items:
            if item.status == "failed":
                print(
                    f"{printable(item.path)}: {item.error.removeprefix(f'{printable(item.path)}: ')}",
                    file=sys.stderr,
                )


class Lines(Quiet):
    """A line when a clip begins and when it ends."""

    def __init__(self) -> None:
        self.done = 0

    def began(self, item: Item) -> None:
        """Says so."""
        print(f"{printable(item.path)}: begins", file=sys.stderr, flush=True)

    def ended(self, item: Item) -> None:
        """Says how."""
        print(
            f"{printable(item.path)}: {item.status} after {item.seconds:.0f} s{warned(item)}",
            file=sys.stderr,
            flush=True,
        )


class Json(Quiet):
    """JSON lines on standard output."""

    def began(self, item: Item) -> None:
        """``{"event": "begin", "clip": ...}``"""
        tell("begin", clip=str(item.path), out=str(item.out))

    def ended(self, item: Item) -> None:
        """``{"event": "end", "clip": ..., "status": ...}``"""
        tell(
            "end",
            clip=str(item.path),
            **{name: value for name, value in item.entry().items() if name != "path"},
        )

    def warn(self, text: str) -> None:
        """``{"event": "warning", "text": ...}``"""
        tell("warning", text=text)

    def close(self, items: Sequence[Item]) -> None:
        """``{"event": "done", ...}``"""
        with_warnings = sum(bool(item.warnings) for item in items)
        tell(
            "done",
            clips=len(items),
            with_warnings=with_warnings,
            **Counter(item.status for item in items),
        )


class LiveTable(Quiet):
    """One live table: clip, stage, progress, time left, result."""

    def __init__(self, console: Console) -> None:
        self.live = Live(console=console, refresh_per_second=4)
        self.live.start()
        self.begun: dict[str, tuple[float, str]] = {}

    def show(self, items: Sequence[Item]) -> None:
        """The clips at work, then the last that ended, then how many wait."""
        table = Table("clip", "stage", "progress", "left", "result")
        running = [item for item in items if item.status == "running"]
        over = [item for item in items if item.status in ("done", "unchanged", "failed")]
        for item in over[-ROWS:]:
            result = (
                f"{item.status}{warned(item)}"
                if item.status != "failed"
                else f"failed: {item.error}"
            )
            table.add_row(escape(printable(item.path)), "", "", "", escape(result))
        for item in running[:ROWS]:
            left = self._left(item)
            table.add_row(
                escape(printable(item.path)),
                item.stage,
                f"{100 * item.fraction:.0f} %",
                "" if left is None else f"{left:.0f} s",
                "",
            )
        waiting = sum(item.status == "waiting" for item in items)
        table.caption = f"{len(over)} of {len(items)} over, {waiting} waiting"
        self.live.update(table)

    def warn(self, text: str) -> None:
        """One line above the table, or below it once that has come to rest."""
        self.live.console.print(
            f"unlayer: warning: {text}", markup=False, highlight=False, soft_wrap=True
        )

    def close(self, items: Sequence[Item]) -> None:
        """The last state, and the summary below it."""
        self.show(items)
        self.live.stop()
        super().close(items)

    def _left(self, item: Item) -> float | None:
        """Seconds left in the stage, where something of it is done."""
        began, stage = self.begun.get(str(item.path), (0.0, ""))
        if stage != item.stage:
            self.begun[str(item.path)] = time.monotonic(), item.stage
            return None
        return (
            (time.monotonic() - began) * (1 - item.fraction) / item.fraction
            if item.fraction > 0.02
            else None
        )


def warned(item: Item) -> str:
    """How many warnings a clip has, as the end of a phrase; nothing where it has none."""
    count = len(item.warnings)
    return f", {count} warning{'' if count == 1 else 's'}" if count else ""


def board(*, json_lines: bool, quiet: bool) -> BatchDisplay:
    """The board that fits the options and the terminal."""
    if json_lines:
        return Json()
    if quiet:
        return Quiet()
    console = Console(stderr=True)
    return LiveTable(console) if console.is_terminal else Lines()
