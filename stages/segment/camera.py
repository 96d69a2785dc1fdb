"""Estimate the camera's motion: the homography that most of a flow follows.

Flows are as in :mod:`stages.motion.flow`: ``(n, 2, h, w)``, in pixels, x then y. Homographies are
``(n, 3, 3)``, for coordinates in halves of the width from the picture's centre.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stages.motion.flow import flows, length

OUTER_REACH = 0.15
"""Part of the side over which a pixel's weight in the camera's motion falls to a third.

The picture's outer edge counts most, because the foreground is mostly in the middle.
"""
INSIDE_WEIGHT = 0.1  # weight in the middle of the picture, relative to 1 more at its outer edge
POINTS = 1600  # flow vectors that a homography is fitted to
ROUNDS = 30  # rounds of re-weighting these vectors
MOST_SHIFT = 0.003  # part of the width by which a fixed camera's picture may seem to shift
LEAST_DEPTH = 0.05
"""Depth that is divided by at least: a bad first guess may send points behind the camera."""
IDENTITY = torch.eye(3, dtype=torch.float64).flatten()[:8]
"""The first eight entries of the homography that moves nothing; the ninth one is always 1."""
QUADRATIC = torch.tensor([[0, 1, 3], [1, 2, 4], [3, 4, 5]])
"""Places of the products of x, y and 1 with each other in (x x, x y, y y, x, y, 1)."""


def camera_rests(sample: Tensor) -> bool:
    """Return whether the camera stands still over two or more frames ``(S, 3, h, w)``.

    It does if the homographies to the middle frame hardly move anything.
    """
    middle = len(sample) // 2
    pairs = [(middle, index) for index in range(len(sample)) if index != middle]
    found = flows(sample, pairs)
    camera = camera_flow(torch.stack([found[pair] for pair in pairs]))
    shift = length(camera).flatten(1).median(1).values
    return float(shift.quantile(0.9)) <= MOST_SHIFT * sample.shape[-1]


def camera_flow(flow: Tensor) -> Tensor:
    """Return the camera's part of ``flow`` ``(n, 2, h, w)``: the flow of the best homography."""
    return homography_flow(fit_homographies(flow), (flow.shape[-2], flow.shape[-1])).to(flow)


def fit_homographies(flow: Tensor) -> Tensor:
    """Fit a homography to each of the flows ``(n, 2, h, w)``; the outer edge counts most.

    Coordinates are in halves of the width from the centre. Re-weighted least squares uses Geman and
    McClure's weight ``1 / (1 + (e / s)²)²`` of the error e, in pixels. The scale s falls from one
    that accepts nearly all points to twice the median error (graduated non-convexity). Nothing is
    random.

    Returns ``(n, 3, 3)``, float64.
    """
    height, width = flow.shape[-2:]
    stride = max(1, round((height * width / POINTS) ** 0.5))
    x, y = centered_coordinates((height, width))
    x, y = x[::stride, ::stride].flatten(), y[::stride, ::stride].flatten()
    moved = flow[:, :, ::stride, ::stride].flatten(2).double().cpu() * (2 / width)
    to_x, to_y = x + moved[:, 0], y + moved[:, 1]
    place_weight = camera_weight((height, width))[::stride, ::stride].flatten()
    weight = place_weight.expand_as(to_x)
    scale = torch.zeros(0)
    for number in range(ROUNDS):
        matrices = _least_squares_homographies(x, y, to_x, to_y, weight)
        predicted = project_points(matrices, x, y)
        error = torch.hypot(predicted[:, 0] - to_x, predicted[:, 1] - to_y) * (width / 2)
        if number == 0:
            scale = error.quantile(0.9, dim=1, keepdim=True) + 0.5
        typical = error.median(dim=1, keepdim=True).values
        scale = torch.maximum(0.8 * scale, (2 * typical).clamp_min(0.5))
        weight = place_weight / (1 + (error / scale) ** 2) ** 2
    return matrices


