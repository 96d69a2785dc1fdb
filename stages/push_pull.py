"""Fill what is unknown of a picture smoothly from what is known around it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LEAST_WEIGHT = 1e-6
"""Least weight that is divided by. Where nothing is known, the quotient is not used."""


def push_pull(values: Tensor, known: Tensor) -> Tensor:
    """Fill unknown values smoothly from the known ones around them (push-pull).

    The picture is halved until all is known, then filled from coarse to fine (Gortler et al. 1996,
    section 3.4). If nothing is known, the result is zero.

    values: ``(n, C, h, w)``. known: ``(n, 1, h, w)`` of bool, or one map for all, ``(1, 1, h, w)``.
    """
    if bool(known.all()):
        return values
    weight = known.to(values).expand(len(values), -1, -1, -1)
    is_one_pixel = max(values.shape[-2:]) == 1
    if is_one_pixel or not bool(known.any()):
        return values * weight
    size = (values.shape[-2], values.shape[-1])
    total = functional.avg_pool2d(values * weight, 2, ceil_mode=True, count_include_pad=False)
    known_part = functional.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
    coarse = push_pull(total / known_part.clamp_min(LEAST_WEIGHT), known_part > 0)
    return torch.where(
        known,
        values,
        functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False),
    )
