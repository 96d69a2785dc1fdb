"""Compare how common each colour is in the foreground and in the background."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stages.segment.votes import blurred, cells_of

MOST_BY_COLOR = 4.0  # most log-odds by colours


class ColorDensities:
    """The densities of the colours of a picture's foreground and background, as histograms.

    features: tensors of h·w values in [0, 1]: colours, and coordinates for local densities.
    bins: the number of bins of each feature.
    rare: added to both densities, so that a few pixels of a rare colour decide nothing.
    kernels: the squared widths of the densities' kernels in bins, rising; their mean is used.
    """

    def __init__(
        self,
        features: Sequence[Tensor],
        bins: Sequence[int],
        rare: float,
        kernels: Sequence[int] = (1,),
    ) -> None:
        self._cells = cells_of(features, bins)
        self._bins = bins
        self._rare = rare
        self._kernels = kernels

    def odds(self, foreground: Tensor, background: Tensor) -> Tensor:
        """Return each pixel's log-odds ``(h, w)`` of the foreground, by how common its colour is.

        They are the logarithm of the ratio of both densities.

        foreground, background: how much each pixel counts for either density, ``(h, w)``, not
        negative.
        """
        ratio = self._density(foreground) / self._density(background)
        return torch.log(ratio).clamp(-MOST_BY_COLOR, MOST_BY_COLOR).view(foreground.shape)

    def _density(self, weight: Tensor) -> Tensor:
        """Return the density at each pixel's colour, ``(h w,)``. weight: of pixels, ``(h, w)``."""
        counts = torch.bincount(self._cells, weight.flatten(), math.prod(self._bins))
        smoothed = _smoothed(counts.view(*self._bins), self._kernels)
        total = float(weight.sum()) + 1e-6
        return (smoothed.flatten() / total)[self._cells] + self._rare


def _smoothed(counts: Tensor, kernels: Sequence[int]) -> Tensor:
    """Return the mean of several blurs of a histogram ``counts``, of any number of axes.

    kernels: how often each blur applies a kernel of one bin, rising.
    """
    total = torch.zeros_like(counts)
    blurred_counts = counts
    done = 0
    for times in kernels:
        for _ in range(times - done):
            blurred_counts = blurred(blurred_counts)
        total = total + blurred_counts / len(kernels)
        done = times
    return total
