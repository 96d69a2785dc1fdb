"""Statistics that several stages share."""

from __future__ import annotations

import torch
from torch import Tensor


def weighted_quantile(values: Tensor, weights: Tensor, part: float) -> Tensor:
    """Return the value, a scalar, below which ``part`` of the weight lies.

    values, weights: of one shape; the weights are 0 or more, and some are above 0.
    """
    ordered, order = values.flatten().sort()
    share = weights.flatten()[order].cumsum(0)
    at = int(torch.searchsorted(share, part * share[-1]))
    return ordered[min(at, len(ordered) - 1)]
