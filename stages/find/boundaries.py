"""Boundaries of unknown kind: one picture has become another for good, in whatever way.

A window of frames ``s..e`` is a candidate where the frames at its ends have nothing in common while
the frames of each side have much in common: the picture changes inside the window and hardly before
or after it. A camera that turns does that, too. The two are told apart by what lies in between.
Either each part of it is taken from one of the two sides, as in mixtures and wipes of any shape; or
the frames inside the window change far more from one to the next than motion explains and than the
frames outside do. Axes: T frames, K blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stages.find.borders import shared_border
from stages.find.curve import Curve
from stages.find.features import Array, NccCache, OpticalFlow, block_correlations, warped
from stages.find.same_place import compare_views, show_one_place

# Frames from the last clean one to the first clean one that are tried. Slow cameras match longer
# windows, too.
LENGTHS = (2, 3, 4, 6, 8, 11, 15, 18, 22, 26, 30, 34, 40, 48, 60, 80)
LENGTH_PENALTY = 0.3  # of windows that hold the same change the shortest is the closest

# The thresholds below were set on synthetic transitions between real shots and on single real
# shots.
LEAST_CHANGE = 0.07  # root mean square change of the blocks' contents, as for gradual transitions
STEADY = 0.6  # part of that change that each side may make by itself in as many frames
SIDE = 12  # frames that are looked at on each side
UNRELATED = 0.33  # part of the sides' own NCC below which the two ends have nothing in common
# The same where moving scenes explain nearly all of the frames. The outlines of two pictures on
# black have something in common, up to 0.42 in drawn ones.
LOOSELY_RELATED = 0.5
OWN_NCC = 0.5  # least NCC of the frames of each side with each other
NEARBY = 0.04  # how far a piece may be from its place, as part of the picture's longer side
QUIET = 0.004  # 1 - NCC of neighbours below which nothing happens
SHORT = 34  # frames; cameras turn to another view in 40 and more
LONG_BURST, LONG_EXPLAINED = 3.0, 0.75  # a longer window needs both of these
# Least burst beside a camera so fast that flow alone does not see what its frames have in common:
# a car that drifts past reached 3.5 in one shot, a cover between such a scene and another 4.4.
FAST_BURST = 4.0
# Least figures of a shorter window. burst: the change from frame to frame inside it, divided by
# that outside; 1 for a steady camera. explained: the part of the structure in between that comes
# from the two sides. Less of one figure is enough with more of the other.
BURST, EXPLAINED = 1.7, 0.6  # ratio, and part in [0, 1]
# Least burst together with least explained part; one pair is enough.
ENOUGH = ((BURST, 0.0), (1.4, EXPLAINED), (1.15, 0.75))
FEW = 4  # frames on a side that are too few to say how steady it is: then both are needed
ALIKE = 0.7  # overlap with a rejected window from which another one is skipped
MOST_CANDIDATES = 12  # candidates that are examined in one look
MOST_MODELS = 2  # windows of a stretch for which models are tried in one look
LOOKS = (0.25, 0.5, 0.75)  # places in a transition, as parts of it, at which structure is compared


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
        """Weights of the incoming shot. They are not known and rise evenly."""
        count = self.last - self.first + 1
        return tuple((place + 1) / (count + 1) for place in range(count))


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


@dataclass
class BoundarySearch:
    """The search for boundaries of unknown kind in some frames.

    motion: measures optical flow. ncc: of two frames, by their places. frames: ``(T, H, W, 3)``.
    by_model: returns the boundary that a model of moving scenes explains in a window, or None. It
    also gets whether the two ends have something in common; then the model has to explain more.
    """

    motion: OpticalFlow
    ncc: NccCache
    frames: Array
    by_model: Callable[[CleanWindow, bool], Boundary | None] = lambda window, related: None

    def find(
        self, pairs: Array, barriers: Sequence[int], taken: Sequence[tuple[int, int]], starts: range
    ) -> list[Boundary]:
        """Return the boundaries whose last clean frame is in ``starts``.

        pairs: squared distances of the frames' blocks, ``(T, T, K)``.
        barriers: cuts, as places in the frames.
        taken: first and last frames of known transitions, which no boundary overlaps.
        """
        found: list[Boundary] = []
        for low, high in stretches(len(self.frames), barriers, taken):
            inside = range(max(low, starts.start), min(high, starts.stop))
            found += self._in_stretch(pairs, low, high, inside)
        return found

    def _in_stretch(self, pairs: Array, low: int, high: int, starts: range) -> list[Boundary]:
        windows = candidates(pairs, low, high, starts)
        found: list[Boundary] = []
        models = 0
        for _ in range(MOST_CANDIDATES):
            if not windows:
                break
            _, start, end = max(windows)
            window = CleanWindow(start, end, low, high)
            accepted = self.examine(window)
            # Where the scenes themselves move fast, only a model that fits can prove a boundary.
            may_be_modelled = models < MOST_MODELS and self.ncc(start, end) <= LOOSELY_RELATED
            if accepted is None and may_be_modelled:
                models += 1
                accepted = self._modelled(window)
            if accepted is not None:
                found.append(accepted)
                start, end = min(start, accepted.first - 1), max(end, accepted.last + 1)
            windows = [
                window
                for window in windows
                if _to_examine(window[1:], (start, end), accepted is not None)
            ]
        return found

    def _modelled(self, window: CleanWindow) -> Boundary | None:
        """Return the boundary that a model explains in a window, between unrelated frames.

        The frames around the largest changes are tried, too: the scenes may move so much in a wide
        window that the frames at its ends explain nothing.
        """
        busiest = change_ends(self.changes(window), window.start, window.end)
        first, last = max(window.low, busiest[0] - 1), min(window.high, busiest[1] + 1)
        for tried in dict.fromkeys([window, window.moved(first, last)]):
            related = self.ncc(tried.start, tried.end) > UNRELATED
            found = self.by_model(tried, related)
            if found is not None and not related and self._likeness(found) > UNRELATED:
                # Its own ends have more in common than those of the window.
                related, found = True, self.by_model(tried, True)
            most = LOOSELY_RELATED if related else UNRELATED
            if found is None or self._likeness(found) > most:
                continue
            if not self._is_one_place(found, window):
                return found
        return None

    def _likeness(self, found: Boundary) -> float:
        """Return how much the clean frames beside a boundary have in common, as their NCC."""
        return self.ncc(found.first - 1, found.last + 1)

    def examine(self, window: CleanWindow) -> Boundary | None:
        """Return the boundary between the clean frames of a window, or None if there is none."""
        if not self.unrelated(window):
            return None
        start, end = window.start, window.end
        busiest = change_ends(self.changes(window), start, end)
        first, last = busiest
        around = window.moved(first - 1, last + 1)
        if not (window.low <= around.start and around.end <= window.high) or not self.unrelated(
            around
        ):
            first, last = start + 1, end - 1
        # The frames around the changes count, on both sides of them.
        changes = self.changes(window.moved(min(start, first - 1), max(end, last + 1)))
        # The window may be wider than the boundary: then the frames next to the large changes are
        # better evidence.
        tried = sorted(
            {(first - 1, last + 1), (start, end)}, key=lambda places: places[1] - places[0]
        )
        proven = any(
            self.proven(changes, window.moved(one, other), busiest) for one, other in tried
        )
        found = Boundary(first, last, (min(start, first - 1), max(end, last + 1)))
        return found if proven and not self._is_one_place(found, window) else None

    def _is_one_place(self, found: Boundary, window: CleanWindow) -> bool:
        """Return whether one camera shows one place around a boundary."""
        sides, reach = (found.first - 1, found.last + 1), (window.low, window.high)
        return show_one_place(self.motion, self.frames, sides, reach)

    def unrelated(self, window: CleanWindow) -> bool:
        """Return whether the two ends are unlike each other, and each is like its own side."""
        between = self.ncc(window.start, window.end)
        if between > UNRELATED:
            return False
        own = min([1.0, *(self._own_ncc(*edges) for edges in _side_edges(window))])
        return own >= OWN_NCC and between <= UNRELATED * own

    def _own_ncc(self, one: int, other: int) -> float:
        """Return how much two frames of one side have in common, at any shift of the camera."""
        ncc = self.ncc(one, other)
        if ncc >= OWN_NCC:
            return ncc
        view = compare_views(self.motion, self.frames[one], self.frames[other])
        return view.ncc if view.is_same_place else ncc

    def proven(
        self, changes: dict[int, float], window: CleanWindow, busiest: tuple[int, int]
    ) -> bool:
        """Return whether the frames between the clean ones of a window are no camera motion.

        changes: as :meth:`changes` returns them. busiest: the first and the last frame of the
        largest changes. A long or a one-sided window needs both proofs.
        """
        start, end = window.start, window.end
        if not self.unrelated(window):
            return False
        burst = burst_ratio(changes, start, end)
        is_fast = any(self.ncc(*edges) < OWN_NCC for edges in _side_edges(window))
        if is_fast and burst < FAST_BURST:
            return False
        explained = self.explained_structure((start, end), busiest)
        if end - start > SHORT:
            return burst >= LONG_BURST and explained >= LONG_EXPLAINED
        if min(start - window.low, window.high - end) < FEW:
            return burst >= BURST and explained >= EXPLAINED
        return any(burst >= least_burst and explained >= least for least_burst, least in ENOUGH)

    def explained_structure(self, window: tuple[int, int], busiest: tuple[int, int]) -> float:
        """Return how much of the structure between two frames comes from either, 0 to 1.

        Structure has to be nearly in its place. The value is the least of three frames among the
        ``busiest``: a wide window also holds frames that show one side alone.
        """
        frames, (start, end), (first, last) = self.frames, window, busiest
        reach = NEARBY * max(frames.shape[1:3])
        least = 1.0
        times = {round(first - 1 + part * (last - first + 2)) for part in LOOKS} - {start, end}
        for time in sorted(times):
            one, weight = self._near(frames[start], frames[time], reach)
            other, _ = self._near(frames[end], frames[time], reach)
            explained = (weight * np.maximum(one, other)).sum() / (weight.sum() + 1e-6)
            least = min(least, float(explained))
        return least

    def _near(self, reference: Array, frame: Array, reach: float) -> tuple[Array, Array]:
        """Return the correlation of each block of ``frame`` with ``reference``, and its weight.

        The block is compared where it is and moved by up to ``reach`` pixels.
        """
        flow = self.motion.flow(frame, reference)
        size = np.hypot(flow[..., 0], flow[..., 1])[..., None]
        flow = (flow * np.minimum(1, reach / np.maximum(size, 1e-6))).astype(np.float32)
        ignored = shared_border(reference, frame)
        moved, weight = block_correlations(warped(reference, flow), frame, ignored)
        still, _ = block_correlations(reference, frame, ignored)
        return np.maximum(moved, still), weight

    def changes(self, window: CleanWindow) -> dict[int, float]:
        """Return how much is new in each frame compared with the one before it, 0 to 1.

        The frames reach from :data:`SIDE` before the window to as many behind it.
        """
        first, last = max(window.low, window.start - SIDE), min(window.high, window.end + SIDE)
        return {time: 1 - self.ncc(time - 1, time) for time in range(first + 1, last + 1)}


def _side_edges(window: CleanWindow) -> list[tuple[int, int]]:
    """Return the first and the last of the frames that are looked at on each side of a window."""
    start, end = window.start, window.end
    side = min(SIDE, end - start)
    edges = [(max(window.low, start - side), start), (end, min(window.high, end + side))]
    return [(one, other) for one, other in edges if one < other]


def stretches(
    count: int, barriers: Sequence[int], taken: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return the first and last places of the stretches between cuts and known transitions."""
    cuts = ((barrier, barrier - 1) for barrier in barriers if 0 < barrier < count)
    lows, highs = [0], []
    for first, last in sorted([*cuts, *taken]):
        highs.append(first - 1)
        lows.append(last + 1)
    return [(low, high) for low, high in zip(lows, [*highs, count - 1], strict=True) if high > low]


