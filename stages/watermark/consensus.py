"""Find what several pictures have in common: a mark of any colours.

Pictures ``(K, 3, H, W)`` in [0, 1]; maps ``(H, W)``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.watermark.continuity import NEXT_OFFSETS, OUTLINE_COST, PairCosts, expansion_move
from stages.watermark.graph_cut import solve
from stages.watermark.mark import Mark, MarkedPictures
from stages.watermark.outline_law import shared_opacity
from stages.watermark.pixel_maps import pixel_pairs

AGREEMENT = 0.7
"""An edge is shared if ``(1 + AGREEMENT) / 2`` of the pictures have it, that is 85 %."""
ITERATIONS = 400  # of :func:`consensus`
ALTERNATIONS = 2  # of the cut and the opacity in :func:`agreed_mark`


def agreed_mark(marked: MarkedPictures, opacity: float, iterations: int) -> Mark | None:
    """Return the mark of any colours that several pictures share, or None if the cut finds none.

    With J of :func:`consensus`, the ink is ``J + a C``, where C is the pictures' median less J. So
    every pixel's colour is known, and one cut decides which pixels are marked. Cut and opacity
    alternate.

    opacity: to start from. iterations: of a cut.
    """
    pictures = marked.pictures
    common = consensus(pictures, marked.allowed)
    clean = pictures.median(0).values - common
    nothing = Mark.nothing(pictures)
    costs = PairCosts(marked.weight, OUTLINE_COST / len(pictures) ** 0.5)
    chosen = torch.zeros_like(marked.allowed, dtype=torch.bool)
    color = nothing.ink
    for _ in range(ALTERNATIONS):
        color = (common / opacity + clean).clamp(0, 1)
        cut = expansion_move(pictures, nothing, opacity, color, costs)
        chosen = solve(cut, marked.allowed, iterations)
        if not bool(chosen.any()):
            return None
        opacity = shared_opacity(pictures, chosen) or opacity
    matte = opacity * chosen.float()[None]
    return Mark(matte, matte * color, opacity, 0.0)


def consensus(
    pictures: Tensor, allowed: Tensor, iterations: int = ITERATIONS, agreement: float = AGREEMENT
) -> Tensor:
    """Return what the pictures have in common, relative to its surroundings, ``(3, H, W)``.

    It is the J that minimises the sum over pairs of neighbours of ``mean_k |d I_k - d J| +
    agreement |d J|``. So it integrates the edges that nearly all pictures share, at their median
    strength (Weiss 2001; Dekel et al. 2017, eq. 3). The primal-dual method solves it.

    allowed: ``(H, W)`` in [0, 1]; where it is 0, the result is 0.
    agreement: an edge is shared if ``(1 + agreement) / 2`` of the pictures have it.
    """
    count = len(pictures)
    edges = [
        there - here for here, there in (pixel_pairs(pictures, offset) for offset in NEXT_OFFSETS)
    ]
    # The dual variables of both terms.
    data_duals = [torch.zeros_like(edge) for edge in edges]
    prior_duals = [torch.zeros_like(edge[0]) for edge in edges]
    common = torch.zeros_like(pictures[0])
    extrapolated = common
    for _ in range(iterations):
        slope = torch.zeros_like(common)
        for offset, edge, data_dual, prior_dual in zip(
            NEXT_OFFSETS, edges, data_duals, prior_duals, strict=True
        ):
            here, there = pixel_pairs(extrapolated, offset)
            data_dual.add_((there - here)[None] - edge, alpha=0.5 / count)
            data_dual.clamp_(-1 / count, 1 / count)
            prior_dual.add_(there - here, alpha=0.5).clamp_(-agreement, agreement)
            slope_here, slope_there = pixel_pairs(slope, offset)
            total = data_dual.sum(0) + prior_dual
            slope_here -= total
            slope_there += total
        stepped = (common - slope / 8) * allowed
        extrapolated, common = 2 * stepped - common, stepped
    return common
