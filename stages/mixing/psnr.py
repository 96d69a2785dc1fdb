"""Peak signal-to-noise ratio, in decibels, of values in [0, 1]."""

from __future__ import annotations

import math

from torch import Tensor

MOST_DECIBELS = 99.0
"""Value for equal pictures, whose ratio is infinite."""

LEAST_ERROR = 1e-10
"""Least mean squared error of which the logarithm is taken; it is that of 100 dB."""


def psnr_of(error: float, most: float = MOST_DECIBELS) -> float:
    """Return the PSNR in dB of a mean squared error: ``min(most, -10 log10(error))``."""
    return min(most, -10 * math.log10(max(error, LEAST_ERROR)))


def psnr(estimate: Tensor, truth: Tensor, most: float = MOST_DECIBELS) -> float:
    """Return the PSNR in dB of all values of two tensors of the same shape together.

    estimate, truth: values in [0, 1]. most: what is returned for equal tensors.
    """
    return psnr_of(float(((estimate - truth) ** 2).mean()), most)


def mean_psnr(estimate: Tensor, truth: Tensor, most: float = MOST_DECIBELS) -> float:
    """Return the mean of the frames' PSNR in dB, each at most ``most``.

    estimate, truth: ``(T, 3, H, W)`` in [0, 1].
    """
    errors = ((estimate - truth) ** 2).flatten(1).mean(1).tolist()
    return sum(psnr_of(error, most) for error in errors) / len(errors)
