"""Compare how common each colour is in the foreground and in the background."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stages.segment.votes import blurred

MOST_BY_COLOR = 4.0  # most log-odds by colours


def color_odds(
    features: Sequence[Tensor],
    bins: Sequence[int],
    foreground: Tensor,
    background: Tensor,
    rare: float,
    kernels: Sequence[int] = (1,),
) -> Tensor:
    """Return each pixel's log-odds ``(h, w)`` of the foreground, by how common its features are.

    They are the logarithm of the ratio of two densities, of the foreground and of the background.

    features: tensors of h·w values in [0, 1]: colours, and coordinates for local densities.
    bins: the number of bins of each feature.
    foreground, background: how much each pixel counts for either density, ``(h, w)``, not negative.
    rare: added to both densities, so that a few pixels of a rare colour decide nothing.
    kernels: the squared widths of the densities' kernels in bins, rising; their mean is used.
    """
    cell = torch.zeros(foreground.numel(), dtype=torch.long)
    for feature, number in zip(features, bins, strict=True):
        cell = cell * number + (feature.flatten() * number).long().clamp(0, number - 1)
    densities = []
    for weight in (foreground, background):
        counts = torch.bincount(cell, weight.flatten(), math.prod(bins)).view(*bins)
        total = float(weight.sum()) + 1e-6
        densities.append((_smoothed(counts, kernels).flatten() / total)[cell] + rare)
    return (
        torch.log(densities[0] / densities[1])
        .clamp(-MOST_BY_COLOR, MOST_BY_COLOR)
        .view(foreground.shape)
    )


def _smoothed(counts: Tensor, kernels: Sequence[int]) -> Tensor:
    """Return the mean of several blurs of a histogram ``counts``, of any number of axes.

    kernels: how often each blur applies a kernel of one bin, rising.
    """
    total = torch.zeros_like(counts)
    smooth = counts
    done = 0
    for times in kernels:
        for _ in range(times - done):
            smooth = blurred(smooth)
        total = total + smooth / len(kernels)
        done = times
    return total
