"""What the fits of flows pay for, each with its slope written out.

Left to autograd, each would pass over its pictures a dozen times, forward and backward; here it is four times. They can be differentiated
once, no more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROUND = 0.02  # below this a difference counts squared, above it as it is
SHORT = 0.1  # the same for the length of a vector, in pixels


class _Charbonnier(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, difference: Tensor) -> Tensor:
        root = (difference * difference).add_(ROUND**2).sqrt_()
        value = root.mean() - ROUND
        ctx.save_for_backward(torch.div(difference, root, out=root))
        return value

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        given: Tensor = slope * (above[0] / slope.numel())
        return given


class _SmoothedTotalVariation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, order: int, dim: int) -> Tensor:
        change = vectors.diff(order, dim)
        x, y = change.unbind(-3)
        root = (x * x).addcmul_(y, y).add_(SHORT**2).sqrt_()
        ctx.order, ctx.dim, ctx.count = order, dim, root.numel()
        ctx.save_for_backward(change.div_(root.unsqueeze(-3)))
        return root.mean()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        slope = slope * (above[0] / ctx.count)
        # What a difference takes from one value it gives to the one before it.
        rim = torch.zeros_like(slope.narrow(ctx.dim, 0, 1))
        for _ in range(ctx.order):
            slope = torch.cat([rim, slope, rim], ctx.dim).diff(1, ctx.dim).neg_()
        return slope, None, None


def charbonnier(difference: Tensor) -> Tensor:
    """Mean absolute value, smooth below :data:`ROUND`: ``mean(sqrt(d² + ROUND²)) - ROUND``."""
    value: Tensor = _Charbonnier.apply(difference)  # type: ignore[no-untyped-call]
    return value


def smoothed_total_variation(vectors: Tensor, dim: int, order: int = 1) -> Tensor:
    """Mean length of the differences of ``order`` along ``dim`` between vectors ``(…, 2, h, w)``, smooth at :data:`SHORT`; or 0."""
    if vectors.shape[dim] <= order:
        return vectors.new_zeros(())
    value: Tensor = _SmoothedTotalVariation.apply(vectors, order, dim)  # type: ignore[no-untyped-call]
    return value