def candidates(pairs: Array, low: int, high: int, starts: range) -> list[tuple[float, int, int]]:
    """Return the windows of a stretch across which much changes and beside which little does.

    pairs: as of :meth:`BoundarySearch.find`. Each window comes as how good a candidate it is, its
    start, and its end.
    """
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
        value = change * (1 - part) * (1 - LENGTH_PENALTY * length / LENGTHS[-1])
        good = (change > LEAST_CHANGE) & (part < STEADY)
        found += [
            (float(value[place]), int(start[place]), int(end[place]))
            for place in np.flatnonzero(good)
        ]
    return found


def _to_examine(window: tuple[int, int], other: tuple[int, int], accepted: bool) -> bool:
    """Return whether a window still has to be examined after ``other`` was."""
    common = min(window[1], other[1]) - max(window[0], other[0])
    if accepted:
        return common <= 0
    return common < ALIKE * (max(window[1], other[1]) - min(window[0], other[0]))


def burst_ratio(changes: dict[int, float], start: int, end: int) -> float:
    """Return the change in the frames ``start + 1..end``, divided by the change around them.

    It is 1 where there are none around them. Means are compared, not medians: where frames are
    repeated, every second change is zero.
    """
    near = {time: change for time, change in changes.items() if start - SIDE < time <= end + SIDE}
    inside = [change for time, change in near.items() if start < time <= end]
    outside = [change for time, change in near.items() if not start < time <= end]
    if not outside:
        return 1.0
    return float(np.mean(inside)) / max(float(np.mean(outside)), QUIET)