def homography_flow(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the flow ``(n, 2, H, W)``, float64, of homographies ``(n, 3, 3)``.

    Their coordinates are those of :func:`fit_homographies`.
    """
    x, y = centered_coordinates(size)
    moved = project_points(matrices, x.flatten(), y.flatten()).view(-1, 2, *size)
    flow: Tensor = (moved - torch.stack([x, y])) * (size[1] / 2)
    return flow


def project_points(matrices: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Apply homographies ``(n, 3, 3)`` to the points x, y ``(N,)``; return ``(n, 2, N)``."""
    moved = matrices @ torch.stack([x, y, torch.ones_like(x)])
    depth = moved[:, 2:]
    return moved[:, :2] / torch.where(depth.abs() < LEAST_DEPTH, LEAST_DEPTH, depth)


def centered_coordinates(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return every pixel's x and y, ``(H, W)``, float64, in halves of the width from the centre."""
    y, x = torch.meshgrid(
        *(torch.arange(side, dtype=torch.float64) - (side - 1) / 2 for side in size), indexing="ij"
    )
    return x * (2 / size[1]), y * (2 / size[1])


def outer_distance(size: tuple[int, int]) -> Tensor:
    """Return each pixel's distance to the outer edge in parts of a side, ``(H, W)``, 0 to 0.5."""
    sides: Sequence[Tensor] = [
        torch.minimum(torch.arange(side) + 0.5, side - 0.5 - torch.arange(side)) / side
        for side in size
    ]
    return torch.minimum(sides[0][:, None], sides[1][None])


def camera_weight(size: tuple[int, int]) -> Tensor:
    """Return the weight of every pixel when the camera is fitted, ``(H, W)``, float64."""
    return (torch.exp(-outer_distance(size) / OUTER_REACH) + INSIDE_WEIGHT).double()


def _least_squares_homographies(
    x: Tensor, y: Tensor, to_x: Tensor, to_y: Tensor, weight: Tensor
) -> Tensor:
    """Return the homographies ``(n, 3, 3)`` of least weighted squared error.

    They take points (x, y) to (to_x, to_y). With q = (x, y, 1) and the homography's first eight
    entries h, a point has two linear equations, ``(q, 0, -to_x x, -to_x y) h = to_x`` and
    ``(0, q, -to_y x, -to_y y) h = to_y``. Their normal equations have sums of few products only.

    x, y: ``(N,)``. to_x, to_y: ``(n, N)``, for n homographies. weight: of each point, ``(n, N)``.
    """
    products = torch.stack([x * x, x * y, y * y, x, y, torch.ones_like(x)], 1)
    across, down = weight * to_x, weight * to_y
    sums, by_x, by_y, by_both = (
        each @ products for each in (weight, across, down, across * to_x + down * to_y)
    )
    normal = torch.zeros(len(weight), 8, 8, dtype=torch.float64)
    normal[:, :3, :3] = normal[:, 3:6, 3:6] = sums[:, QUADRATIC]
    for rows, moved in ((slice(0, 3), by_x), (slice(3, 6), by_y)):
        normal[:, rows, 6:] = -moved[:, QUADRATIC][:, :, :2]
        normal[:, 6:, rows] = normal[:, rows, 6:].mT
    normal[:, 6:, 6:] = by_both[:, QUADRATIC][:, :2, :2]
    # How far the wanted places are from where the identity leaves the points.
    from_x, from_y = sums[:, QUADRATIC[0]], sums[:, QUADRATIC[1]]
    tilt = by_x[:, QUADRATIC[0, :2]] + by_y[:, QUADRATIC[1, :2]] - by_both[:, QUADRATIC[2, :2]]
    right = torch.cat([by_x[:, QUADRATIC[2]] - from_x, by_y[:, QUADRATIC[2]] - from_y, tilt], 1)
    # Pictures of a few pixels do not determine eight numbers: pull gently towards no motion.
    ridge = 1e-4 * torch.eye(8, dtype=torch.float64)
    entries = IDENTITY + torch.linalg.solve(normal + ridge, right)
    last = torch.ones(len(entries), 1, dtype=torch.float64)
    return torch.cat([entries, last], 1).view(-1, 3, 3)
