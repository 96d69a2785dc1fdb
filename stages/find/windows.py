"""Windows of frames with a boundary in them, and the stretches of a clip that they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stages.find.changes import SIDE
from stages.find.curve import even_mix
from stages.find.features import Array

# Frames from the last clean one to the first clean one that are tried. Slow cameras match longer
# windows, too.
LENGTHS = (2, 3, 4, 6, 8, 11, 15, 18, 22, 26, 30, 34, 40, 48, 60, 80)
# Part of its score that the longest window loses. Of windows that hold the same change, the
# shortest is the closest.
LENGTH_PENALTY = 0.3
LEAST_CHANGE = 0.07  # root mean square change of the blocks' contents, as for gradual transitions
STEADY = 0.6  # part of that change that each side may make by itself in as many frames
SIMILAR = 0.7  # intersection over union with a rejected window from which another one is skipped


@dataclass(frozen=True)
class Boundary:
    """The frames ``first..last`` in which one shot turns into another.

    within: the clean frames of the window in which it was found, if it may fill more of that.
    """

    first: int
    last: int
    within: tuple[int, int] | None = None

    @property
    def mix(self) -> tuple[float, ...]:
        """The weights of the incoming shot. They are not known and rise evenly."""
        return tuple(even_mix(self.last - self.first + 1).tolist())


@dataclass(frozen=True)
class CleanWindow:
    """Two clean frames with a boundary between them, in the stretch ``low..high`` of frames."""

    start: int
    end: int
    low: int
    high: int

    def moved(self, start: int, end: int) -> CleanWindow:
        """Return the window between two other frames of the same stretch."""
        return CleanWindow(start, end, self.low, self.high)

    @property
    def is_inside(self) -> bool:
        """Whether both frames are in the stretch."""
        return self.low <= self.start and self.end <= self.high

    def side_edges(self) -> list[tuple[int, int]]:
        """Return the first and the last of the frames that are looked at on each side.

        A side with a single frame is left out.
        """
        reach = min(SIDE, self.end - self.start)
        edges = [
            (max(self.low, self.start - reach), self.start),
            (self.end, min(self.high, self.end + reach)),
        ]
        return [(first, last) for first, last in edges if first < last]


class WindowCandidate(NamedTuple):
    """A window that may hold a boundary.

    score: how good a candidate it is. start, end: its two clean frames.
    """

    score: float
    start: int
    end: int

    def overlaps(self, start: int, end: int) -> bool:
        """Return whether it has more than an end in common with another window."""
        return self._common(start, end) > 0

    def is_similar(self, start: int, end: int) -> bool:
        """Return whether it is nearly another window."""
        union = max(self.end, end) - min(self.start, start)
        return self._common(start, end) >= SIMILAR * union

    def _common(self, start: int, end: int) -> int:
        return min(self.end, end) - max(self.start, start)


def stretches(
    count: int, barriers: Sequence[int], taken: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the first and last places of the stretches between cuts and known transitions.

    count: of the frames. barriers: first frames behind cuts. taken: first and last frames of known
    transitions.
    """
    cuts = ((barrier, barrier - 1) for barrier in barriers if 0 < barrier < count)
    lows, highs = [0], []
    for first, last in sorted([*cuts, *taken]):
        highs.append(first - 1)
        lows.append(last + 1)
    return [(low, high) for low, high in zip(lows, [*highs, count - 1], strict=True) if high > low]


def stretch_around(
    boundary: Boundary, count: int, barriers: Sequence[int], taken: Sequence[tuple[int, int]]
) -> tuple[int, int] | None:
    """Return the stretch that a boundary and the clean frames beside it lie in, or None.

    count, barriers, taken: as of :func:`stretches`.
    """
    for low, high in stretches(count, barriers, taken):
        if low <= boundary.first - 1 and boundary.last + 1 <= high:
            return low, high
    return None


def candidates(pairs: Array, low: int, high: int, starts: range) -> list[WindowCandidate]:
    """Return the windows of a stretch across which much changes and beside which little does.

    pairs: squared distances of the frames' blocks, ``(T, T, K)``. low, high: the first and the last
    frame of the stretch. starts: where windows may begin.
    """
    found: list[WindowCandidate] = []
    for length in LENGTHS:
        start = np.arange(starts.start, min(starts.stop, high - length + 1))
        if not len(start):
            continue
        end, side = start + length, min(SIDE, length)
        change = np.sqrt(pairs[start, end].mean(1))
        before = np.sqrt(pairs[np.maximum(start - side, low), start].mean(1))
        behind = np.sqrt(pairs[end, np.minimum(end + side, high)].mean(1))
        beside = np.maximum(before, behind) / np.maximum(change, 1e-6)
        score = change * (1 - beside) * (1 - LENGTH_PENALTY * length / LENGTHS[-1])
        is_good = (change > LEAST_CHANGE) & (beside < STEADY)
        found += [
            WindowCandidate(float(score[place]), int(start[place]), int(end[place]))
            for place in np.flatnonzero(is_good)
        ]
    return found