@dataclass(frozen=True)
class _PrefixSums:
    """Running sums of values and of their squares, with a zero in front."""

    total: Curve
    squares: Curve

    @staticmethod
    def of(values: Curve) -> _PrefixSums:
        return _PrefixSums(
            np.concatenate([[0.0], np.cumsum(values)]),
            np.concatenate([[0.0], np.cumsum(values**2)]),
        )

    def mean(self, one: int, other: int) -> float:
        """Return the mean of the values ``one..other - 1``, minus infinity where there are none."""
        if one == other:
            return -np.inf
        return float(self.total[other] - self.total[one]) / (other - one)

    def error(self, one: int, other: int) -> float:
        """Return the squared error of the values ``one..other - 1`` around their mean."""
        count = other - one
        if not count:
            return 0.0
        total = self.total[other] - self.total[one]
        return float(self.squares[other] - self.squares[one] - total**2 / count)


def change_ends(changes: dict[int, float], start: int, end: int) -> tuple[int, int]:
    """Return the first and last frame of the run of large changes between two clean frames.

    Of all runs it is the one whose two levels explain the changes best: the steps
    ``first..last + 1`` belong to the transition, the others to the shots. The fit is by least
    squares of the logarithms of the changes, relative to how much each shot changes by itself;
    inside the window that level goes evenly from one shot's to the other's.
    """
    times = np.array(sorted(changes))
    logs = np.log(np.array([max(changes[int(time)], QUIET) for time in times]))
    sides = [logs[times <= start], logs[times > end]]
    levels = [float(np.median(side)) for side in sides if len(side)] or [float(logs.min())]
    sums = _PrefixSums.of(logs - np.interp(times, [start, end], [levels[0], levels[-1]]))
    middle, count = (start + end + 1) / 2, len(times)
    best, answer = np.inf, (start + 1, end - 1)
    for one in range(count):
        for other in range(one + 2, count + 1):
            outside = max(sums.mean(0, one), sums.mean(other, count))
            if sums.mean(one, other) <= outside or not times[one] <= middle <= times[other - 1]:
                continue
            wrong = sums.error(0, one) + sums.error(one, other) + sums.error(other, count)
            if wrong < best:
                best, answer = wrong, (int(times[one]), int(times[other - 1]) - 1)
    return answer
