"""Propose opacities and colours of a mark in a box from how colours change across edges.

Across the outline of a mark of opacity a and colour K, the inner colour is ``(1 - a) outer + a K``,
whatever the outer colour is. Edges of the scene do not agree on an opacity and a colour. So the
hypotheses on a grid are ranked by how many edges in the box agree with them, less how many agree
around the box. Voting of this kind is a Hough transform (Duda & Hart 1972).

One picture ``(1, 3, H, W)`` in [0, 1]; maps of pixels ``(H, W)``.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from stages.watermark.mark import MarkLaw
from stages.watermark.pixel_maps import ACROSS_OFFSETS, pixel_pairs

# The constants below were chosen on the development footage.
OPACITIES = (0.2, 0.3, 0.42, 0.54, 0.66, 0.8, 0.93)
"""Opacities that are tried, in [0, 1]."""
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Values of each channel of the colours that are tried."""
PROPOSALS_PER_OPACITY = 3
LEAST_EDGE = 0.08  # difference of colour across an edge, as an RGB distance
LEAST_JUMP = 0.1
"""Least difference that a hypothesis predicts at an agreeing edge, as an RGB distance."""
TOLERANCE = 0.05
"""Standard deviation of a colour around a hypothesis, as an RGB distance. It is about half a grid
step at opacity 0.4."""
MOST_EDGES = 3000
"""Edges that vote, in the box and around it: about this many, up to twice as many. Each of them
votes in both directions."""
MOST_COMPARED_COLORS = 1500  # colours that are compared with each other, up to twice as many
PRIOR_VOTES = 30.0  # votes added to the variance, so that a few votes do not count much
LEAST_CHANNEL_DISTANCE = 0.3
"""Two proposed colours differ by this much in at least one channel."""
LEAST_AROUND = 0.1
"""Pseudo-area around the box, as a fraction of the box. It keeps a small surrounding from
deciding."""


class MarkHypothesis(NamedTuple):
    """An opacity and a colour that a mark may have.

    opacity: in [0, 1]. color: red, green and blue in [0, 1].
    """

    opacity: float
    color: tuple[float, float, float]

    @property
    def law(self) -> MarkLaw:
        """The law that such a mark obeys."""
        return MarkLaw(self.opacity, torch.tensor(self.color))


def likely_marks(picture: Tensor, allowed: Tensor) -> tuple[MarkHypothesis, ...]:
    """Return the hypotheses that most edges agree with.

    Every opacity has :data:`PROPOSALS_PER_OPACITY` of them, the best ones first.

    picture: ``(1, 3, H, W)``. allowed: ``(H, W)`` in [0, 1], 0 where no mark may be.
    """
    inside = allowed > 0.5
    colors = picture.new_tensor(list(product(LEVELS, repeat=3)))
    edges_inside, edges_around = edges(picture, inside), edges(picture, inside, around=True)
    area, area_around = float(inside.sum()), float((~inside).sum())
    ratio = area / max(1.0, area_around + LEAST_AROUND * area)
    hypotheses: list[MarkHypothesis] = []
    for opacity in OPACITIES:
        votes = _votes(*edges_inside, opacity, colors)
        expected = ratio * _votes(*edges_around, opacity, colors)
        # Counts of edges have their mean as variance. That of ratio * count is ratio² * count,
        # which is ratio * expected.
        score = (votes - expected) / (votes + ratio * expected + PRIOR_VOTES).sqrt()
        for _ in range(PROPOSALS_PER_OPACITY):
            best = colors[int(score.argmax())]
            red, green, blue = best.tolist()
            hypotheses.append(MarkHypothesis(opacity, (red, green, blue)))
            score[(colors - best).abs().amax(1) < LEAST_CHANNEL_DISTANCE] = -torch.inf
    return tuple(hypotheses)


def likely_shared_marks(pictures: Tensor, count: int) -> tuple[MarkHypothesis, ...]:
    """Return at most ``count`` hypotheses on a mark that several pictures share, the best first.

    A pair of pixels across the mark's outline agrees with the mark in every picture. Edges of one
    scene agree with some mark, too, but not with the same one as the edges of the other pictures.

    pictures: ``(K, 3, H, W)`` with K > 1.
    """
    outer, inner = shared_edges(pictures)
    colors = pictures.new_tensor(list(product(LEVELS, repeat=3)))
    voted: list[tuple[float, MarkHypothesis]] = []
    for opacity in OPACITIES:
        misfit = torch.cdist(inner - (1 - opacity) * outer, opacity * colors)
        jump = opacity * torch.cdist(outer, colors).mean(0)
        agreement = torch.exp(-0.5 * (misfit / TOLERANCE).square().mean(0)) * (jump > LEAST_JUMP)
        votes = agreement.sum(0)
        for color in _highest(colors, votes, PROPOSALS_PER_OPACITY):
            red, green, blue = color.tolist()
            number = float(votes[(colors == color).all(1)])
            voted.append((number, MarkHypothesis(opacity, (red, green, blue))))
    voted.sort(key=lambda one: one[0], reverse=True)
    return tuple(hypothesis for _, hypothesis in voted[:count])


