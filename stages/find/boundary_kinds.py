"""Tell of what kind a boundary is, and prove boundaries by a model of the frames.

A boundary is where the picture changes for good (:mod:`stages.find.boundaries`). Its frames may be
those of a wipe or an iris, scenes that move as a whole, pixels that change one by one, or a blur.
"""

from __future__ import annotations

from stages.find.blurs import find_blur
from stages.find.edge_fit import find_wipe, pattern_between
from stages.find.examine import REJECTION_LIMIT, rejection_score
from stages.find.features import Array
from stages.find.pixels import find_pixels
from stages.find.placements import find_placement
from stages.find.prefer_model import better_placement
from stages.find.quick_look import narrowed
from stages.find.stretch import Stretch, TransitionFit
from stages.find.windows import Boundary, CleanWindow

# Most that moving scenes may leave where nothing else speaks for a boundary: see
# stages.find.placements.MOST_ERROR.
ALONE_ERROR = 0.3
RELATED_ERROR = 0.15  # the same where the two sides have something in common
# Least part of the variance of the blocks' times that a pattern explains where nothing else speaks
# for a boundary. Drawn whip pans reached 0.82, real fast shots 0.73, and wipes with a soft edge or
# with scenes that move fast 0.88 and more.
ALONE_EXPLAINED = 0.88


def kind_of_boundary(
    frames: Array, boundary: Boundary, reach: tuple[int, int]
) -> TransitionFit | None:
    """Return the transition that a boundary turns out to be, or None if its kind is unknown.

    frames: ``(T, H, W, 3)``. reach: the first and the last frame of the stretch.
    """
    stretch, sides = Stretch(frames, *reach), (boundary.first - 1, boundary.last + 1)
    wipe = find_wipe(stretch, *sides) or find_wipe(stretch, *sides, carried=True)
    if wipe is not None and rejection_score(wipe, frames) < REJECTION_LIMIT:
        return better_placement(frames, wipe, reach)
    return (
        find_placement(stretch, *sides, two_shots=True)
        or find_pixels(stretch, *sides)
        or find_blur(stretch, *sides)
        or _placement_within(stretch, boundary)
    )


def _placement_within(stretch: Stretch, boundary: Boundary) -> TransitionFit | None:
    """Return the transition with moving scenes in the window of a boundary, or None.

    Where little is to be seen of a scene, its boundary ends while the scenes still move.
    """
    if boundary.within is None:
        return None
    start, end = boundary.within
    sides = max(stretch.low, start), min(stretch.high, end)
    return find_placement(stretch, *sides, ALONE_ERROR, two_shots=True)


def boundary_by_model(
    frames: Array, window: CleanWindow, has_common: bool = False
) -> Boundary | None:
    """Return the boundary in a window that a model proves by itself, or None.

    Either the scenes move as a whole, or the places of the picture change in the order of a wipe.
    frames: ``(T, H, W, 3)``. has_common: whether the ends of the window have something in common.
    Then only scenes that move as a whole and explain nearly everything are proof.
    """
    stretch, sides = Stretch(frames, window.low, window.high), (window.start, window.end)
    inner = narrowed(stretch, *sides)
    if inner is not None:
        placed = find_placement(stretch, *inner, RELATED_ERROR if has_common else ALONE_ERROR)
        if placed is not None:
            return Boundary(placed.before + 1, placed.after - 1)
    if has_common:
        return None
    pattern = pattern_between(stretch, *sides, least=ALONE_EXPLAINED)
    if pattern is None:
        return None
    first = max(window.start + 1, window.start + 1 + round(pattern.first))
    last = min(window.end - 1, window.start + round(pattern.last))
    return Boundary(first, last) if last >= first else None
