"""Boundaries of unknown kind: places where one picture has become another for good, whatever happened in between.

A window of frames ``s..e`` is a candidate where the frames at its ends have nothing in common while both sides are of a piece with
themselves: the picture changes inside the window and hardly before or after it. A camera that turns does that, too. It is told apart by
what lies in between: either each part of it is taken from one of the two sides (wipes of any shape, mixtures), or the frames inside the
window change far more from one to the next than motion explains and than those outside do. Axes: T frames, K blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.find.features import Array, Motion, NccCache, block_correlations, carried

LENGTHS = (2, 3, 4, 6, 8, 11, 15, 18, 22, 26, 30, 34, 40, 48, 60, 80)
"""Frames from the last clean one to the first clean one that are tried. Longer ones are met by slow cameras, too."""
LEAST_CHANGE = (
    0.07  # root mean square of the change of the blocks' contents, as for all gradual transitions
)
STEADY = 0.6  # part of that change which each side may make by itself in as many frames, up to SIDE
SIDE = 12  # frames that are looked at on each side
FOREIGN = 0.33  # part of the sides' own kinship below which the two ends have nothing in common
OWN = 0.5  # kinship that the frames of each side keep among themselves
PIECES = 0.6  # part of the structure in between that has to come from the two sides
NEARBY = 0.04  # of the longer side of the picture: how far a piece may be from its place
BURST = 1.7  # how many times as much changes from frame to frame inside the window as outside
QUIET = 0.004  # 1 - kinship of neighbours below which nothing happens
SHORT = 34  # frames: a longer window needs both proofs. Cameras turn to another view in 40 and more
SOME_BURST, LEAST_BURST, ALL_PIECES = (
    1.4,
    1.15,
    0.75,
)  # less of the one is enough with the other; a steady camera's burst is 1
LONG_BURST, LONG_PIECES = 3.0, 0.75
FEW = 4  # frames on a side that are too few to say how steady it is
ALIKE = (
    0.7  # overlap with a window that was turned down from which another one is not looked at, too
)
MOST = 12  # candidates that are looked at closely in one look


@dataclass(frozen=True)
class Boundary:
    """The frames ``first..last`` in which one shot turns into another."""

    first: int
    last: int

    @property
    def mix(self) -> tuple[float, ...]:
        """Weights of the incoming shot as far as they are known: it comes evenly."""
        count = self.last - self.first + 1
        return tuple((place + 1) / (count + 1) for place in range(count))


@dataclass
class Boundaries:
    """Looks for boundaries of unknown kind in ``frames``, ``(T, H, W, 3)``. related: the frames' kinships, by their places."""

    motion: Motion
    related: NccCache
    frames: Array

    def find(
        self, pairs: Array, walls: Sequence[int], taken: Sequence[tuple[int, int]], starts: range
    ) -> list[Boundary]:
        """Find the boundaries whose last clean frame is in ``starts``.

        pairs: ``(T, T, K)`` squared distances of the frames' blocks; walls: cuts, as places in the frames; taken: first and last frames of
        known transitions, which no boundary overlaps.
        """
        found: list[Boundary] = []
        for low, high in stretches(len(self.frames), walls, taken):
            inside = range(max(low, starts.start), min(high, starts.stop))
            found += self._in_stretch(pairs, low, high, inside)
        return found

    def _in_stretch(self, pairs: Array, low: int, high: int, starts: range) -> list[Boundary]:
        windows = candidates(pairs, low, high, starts)
        found: list[Boundary] = []
        for _ in range(MOST):
            if not windows:
                break
            _, start, end = max(windows)
            accepted = self.judged(start, end, low, high)
            if accepted is not None:
                found.append(accepted)
                start, end = min(start, accepted.first - 1), max(end, accepted.last + 1)
            windows = [
                window
                for window in windows
                if _apart(window[1:], (start, end), accepted is not None)
            ]
        return found

    def judged(self, start: int, end: int, low: int, high: int) -> Boundary | None:
        """Return the boundary between the clean frames ``start`` and ``end`` of the stretch ``low..high``, or None where there is none."""
        if not self.foreign(start, end, low, high):
            return None
        changes = self.changes(start, end, low, high)
        first, last = busiest = ends(changes, start, end)
        if not (
            low <= first - 1 and last + 1 <= high and self.foreign(first - 1, last + 1, low, high)
        ):
            first, last = start + 1, end - 1
        # What is around the changes counts, on both sides of them.
        changes = self.changes(min(start, first - 1), max(end, last + 1), low, high)
        # The window may be wider than what it holds: then the frames next to the large changes are the better witnesses.
        for one, other in sorted(
            {(first - 1, last + 1), (start, end)}, key=lambda window: window[1] - window[0]
        ):
            if self.proven(changes, (one, other), busiest, low, high):
                return Boundary(first, last)
        return None

    def foreign(self, start: int, end: int, low: int, high: int) -> bool:
        """Return whether two frames have nothing in common, although each has with the frames on its own side of the window."""
        side = min(SIDE, end - start)
        between = self.related(start, end)
        if between > FOREIGN:
            return False
        edges = (max(low, start - side), start), (end, min(high, end + side))
        own = min([1.0, *(self.related(one, other) for one, other in edges if one < other)])
        return own >= OWN and between <= FOREIGN * own

    def proven(
        self,
        changes: dict[int, float],
        window: tuple[int, int],
        busiest: tuple[int, int],
        low: int,
        high: int,
    ) -> bool:
        """Return whether what lies between the clean frames of ``window`` is no camera's way.

        busiest: the first and last frame of its largest changes. A long or a one-sided window needs both proofs.
        """
        start, end = window
        if not self.foreign(start, end, low, high):
            return False
        burst, pieces = bursting(changes, start, end), self.pieces(window, busiest)
        if end - start > SHORT:
            return burst >= LONG_BURST and pieces >= LONG_PIECES
        if min(start - low, high - end) < FEW:
            return burst >= BURST and pieces >= PIECES
        enough = (BURST, 0.0), (SOME_BURST, PIECES), (LEAST_BURST, ALL_PIECES)
        return any(burst >= one and pieces >= other for one, other in enough)

    def pieces(self, window: tuple[int, int], busiest: tuple[int, int]) -> float:
        """Return how much of the structure between two frames comes from either, in nearly its place, 0 to 1.

        It is the least of three frames among the ``busiest``: a wide window also holds frames that are one side's alone.
        """
        frames, (start, end), (first, last) = self.frames, window, busiest
        reach = NEARBY * max(frames.shape[1:3])
        least = 1.0
        for time in sorted(
            {round(first - 1 + part * (last - first + 2)) for part in (0.25, 0.5, 0.75)}
            - {start, end}
        ):
            one, weight = self._near(frames[start], frames[time], reach)
            other, _ = self._near(frames[end], frames[time], reach)
            least = min(
                least, float((weight * np.maximum(one, other)).sum() / (weight.sum() + 1e-6))
            )
        return least

    def _near(self, reference: Array, frame: Array, reach: float) -> tuple[Array, Array]:
        """Correlation of each block of ``frame`` with ``reference``, where it is or moved by up to ``reach`` pixels, and its weight."""
        flow = self.motion.flow(frame, reference)
        size = np.hypot(flow[..., 0], flow[..., 1])[..., None]
        flow = (flow * np.minimum(1, reach / np.maximum(size, 1e-6))).astype(np.float32)
        moved, weight = block_correlations(carried(reference, flow), frame)
        still, _ = block_correlations(reference, frame)
        return np.maximum(moved, still), weight

    def changes(self, start: int, end: int, low: int, high: int) -> dict[int, float]:
        """Return what is new in each frame next to the one before it, 0 to 1, from :data:`SIDE` before a window to as many behind it."""
        times = range(max(low, start - SIDE) + 1, min(high, end + SIDE) + 1)
        return {time: 1 - self.related(time - 1, time) for time in times}


