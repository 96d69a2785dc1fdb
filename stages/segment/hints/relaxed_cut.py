"""Cut a picture in two along its colour edges: the convex relaxation of a graph cut.

The energy is ``sum_ij w_ij |u_i - u_j| - d · sum_i o_i u_i`` with u in [0, 1] on the pixels' eight
neighbours; o are log-odds and d is their weight. It is convex, so its minimum does not depend on
the start, and thresholding that minimum gives a best cut (Chan, Esedoglu and Nikolova 2006). The
primal-dual iteration is that of Chambolle and Pock (2011), algorithm 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STEP = 0.25
"""Size of primal and dual steps: the operator's squared norm is at most 16 with 8 neighbours."""
ITERATIONS = 100  # by then nearly all pixels are at 0 or 1
NEIGHBORS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Row and column offsets of half of the neighbours; the other half are their opposites."""
CONTRAST = 2.0
"""Squared difference at which an edge's weight falls to 1/e, in mean squared differences (Boykov
and Jolly 2001)."""
LEAST_EDGE = 0.05
"""Weight of the outline's length along strong edges; a flat picture has 1 more. Chosen on the
development footage."""


def edge_weights(colors: Tensor) -> list[Tensor]:
    """Return the weight of each pair of neighbours, one tensor for each of :data:`NEIGHBORS`.

    ``exp(-|c_i - c_j|² / (2 · mean))`` plus a constant, over the neighbours' distance (Boykov and
    Jolly 2001). colors: ``(C, h, w)``, such as CIE Lab.
    """
    squares = []
    for offset in NEIGHBORS:
        first, second = _pairs(colors, offset)
        squares.append(((first - second) ** 2).sum(0))
    total = sum(float(each.sum()) for each in squares)
    mean = total / max(1, sum(each.numel() for each in squares)) + 1e-6
    return [
        (torch.exp(-each / (CONTRAST * mean)) + LEAST_EDGE) / math.hypot(*offset)
        for offset, each in zip(NEIGHBORS, squares, strict=True)
    ]


def relaxed_cut(log_odds: Tensor, weights: list[Tensor], data_weight: float) -> Tensor:
    """Return the graph cut ``(h, w)`` in [0, 1], nearly everywhere 0 or 1.

    log_odds: of label 1, ``(h, w)``. weights: of the edges, see :func:`edge_weights`.
    data_weight: weight of the log-odds against the outline's length.
    """
    u = (log_odds > 0).to(log_odds)
    u_extrapolated = u.clone()
    duals = [torch.zeros_like(weight) for weight in weights]
    data_step = STEP * data_weight * log_odds
    for _ in range(ITERATIONS):
        divergence = torch.zeros_like(u)
        for offset, weight, dual in zip(NEIGHBORS, weights, duals, strict=True):
            first, second = _pairs(u_extrapolated, offset)
            dual.add_(second - first, alpha=STEP)
            torch.minimum(torch.maximum(dual, -weight), weight, out=dual)
            first, second = _pairs(divergence, offset)
            first.add_(dual)
            second.sub_(dual)
        u_next = (u + STEP * divergence + data_step).clamp_(0, 1)
        u_extrapolated = 2 * u_next - u
        u = u_next
    return u


def outline_weight(found: Tensor, weights: list[Tensor]) -> float:
    """Return the mean weight of the pairs that an outline divides; 1 means no edges along it.

    found: one side of the outline, ``(h, w)`` of bool. weights: see :func:`edge_weights`.
    """
    weight, length = 0.0, 0.0
    for offset, each in zip(NEIGHBORS, weights, strict=True):
        first, second = _pairs(found, offset)
        divided = first != second
        weight += float(each[divided].sum())
        length += float(divided.sum()) / math.hypot(*offset)
    return weight / length if length else 1.0


def _pairs(values: Tensor, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return views of all pixels that have a neighbour at ``offset``, and of these neighbours.

    values: ``(..., h, w)``. offset: in pixels, down (0 or more) and right.
    """
    down, right = offset
    height, width = values.shape[-2:]
    left = max(0, -right)
    across = max(0, width - abs(right))
    first = values[..., : max(0, height - down), left : left + across]
    second = values[..., down:, left + right : left + right + across]
    return first, second
