"""Dissolves whose scenes are blurred or coarsened meanwhile: told by the detail that is missing.

The filters are those of all kinds. They change little in a frame that lacks detail
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
from stages.kinds import FILTERS, kind_of_filter
from stages.kinds.base import Filter
from stages.mixing.filtering import detail_left, filtered_mix

MOST_DETAIL = 0.4
"""Most detail that blurred frames may have, see :func:`stages.mixing.filtering.detail_left`."""

FEWEST = 4
"""Mixed frames from which the missing detail can be told."""


def as_blur(found: TransitionFit, frames: Array) -> TransitionFit | None:
    """Return the blur that a dissolve in ``frames`` ``(T, H, W, 3)`` turns out to be, or None."""
    if len(found.mix) < FEWEST:
        return None
    sides = _picture(frames[found.before]), _picture(frames[found.after])
    mixed = [_picture(frame) for frame in frames[found.before + 1 : found.after]]
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
