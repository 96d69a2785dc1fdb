"""A quick look for scenes that move as a whole, at a small size.

It costs a small part of :func:`stages.find.placements.find_placement` and tells where that is worth
its cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.find.features import is_too_small
from stages.find.paths import (
    SHORTEST,
    Effects,
    PathProblem,
    likeliest_effects,
    placing_effects,
    quick_path,
)
from stages.find.stretch import Stretch

# The most error that an effect may leave, as part of the error without any movement. It is loose,
# because small frames blur the seams.
MOST_ERROR = 0.5
# The same between frames that lie far outside of the transition. A drawn push behind 12 frames of a
# moving camera left 0.55 there, and 0.13 between its own clean frames.
MOST_ERROR_WIDE = 0.75


@dataclass(frozen=True)
class QuickLook:
    """The error that the best effect leaves between two clean frames, at a small size.

    relative_error: squared error that it leaves, as a part of the error without any movement. It is
        infinite where nothing can be told.
    explained: squared error that it takes away, summed over the frames. Only what exceeds a part of
        1 - :data:`MOST_ERROR` counts, so it is negative where the effect explains little.
    """

    relative_error: float = np.inf
    explained: float = -np.inf


def may_be_placed(stretch: Stretch, before: int, after: int) -> bool:
    """Return whether a quick look finds scenes that move as a whole between two clean frames."""
    return _look(stretch, before, after).relative_error <= MOST_ERROR


def narrowed(stretch: Stretch, before: int, after: int) -> tuple[int, int] | None:
    """Return the frames inside of two between which scenes move as a whole, or None.

    The given frames may lie far outside of the transition. If the scenes move by themselves, such
    frames explain little of it, and nearer ones explain more. So each side moves inwards, by ever
    smaller steps, as long as a quick look explains more squared error. The sum over all frames
    counts, because two frames of a still shot explain the few changes between them perfectly.
    """
    if _is_too_little(stretch, before, after):
        return None
    carried = likeliest_effects(_small(stretch, before, after), placing_effects())
    look = _look(stretch, before, after, carried)
    if look.relative_error > MOST_ERROR_WIDE:
        return None
    step = (after - before) // 4
    while step:
        looks = {
            sides: _look(stretch, *sides, carried)
            for sides in ((before + step, after), (before, after - step))
        }
        best = max(looks, key=lambda sides: looks[sides].explained)
        if looks[best].explained > look.explained:
            look, (before, after) = looks[best], best
        else:
            step //= 2
    return (before, after) if look.relative_error <= MOST_ERROR else None


def _look(stretch: Stretch, before: int, after: int, carried: Effects | None = None) -> QuickLook:
    """Return what the best effect leaves between two clean frames.

    It takes small frames and few values of the progress. carried: the effects that are tried where
    the cameras move; all unless given.
    """
    if _is_too_little(stretch, before, after):
        return QuickLook()
    effects = placing_effects()
    best = quick_path(_small(stretch, before, after), effects, carried or effects)
    unplaced = best.unplaced_error()
    error = best.error / unplaced
    return QuickLook(error, (MOST_ERROR - error) * unplaced * (after - before - 1))


def _is_too_little(stretch: Stretch, before: int, after: int) -> bool:
    """Return whether frames are too small, or too few, to show scenes that move as a whole."""
    return is_too_small(stretch.frames) or after - before < SHORTEST


def _small(stretch: Stretch, before: int, after: int) -> PathProblem:
    """Return the problem of placing two clean frames in those between them, made small."""
    return PathProblem.of(stretch, (before, after), (before, after)).small()