def stretches(
    count: int, walls: Sequence[int], taken: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """First and last places of the stretches between cuts and known transitions."""
    spans = sorted([*((wall, wall - 1) for wall in walls if 0 < wall < count), *taken])
    lows, highs = [0], []
    for first, last in spans:
        highs.append(first - 1)
        lows.append(last + 1)
    return [(low, high) for low, high in zip(lows, [*highs, count - 1], strict=True) if high > low]


def candidates(pairs: Array, low: int, high: int, starts: range) -> list[tuple[float, int, int]]:
    """Windows of the stretch ``low..high`` across which much changes and beside which little does: how much, start and end of each."""
    found: list[tuple[float, int, int]] = []
    for length in LENGTHS:
        start = np.arange(starts.start, min(starts.stop, high - length + 1))
        if not len(start):
            continue
        end, side = start + length, min(SIDE, length)
        change = np.sqrt(pairs[start, end].mean(1))
        before = np.sqrt(pairs[np.maximum(start - side, low), start].mean(1))
        behind = np.sqrt(pairs[end, np.minimum(end + side, high)].mean(1))
        part = np.maximum(before, behind) / np.maximum(change, 1e-6)
        # Of windows that hold the same change the shortest is the closest.
        value = change * (1 - part) * (1 - 0.3 * length / LENGTHS[-1])
        good = (change > LEAST_CHANGE) & (part < STEADY)
        found += [
            (float(value[place]), int(start[place]), int(end[place]))
            for place in np.flatnonzero(good)
        ]
    return found


def _apart(window: tuple[int, int], other: tuple[int, int], accepted: bool) -> bool:
    """Whether a window is still to be looked at after ``other`` was."""
    common = min(window[1], other[1]) - max(window[0], other[0])
    if accepted:
        return common <= 0
    return common < ALIKE * (max(window[1], other[1]) - min(window[0], other[0]))


def bursting(changes: dict[int, float], start: int, end: int) -> float:
    """How many times as much the frames ``start + 1..end`` change as those around them, 1 where there are none around them.

    Means: every second change is none where frames are repeated.
    """
    near = {time: change for time, change in changes.items() if start - SIDE < time <= end + SIDE}
    inside = [change for time, change in near.items() if start < time <= end]
    outside = [change for time, change in near.items() if not start < time <= end]
    if not outside:
        return 1.0
    return float(np.mean(inside)) / max(float(np.mean(outside)), QUIET)


def ends(changes: dict[int, float], start: int, end: int) -> tuple[int, int]:
    """The first and last frame of the run of large changes between two clean frames: where two levels explain the changes best.

    The steps ``first..last + 1`` belong to the transition, the others to the shots: least squares of the logarithms of the changes. These
    are relative to how much each shot changes by itself, which inside the window goes evenly from one shot's to the other's.
    """
    times = np.array(sorted(changes))
    logs = np.log(np.array([max(changes[int(time)], QUIET) for time in times]))
    sides = [logs[times <= start], logs[times > end]]
    levels = [float(np.median(side)) for side in sides if len(side)] or [float(logs.min())]
    logs = logs - np.interp(times, [start, end], [levels[0], levels[-1]])
    total, squares = (
        np.concatenate([[0.0], np.cumsum(logs)]),
        np.concatenate([[0.0], np.cumsum(logs**2)]),
    )

    def error(one: int, other: int) -> float:
        """Of the logarithms ``one..other - 1`` around their mean."""
        count = other - one
        return (
            float(squares[other] - squares[one] - (total[other] - total[one]) ** 2 / count)
            if count
            else 0.0
        )

    best, answer = np.inf, (start + 1, end - 1)
    for one in range(len(times)):
        for other in range(one + 2, len(times) + 1):
            inner = float(total[other] - total[one]) / (other - one)
            before = total[one] / one if one else -np.inf
            behind = (
                (total[-1] - total[other]) / (len(times) - other) if other < len(times) else -np.inf
            )
            if (
                inner <= max(before, behind)
                or not times[one] <= (start + end + 1) / 2 <= times[other - 1]
            ):
                continue
            wrong = error(0, one) + error(one, other) + error(other, len(times))
            if wrong < best:
                best, answer = wrong, (int(times[one]), int(times[other - 1]) - 1)
    return answer
