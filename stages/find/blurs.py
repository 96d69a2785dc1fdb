"""Dissolves whose scenes are blurred or coarsened meanwhile: told by the detail that is missing.

The filters are those of :mod:`stages.kinds.blur`. They change little in a frame that lacks detail
already, and much in a dissolve of two sharp pictures. Motion of the scenes does not matter for
that. Axes: T frames.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stages.find.features import Array
from stages.find.stretch import TransitionFit
from stages.kinds import BLUR
from stages.kinds.base import Filter
from stages.kinds.blur import FILTERS, filtered_mix
from stages.mixing.blend import blend

MOST_DETAIL = 0.4
"""Most energy of what a filter takes from the frames, relative to what it takes from a dissolve of
the two clean frames."""

LEAST_EXPECTED = 1e-4
"""Least energy that a filter has to take from a dissolve of the clean frames, in squared RGB, to
tell anything. A filter takes nothing from a picture that is even along its direction."""

FEWEST = 4
"""Mixed frames from which the missing detail can be told."""


def as_blur(found: TransitionFit, frames: Array) -> TransitionFit | None:
    """Return the blur that a dissolve in ``frames`` ``(T, H, W, 3)`` turns out to be, or None."""
    if len(found.mix) < FEWEST:
        return None
    sides = _picture(frames[found.before]), _picture(frames[found.after])
    mixed = [_picture(frame) for frame in frames[found.before + 1 : found.after]]
    errors = {
        name: _error(mixed, sides, found.mix.tolist(), apply)
        for name, apply in FILTERS.items()
        if _detail(mixed, sides, found.mix.tolist(), apply) <= MOST_DETAIL
    }
    if not errors:
        return None
    return replace(found, kind=BLUR, space="gamma", effect=min(errors, key=lambda n: errors[n]))


def _detail(
    mixed: list[Tensor], sides: tuple[Tensor, Tensor], mix: list[float], apply: Filter
) -> float:
    """Return what a filter takes from the mixed frames, relative to a dissolve of the sides.

    The result is 1, as for frames that lack nothing, where it would take hardly anything anyway.
    """
    taken = expected = 0.0
    for frame, weight in zip(mixed, mix, strict=True):
        plain = blend(*sides, weight)
        taken += float((frame - apply(frame, weight)).square().mean())
        expected += float((plain - apply(plain, weight)).square().mean())
    return taken / expected if expected > LEAST_EXPECTED * len(mixed) else 1.0


def _error(
    mixed: list[Tensor], sides: tuple[Tensor, Tensor], mix: list[float], apply: Filter
) -> float:
    """Return the squared error that a dissolve of the filtered sides leaves."""
    return sum(
        float((frame - filtered_mix(apply, sides, weight)).square().mean())
        for frame, weight in zip(mixed, mix, strict=True)
    )


def _picture(frame: Array) -> Tensor:
    """Return a frame ``(H, W, 3)`` as ``(3, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))
