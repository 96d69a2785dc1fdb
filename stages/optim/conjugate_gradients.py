"""Solve a linear system by conjugate gradients (Hestenes and Stiefel, 1952)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    target: Tensor,
    start: Tensor,
    *,
    iterations: int,
    tolerance: float,
) -> Tensor:
    """Return the solution x of ``product(x) = target``, in the shape of ``target``.

    product: multiplies by a symmetric positive definite matrix, which is never built.
    start: where the search begins, of the shape of ``target``. iterations: at most.
    tolerance: mean squared residual below which the system counts as solved.
    """
    x = start
    residual = target - product(x)
    direction = residual
    squared = (residual * residual).sum()
    for _ in range(iterations):
        if float(squared) < tolerance * residual.numel():
            break
        image = product(direction)
        step = squared / (direction * image).sum()
        x = x + step * direction
        residual = residual - step * image
        before = squared
        squared = (residual * residual).sum()
        direction = residual + (squared / before) * direction
    return x
