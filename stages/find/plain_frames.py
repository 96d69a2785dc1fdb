"""Remember which frames of a clip have one colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stages.find.brighten import BrightFrames
from stages.find.features import spread
from stages.find.timeline import PlainFrame

SPREAD_DIGITS = 3  # decimals to which a plain frame's spread is kept


@dataclass
class PlainRuns:
    """The plain frames of a clip so far, as runs of equal ones.

    looked: the first frame of which it is not known yet whether it is plain.
    runs: first and last number of each run, and what its frames look like.
    """

    looked: int = 0
    runs: list[tuple[int, int, PlainFrame]] = field(default_factory=list)

    def add(self, bright: BrightFrames, first: int) -> None:
        """Look at the frames that were not looked at before. first: the number of frame 0."""
        for place in range(max(0, self.looked - first), len(bright.frames)):
            color = bright.plain_color(place)
            if color is None:
                continue
            plain = PlainFrame(color, round(spread(bright.frames[place]), SPREAD_DIGITS))
            begin = number = first + place
            if self.runs and self.runs[-1][1:] == (number - 1, plain):
                begin = self.runs.pop()[0]
            self.runs.append((begin, number, plain))
        self.looked = max(self.looked, first + len(bright.frames))

    def by_number(self) -> dict[int, PlainFrame]:
        """Return the plain frames by their numbers."""
        return {
            number: plain for first, last, plain in self.runs for number in range(first, last + 1)
        }

    def state(self) -> dict[str, Any]:
        """Return what was found so far, made of values that a checkpoint can hold."""
        return {"looked": self.looked, "plain": self.runs}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search."""
        self.looked, self.runs = state["looked"], state["plain"]
