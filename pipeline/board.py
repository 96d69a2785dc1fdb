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

from pipeline.clips import Item
from pipeline.progress import tell
from stages.sniff import printable

ROWS = 12
"""Clips of each kind that the live table shows at most: it has to fit a screen."""


class Board(Protocol):
    """Shows a batch."""

    def began(self, item: Item) -> None: ...
    def ended(self, item: Item) -> None: ...
    def show(self, items: Sequence[Item]) -> None: ...
    def close(self, items: Sequence[Item]) -> None: ...


class Quiet:
    """The summary alone."""

    def began(self, item: Item) -> None:
        """Shows nothing."""

    def ended(self, item: Item) -> None:
        """Shows nothing."""

    def show(self, items: Sequence[Item]) -> None:
        """Shows nothing."""

    def close(self, items: Sequence[Item]) -> None:
        """How many came out how, and every failure's one line."""
        counts = Counter(item.status for item in items)
        words = {"done": "done", "unchanged": "finished before", "failed": "failed", "waiting": "not done"}
        print(", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status]) or "no clip", flush=True)
        for item in items:
            if item.status == "failed":
                print(f"{printable(item.path)}: {item.error.removeprefix(f'{printable(item.path)}: ')}", file=sys.stderr)


class Lines(Quiet):
    """A line when a clip begins and when it ends."""

    def __init__(self) -> None:
        self.done = 0

    def began(self, item: Item) -> None:
        """Says so."""
        print(f"{printable(item.path)}: begins", file=sys.stderr, flush=True)

    def ended(self, item: Item) -> None:
        """Says how."""
        print(f"{printable(item.path)}: {item.status} after {item.seconds:.0f} s", file=sys.stderr, flush=True)


class Json(Quiet):
    """JSON lines on standard output."""

    def began(self, item: Item) -> None:
        """``{"event": "begin", "clip": ...}``"""
        tell("begin", clip=str(item.path), out=str(item.out))

    def ended(self, item: Item) -> None:
        """``{"event": "end", "clip": ..., "status": ...}``"""
        tell("end", clip=str(item.path), **{name: value for name, value in item.entry().items() if name != "path"})

    def close(self, items: Sequence[Item]) -> None:
        """``{"event": "done", ...}``"""
        tell("done", clips=len(items), **Counter(item.status for item in items))


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
            result = item.status if item.status != "failed" else f"failed: {item.error}"
            table.add_row(escape(printable(item.path)), "", "", "", escape(result))
        for item in running[:ROWS]:
            left = self._left(item)
            table.add_row(
                escape(printable(item.path)), item.stage, f"{100 * item.fraction:.0f} %", "" if left is None else f"{left:.0f} s", ""
            )
        waiting = sum(item.status == "waiting" for item in items)
        table.caption = f"{len(over)} of {len(items)} over, {waiting} waiting"
        self.live.update(table)

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
        return (time.monotonic() - began) * (1 - item.fraction) / item.fraction if item.fraction > 0.02 else None


def board(*, json_lines: bool, quiet: bool) -> Board:
    """The board that fits the options and the terminal."""
    if json_lines:
        return Json()
    if quiet:
        return Quiet()
    console = Console(stderr=True)
    return LiveTable(console) if console.is_terminal else Lines()
