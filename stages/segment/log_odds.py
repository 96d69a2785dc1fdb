"""Log-odds of the foreground, and how thresholds become log-odds.

Log-odds are ``(T, h, w)``, at most :data:`MOST_ODDS` from zero; positive means foreground.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

MOST_ODDS = 3.0
"""Most log-odds that motion, contrast, a hint or a fixed background gives a pixel.

This and the constants below were chosen on the development footage.
"""
STEEPNESS = 3.0
"""Log-odds for each factor of e by which a measure is above its threshold."""
LOW, HIGH = 0.8, 1.6
"""Multiples of a threshold at whose geometric mean the log-odds are zero."""
_TINY = 1e-3  # keeps the logarithm of a ratio of zero finite


def odds_above(ratio: Tensor) -> Tensor:
    """Return log-odds that grow with the logarithm of a ratio.

    ratio: a measure divided by its threshold, of any shape. The log-odds are zero where it is the
    geometric mean of :data:`LOW` and :data:`HIGH`.
    """
    middle = (LOW * HIGH) ** 0.5
    return (STEEPNESS * torch.log((ratio + _TINY) / middle)).clamp(-MOST_ODDS, MOST_ODDS)


def matte_log_odds(matte: Tensor) -> Tensor:
    """Return the log-odds ``(T, h, w)`` of a matte ``(T, 1, h, w)`` in [0, 1].

    Alphas of 0 and 1 have infinite log-odds, so they are limited to those of sure pixels.
    """
    least_alpha = torch.sigmoid(torch.tensor(-MOST_ODDS)).item()
    return matte[:, 0].clamp(least_alpha, 1 - least_alpha).logit()


def otsu(values: Tensor, bins: int = 256) -> float:
    """Return the threshold that separates ``values`` best into two groups (Otsu 1979).

    values: of any shape. If all are equal, the result is their value. bins: of their histogram.
    """
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9:
        return high
    counts, edges = np.histogram(values.cpu().numpy().ravel(), bins)
    centers = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * centers)
    total, mean = below[-1], sums[-1] / below[-1]
    variance_between = (mean * below - sums) ** 2 / np.maximum(below * (total - below), 1)
    return float(centers[variance_between[:-1].argmax()])


def running_median(values: Tensor, reach: int) -> Tensor:
    """Return the running median of ``values`` ``(T,)`` over ``reach`` frames to each side."""
    return torch.stack(
        [values[max(0, t - reach) : t + reach + 1].median() for t in range(len(values))]
    )
