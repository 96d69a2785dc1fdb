"""Align maps with the edges in a picture: the guided filter (He et al. 2010; He and Sun 2015).

Pictures are ``(T, 3, h, w)`` in [0, 1], maps ``(T, 1, h, w)``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

EDGE_RADIUS = 2  # pixels; the squares of the fit have twice as many and one a side
EDGE_VARIANCE = 1e-3  # variance of colour below which a square counts as flat


def guided_filter(
    values: Tensor, guide: Tensor, radius: int = EDGE_RADIUS, floor: float = EDGE_VARIANCE
) -> Tensor:
    """Align ``values`` ``(T, 1, h, w)`` with the edges of ``guide``; see :func:`guided_lines`."""
    slope, offset = guided_lines(values, guide, radius, floor)
    return (slope * guide).sum(1, keepdim=True) + offset


def guided_lines(values: Tensor, guide: Tensor, radius: int, floor: float) -> tuple[Tensor, Tensor]:
    """Fit ``values`` by functions linear in the guide's colours (He et al. 2010, eq. 14-16).

    values: ``(T, 1, h, w)``. guide: ``(T, 3, h, w)``.
    radius: of the local squares, which have ``2 radius + 1`` pixels a side.
    floor: the variance of colour below which such a square counts as flat.

    Returns slopes ``(T, 3, h, w)`` and offsets ``(T, 1, h, w)``. They may be resized and applied to
    a larger guide (He and Sun 2015).
    """
    slopes, offsets = [], []
    for value, picture in zip(values[:, None], guide[:, None], strict=True):
        means = square_means(
            torch.cat([picture, value, picture * value, _products(picture)], 1), radius
        )
        mean, mean_value = means[:, :3], means[:, 3:4]
        covariance = means[:, 4:7] - mean * mean_value
        slope = solve_per_pixel(means[:, 7:] - _products(mean), floor, covariance)
        offset = mean_value - (slope * mean).sum(1, keepdim=True)
        lines = square_means(torch.cat([slope, offset], 1), radius)
        slopes.append(lines[:, :3])
        offsets.append(lines[:, 3:])
    return torch.cat(slopes), torch.cat(offsets)


def _products(colors: Tensor) -> Tensor:
    """Return the products 00, 01, 02, 11, 12, 22 of three channels: ``(n, 6, h, w)``."""
    red, green, blue = torch.split(colors, 1, dim=1)
    return torch.cat(
        [red * red, red * green, red * blue, green * green, green * blue, blue * blue], 1
    )


def square_means(values: Tensor, radius: int) -> Tensor:
    """Return the means of ``values`` ``(..., H, W)`` over squares.

    The result is that of :func:`stages.motion.flow.box`. Here the axes are averaged one after the
    other, which takes a quarter of the time for small radii (in pixels).
    """
    for axis, sides in ((-1, (radius, radius, 0, 0)), (-2, (0, 0, radius, radius))):
        padded = functional.pad(values, sides, mode="replicate")
        length = values.shape[axis]
        total = padded.narrow(axis, 0, length).clone()
        for shift in range(1, 2 * radius + 1):
            total += padded.narrow(axis, shift, length)
        values = total / (2 * radius + 1)
    return values


def solve_per_pixel(matrices: Tensor, ridge: float, right: Tensor) -> Tensor:
    """Solve symmetric systems of three unknowns at every pixel by their LDL decomposition.

    matrices: the entries 00, 01, 02, 11, 12, 22, ``(n, 6, h, w)``, positive semidefinite.
    ridge: added to the diagonal. right: the right-hand sides, ``(n, 3, h, w)``, as the result.
    """
    a00, a01, a02, a11, a12, a22 = matrices.unbind(1)
    pivot0 = a00 + ridge
    l10, l20 = a01 / pivot0, a02 / pivot0
    pivot1 = (a11 + ridge - l10 * a01).clamp_min(ridge)
    l21 = (a12 - l20 * a01) / pivot1
    pivot2 = (a22 + ridge - l20 * a02 - l21 * l21 * pivot1).clamp_min(ridge)
    y0, y1, y2 = right.unbind(1)
    y1 = y1 - l10 * y0
    y2 = y2 - l20 * y0 - l21 * y1
    x2 = y2 / pivot2
    x1 = y1 / pivot1 - l21 * x2
    x0 = y0 / pivot0 - l10 * x1 - l20 * x2
    return torch.stack([x0, x1, x2], 1)