def shared_edges(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return the colours ``(K, n, 3)`` on the outer and on the inner side of edges.

    The edges are those of most pictures. Each side is taken in turn as inner.
    """
    outer, inner = [], []
    for offset in ACROSS_OFFSETS:
        sides = pixel_pairs(pictures, offset)
        is_edge = (sides[1] - sides[0]).square().sum(1).median(0).values > LEAST_EDGE**2
        for outer_side, inner_side in ((0, 1), (1, 0)):
            outer.append(sides[outer_side][:, :, is_edge])
            inner.append(sides[inner_side][:, :, is_edge])
    all_outer, all_inner = torch.cat(outer, 2), torch.cat(inner, 2)
    step = max(1, all_outer.shape[2] // (2 * MOST_EDGES))
    return all_outer[:, :, ::step].mT, all_inner[:, :, ::step].mT


def likely_colors(
    picture: Tensor, clean: Tensor, inside: Tensor, opacity: float, count: int
) -> list[Tensor]:
    """Return at most ``2 * count`` colours ``(3,)`` of a further piece that most edges agree with.

    The pieces of a mark are equally opaque. With a known opacity, every edge tells the colour that
    would explain it. Half of the colours are where these are densest, half are on the grid.

    picture: ``(1, 3, H, W)``. clean: the same without the pieces that are known.
    inside: the pixels in the box, ``(H, W)``, boolean. opacity: of the piece, in [0, 1].
    """
    outer, inner, edges_each = edges(picture, inside, clean=clean)
    grid = picture.new_tensor(list(product(LEVELS, repeat=3)))
    explaining = (inner - (1 - opacity) * outer) / opacity
    is_possible = (explaining > -TOLERANCE).all(1) & (explaining < 1 + TOLERANCE).all(1)
    is_possible &= opacity * (explaining - outer).norm(dim=1) > LEAST_JUMP
    explaining = explaining[is_possible].clamp(0, 1)
    explaining = explaining[:: max(1, len(explaining) // MOST_COMPARED_COLORS)]
    distance = torch.cdist(explaining, explaining) * opacity
    density = torch.exp(-0.5 * (distance / TOLERANCE).square()).sum(1)
    return [
        *_highest(explaining, density, count),
        *_highest(grid, _votes(outer, inner, edges_each, opacity, grid), count),
    ]


def _highest(colors: Tensor, votes: Tensor, count: int) -> list[Tensor]:
    """Return at most ``count`` of the ``colors`` (n, 3) with the most ``votes`` (n,).

    They differ from each other by :data:`LEAST_CHANNEL_DISTANCE` at least.
    """
    found: list[Tensor] = []
    votes = votes.clone()
    while len(found) < count and len(votes) and float(votes.max()) > 0:
        best = colors[int(votes.argmax())]
        found.append(best)
        votes[(colors - best).abs().amax(1) < LEAST_CHANNEL_DISTANCE] = -torch.inf
    return found


def edges(
    picture: Tensor, inside: Tensor, *, around: bool = False, clean: Tensor | None = None
) -> tuple[Tensor, Tensor, float]:
    """Return the colours on both sides of edges, outer and inner, ``(n, 3)`` each.

    Each side is taken in turn as inner. The last result is how many edges each of the n stands for.

    picture: ``(1, 3, H, W)`` in [0, 1]. inside: the pixels in the box, ``(H, W)``, boolean.
    around: return the edges outside of the box instead.
    clean: the picture without the mark's known pieces; the outer sides and the edges are its.
    """
    undone = picture if clean is None else clean
    outer, inner = [], []
    for offset in ACROSS_OFFSETS:
        given, clean_sides = pixel_pairs(picture[0], offset), pixel_pairs(undone[0], offset)
        is_inside = pixel_pairs(inside, offset)
        is_edge = (clean_sides[0] - clean_sides[1]).square().sum(0) > LEAST_EDGE**2
        for outer_side, inner_side in ((0, 1), (1, 0)):
            counted = is_edge & is_inside[inner_side]
            if around:
                counted = is_edge & ~is_inside[0] & ~is_inside[1]
            outer.append(clean_sides[outer_side][:, counted])
            inner.append(given[inner_side][:, counted])
    all_outer, all_inner = torch.cat(outer, 1).T, torch.cat(inner, 1).T
    step = max(1, len(all_outer) // MOST_EDGES)
    return all_outer[::step], all_inner[::step], float(step)


def _votes(
    outer: Tensor, inner: Tensor, edges_each: float, opacity: float, colors: Tensor
) -> Tensor:
    """Return a soft count ``(n,)`` of the edges that agree with this ``opacity`` and each colour.

    outer, inner: colours ``(m, 3)``. edges_each: how many edges one of them stands for.
    opacity: in [0, 1]. colors: ``(n, 3)``.
    """
    misfit = torch.cdist(inner - (1 - opacity) * outer, opacity * colors)
    jump = opacity * torch.cdist(outer, colors)
    agreement = torch.exp(-0.5 * (misfit / TOLERANCE).square()) * (jump > LEAST_JUMP)
    return edges_each * agreement.sum(0)
