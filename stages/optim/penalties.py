"""Penalties of the flow fits, each with its gradient written out.

With autograd each would pass over its pictures a dozen times, forward and backward; here there are
four passes. They can be differentiated once, not twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHARBONNIER_SCALE = 0.02
"""Difference of values in [0, 1] below which the Charbonnier penalty is nearly quadratic: its ε."""

VARIATION_SCALE = 0.1
"""Length of a vector, in pixels, below which the total variation is nearly quadratic: its ε."""


class _Charbonnier(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, difference: Tensor) -> Tensor:
        root = (difference * difference).add_(CHARBONNIER_SCALE**2).sqrt_()
        value = root.mean() - CHARBONNIER_SCALE
        ctx.save_for_backward(torch.div(difference, root, out=root))
        return value

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        gradient: Tensor = slope * (above[0] / slope.numel())
        return gradient


class _SmoothedTotalVariation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, order: int, dim: int) -> Tensor:
        change = vectors.diff(order, dim)
        x, y = change.unbind(-3)
        root = (x * x).addcmul_(y, y).add_(VARIATION_SCALE**2).sqrt_()
        ctx.order = order
        ctx.dim = dim
        ctx.count = root.numel()
        ctx.save_for_backward(change.div_(root.unsqueeze(-3)))
        return root.mean()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        slope = slope * (above[0] / ctx.count)
        # The adjoint of a difference: what is added to one value is subtracted from the one before.
        zero = torch.zeros_like(slope.narrow(ctx.dim, 0, 1))
        for _ in range(ctx.order):
            slope = torch.cat([zero, slope, zero], ctx.dim).diff(1, ctx.dim).neg_()
        return slope, None, None


def charbonnier(difference: Tensor) -> Tensor:
    """Return the Charbonnier penalty ``mean(sqrt(d² + ε²)) - ε``, a scalar of 0 or more.

    It is a mean absolute value that is smooth at zero (Charbonnier et al., ICIP 1994). ε is
    :data:`CHARBONNIER_SCALE`.

    difference: d, of any shape.
    """
    value: Tensor = _Charbonnier.apply(difference)  # type: ignore[no-untyped-call]
    return value


def smoothed_total_variation(vectors: Tensor, dim: int, order: int = 1) -> Tensor:
    """Return the mean of ``sqrt(|d v|² + ε²)``, for the differences ``d v`` of vectors v.

    It is a total variation that is smooth at zero (Rudin et al., Physica D 1992). ε is
    :data:`VARIATION_SCALE`.

    vectors: ``(..., 2, h, w)``, in pixels. dim: the dimension along which they are compared.
    order: 1 for differences, 2 for differences of differences.

    Returns 0 where there are too few vectors along ``dim``.
    """
    if vectors.shape[dim] <= order:
        return vectors.new_zeros(())
    value: Tensor = _SmoothedTotalVariation.apply(vectors, order, dim)  # type: ignore[no-untyped-call]
    return value
