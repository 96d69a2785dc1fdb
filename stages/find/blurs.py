"""Dissolves whose scenes are blurred or coarsened meanwhile: told by the detail that is missing.

The filters are those of all kinds. They change little in a frame that lacks detail already, and
much in a dissolve of two sharp pictures. Motion of the scenes does not matter for that.
Axes: T frames.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from torch import Tensor

from stages.find.curve import NOISE, even_mix
from stages.find.features import Array, channels_first
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds import FILTERS, kind_of_filter
from stages.kinds.base import Filter
from stages.mixing.filtering import detail_left, filtered_mix

MOST_DETAIL = 0.4
"""Most detail that blurred frames may have, see :func:`stages.mixing.filtering.detail_left`."""

MOST_ERROR = 0.2
"""Most squared error that the filtered clean frames leave, as a part of what the nearer of them
leaves unfiltered. In seven drawn blurs it was 0.006 to 0.055, in 28 other transitions 0.34 and
more."""

FEWEST = 4
"""Mixed frames from which the missing detail can be told."""


def as_blur(found: TransitionFit, frames: Array) -> TransitionFit | None:
    """Return the blur that a dissolve in ``frames`` ``(T, H, W, 3)`` turns out to be, or None."""
    if len(found.mix) < FEWEST:
        return None
    sides = channels_first(frames[found.before]), channels_first(frames[found.after])
    mixed = [channels_first(frame) for frame in frames[found.before + 1 : found.after]]
    mix = found.mix.tolist()
    errors = {
        name: _error(mixed, sides, mix, apply)
        for name, apply in FILTERS.items()
        if detail_left(apply, mixed, sides, mix) <= MOST_DETAIL
    }
    if not errors:
        return None
    name = min(errors, key=lambda each: errors[each])
    return replace(found, kind=kind_of_filter(name), space="gamma", effect=name)


def find_blur(stretch: Stretch, before: int, after: int) -> TransitionFit | None:
    """Return the blur between roughly these two clean frames, or None.

    Its scenes may move so much that no dissolve was found. A blur hides nearly all of that motion,
    so the filtered clean frames explain its frames all the better.
    """
    found = [_best_ends(stretch, (before, after), name) for name in FILTERS]
    best = min(found, key=lambda blur: blur.relative_error)
    if len(best.mix) < FEWEST or best.relative_error > MOST_ERROR:
        return None
    # A filter leaves smooth pictures as they are, so the detail has to be missing, too.
    return as_blur(best, stretch.frames)


def _best_ends(stretch: Stretch, sides: tuple[int, int], name: str) -> TransitionFit:
    """Return the blur by one filter whose ends, near ``sides``, explain most.

    Its ``relative_error`` is a part of what the nearer of the two clean frames leaves, unfiltered.
    """
    best, most_explained, relative_error = sides, -math.inf, math.inf
    examined: set[tuple[int, int]] = set()
    while best not in examined:
        examined.add(best)
        for before, after in _neighbors(best, stretch):
            error, unfiltered = _errors_between(stretch.frames[before : after + 1], name)
            explained = unfiltered - error / MOST_ERROR
            if explained > most_explained:
                best, most_explained = (before, after), explained
                relative_error = error / (unfiltered + NOISE)
    mix, kind = even_mix(best[1] - best[0] - 1), kind_of_filter(name)
    return TransitionFit(*best, mix, kind, relative_error=relative_error, effect=name)


def _errors_between(frames: Array, name: str) -> tuple[float, float]:
    """Return the squared error of a blur, and that of the nearer clean frame, unfiltered.

    frames: ``(n + 2, H, W, 3)``, the clean ones first and last. name: of the filter. Both errors
    are sums over the frames in between of their means.
    """
    unfiltered = np.minimum(
        ((frames[1:-1] - frames[0]) ** 2).mean((1, 2, 3)),
        ((frames[1:-1] - frames[-1]) ** 2).mean((1, 2, 3)),
    )
    one, *mixed, other = (channels_first(frame) for frame in frames)
    error = _error(mixed, (one, other), even_mix(len(mixed)).tolist(), FILTERS[name])
    return error, float(unfiltered.sum())


def _neighbors(sides: tuple[int, int], stretch: Stretch) -> list[tuple[int, int]]:
    """Return two clean frames, and those with one of them a frame further in or out."""
    before, after = sides
    near = [(before, after), (before - 1, after), (before + 1, after)]
    near += [(before, after - 1), (before, after + 1)]
    return [
        (one, other)
        for one, other in near
        if one >= stretch.low and other <= stretch.high and other - one > FEWEST
    ]


def _error(
    mixed: list[Tensor], sides: tuple[Tensor, Tensor], mix: list[float], apply: Filter
) -> float:
    """Return the squared error that a dissolve of the filtered sides leaves."""
    return sum(
        float((frame - filtered_mix(apply, sides, weight)).square().mean())
        for frame, weight in zip(mixed, mix, strict=True)
    )
