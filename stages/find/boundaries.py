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
from stages.find.changes import SIDE, burst_ratio, change_ends
from stages.find.correlation import NccCache, block_correlations
from stages.find.features import Array
from stages.find.optical_flow import optical_flow, warped
from stages.find.same_place import compare_views, show_one_place
from stages.find.windows import Boundary, CleanWindow, candidates, stretches

# The thresholds below were set on synthetic transitions between real shots and on single real
# shots.
UNRELATED = 0.33  # part of the sides' own NCC below which the two ends have nothing in common
# The same where moving scenes explain nearly all of the frames. The outlines of two pictures on
# black have something in common, up to 0.42 in drawn ones.
LOOSELY_RELATED = 0.5
LEAST_NCC_OF_SIDE = 0.5  # least NCC of the frames of each side with each other
NEARBY = 0.04  # how far a piece may be from its place, as part of the picture's longer side
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
MOST_CANDIDATES = 12  # candidates that are examined in one look
MOST_MODELS = 2  # windows of a stretch for which models are tried in one look
LOOKS = (0.25, 0.5, 0.75)  # places in a transition, as parts of it, at which structure is compared


@dataclass
class BoundarySearch:
    """The search for boundaries of unknown kind in some frames.

    ncc: of two frames, by their places. frames: ``(T, H, W, 3)``.
    by_model: returns the boundary that a model explains in a window, or None. It also gets whether
    the two ends have something in common. Then the model has to explain more.
    """

    ncc: NccCache
    frames: Array
    by_model: Callable[[CleanWindow, bool], Boundary | None] = lambda window, has_common: None

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
            found += self._find_in_stretch(pairs, low, high, inside)
        return found

    def _find_in_stretch(self, pairs: Array, low: int, high: int, starts: range) -> list[Boundary]:
        """Return the boundaries of one stretch. The best windows are examined first."""
        windows = candidates(pairs, low, high, starts)
        found: list[Boundary] = []
        models = 0
        for _ in range(MOST_CANDIDATES):
            if not windows:
                break
            _, start, end = max(windows)
            window = CleanWindow(start, end, low, high)
            boundary = self._boundary_in(window)
            # Where the scenes themselves move fast, only a model that fits can prove a boundary.
            may_be_modelled = models < MOST_MODELS and self.ncc(start, end) <= LOOSELY_RELATED
            if boundary is None and may_be_modelled:
                models += 1
                boundary = self._boundary_by_model(window)
            if boundary is None:
                windows = [one for one in windows if not one.is_similar(start, end)]
            else:
                found.append(boundary)
                start, end = min(start, boundary.first - 1), max(end, boundary.last + 1)
                windows = [one for one in windows if not one.overlaps(start, end)]
        return found

    def _boundary_in(self, window: CleanWindow) -> Boundary | None:
        """Return the boundary between the clean frames of a window, or None if there is none."""
        if not self.has_unrelated_ends(window):
            return None
        start, end = window.start, window.end
        busiest = change_ends(self._changes(window), start, end)
        around = window.moved(busiest[0] - 1, busiest[1] + 1)
        if not (around.is_inside and self.has_unrelated_ends(around)):
            around = window
        # The frames around the changes count, on both sides of them.
        whole = min(start, around.start), max(end, around.end)
        changes = self._changes(window.moved(*whole))
        # The window may be wider than the boundary: then the frames next to the large changes are
        # better evidence.
        tried = sorted({around, window}, key=lambda one: one.end - one.start)
        is_proven = any(self._is_proven(changes, one, busiest) for one in tried)
        found = Boundary(around.start + 1, around.end - 1, whole)
        return found if is_proven and not self._is_one_place(found, window) else None

    def _boundary_by_model(self, window: CleanWindow) -> Boundary | None:
        """Return the boundary that a model explains in a window, between unrelated frames.

        The frames around the largest changes are tried, too: the scenes may move so much in a wide
        window that the frames at its ends explain nothing.
        """
        busiest = change_ends(self._changes(window), window.start, window.end)
        first, last = max(window.low, busiest[0] - 1), min(window.high, busiest[1] + 1)
        for tried in dict.fromkeys([window, window.moved(first, last)]):
            has_common = self.ncc(tried.start, tried.end) > UNRELATED
            found = self.by_model(tried, has_common)
            if found is not None and not has_common and self._ncc_beside(found) > UNRELATED:
                # Its own ends have more in common than those of the window.
                has_common, found = True, self.by_model(tried, True)
            most = LOOSELY_RELATED if has_common else UNRELATED
            if found is None or self._ncc_beside(found) > most:
                continue
            if not self._is_one_place(found, window):
                return found
        return None

    def _ncc_beside(self, found: Boundary) -> float:
        """Return the NCC of the clean frames beside a boundary."""
        return self.ncc(found.first - 1, found.last + 1)

    def _is_one_place(self, found: Boundary, window: CleanWindow) -> bool:
        """Return whether one camera shows one place around a boundary."""
        sides, reach = (found.first - 1, found.last + 1), (window.low, window.high)
        return show_one_place(self.frames, sides, reach)

    def has_unrelated_ends(self, window: CleanWindow) -> bool:
        """Return whether the two ends are unlike each other, and each is like its own side."""
        across = self.ncc(window.start, window.end)
        if across > UNRELATED:
            return False
        within = min([1.0, *(self._ncc_of_side(*edges) for edges in window.side_edges())])
        return within >= LEAST_NCC_OF_SIDE and across <= UNRELATED * within

    def _ncc_of_side(self, one: int, other: int) -> float:
        """Return the NCC of two frames of one side, at any shift of the camera."""
        ncc = self.ncc(one, other)
        if ncc >= LEAST_NCC_OF_SIDE:
            return ncc
        view = compare_views(self.frames[one], self.frames[other])
        return view.ncc if view.is_same_place else ncc

    def _is_proven(
        self, changes: dict[int, float], window: CleanWindow, busiest: tuple[int, int]
    ) -> bool:
        """Return whether the frames between the clean ones of a window are no camera motion.

        changes: as of :meth:`_changes`. busiest: the first and the last frame of the largest
        changes. A long or a one-sided window needs both proofs.
        """
        start, end = window.start, window.end
        if not self.has_unrelated_ends(window):
            return False
        burst = burst_ratio(changes, start, end)
        is_fast = any(self.ncc(*edges) < LEAST_NCC_OF_SIDE for edges in window.side_edges())
        if is_fast and burst < FAST_BURST:
            return False
        explained = self._explained_structure((start, end), busiest)
        if end - start > SHORT:
            return burst >= LONG_BURST and explained >= LONG_EXPLAINED
        if min(start - window.low, window.high - end) < FEW:
            return burst >= BURST and explained >= EXPLAINED
        return any(burst >= least_burst and explained >= least for least_burst, least in ENOUGH)

    def _explained_structure(self, window: tuple[int, int], busiest: tuple[int, int]) -> float:
        """Return how much of the structure between two frames comes from either, 0 to 1.

        Structure has to be nearly in its place. The value is the least of three frames among the
        ``busiest``: a wide window also holds frames that show one side alone.
        """
        frames, (start, end), (first, last) = self.frames, window, busiest
        reach = NEARBY * max(frames.shape[1:3])
        least = 1.0
        times = {round(first - 1 + part * (last - first + 2)) for part in LOOKS} - {start, end}
        for time in sorted(times):
            one, weight = self._correlations_nearby(frames[start], frames[time], reach)
            other, _ = self._correlations_nearby(frames[end], frames[time], reach)
            explained = (weight * np.maximum(one, other)).sum() / (weight.sum() + 1e-6)
            least = min(least, float(explained))
        return least

    def _correlations_nearby(
        self, reference: Array, frame: Array, reach: float
    ) -> tuple[Array, Array]:
        """Return the correlation of each block of ``frame`` with ``reference``, and its weight.

        The block is compared where it is and moved by up to ``reach`` pixels.
        """
        flow = optical_flow(frame, reference)
        length = np.hypot(flow[..., 0], flow[..., 1])[..., None]
        flow = (flow * np.minimum(1, reach / np.maximum(length, 1e-6))).astype(np.float32)
        ignored = shared_border(reference, frame)
        moved, weight = block_correlations(warped(reference, flow), frame, ignored)
        still, _ = block_correlations(reference, frame, ignored)
        return np.maximum(moved, still), weight

    def _changes(self, window: CleanWindow) -> dict[int, float]:
        """Return how much is new in each frame compared with the one before it, 0 to 1.

        The frames reach from :data:`SIDE` before the window to as many behind it.
        """
        first, last = max(window.low, window.start - SIDE), min(window.high, window.end + SIDE)
        return {time: 1 - self.ncc(time - 1, time) for time in range(first + 1, last + 1)}
