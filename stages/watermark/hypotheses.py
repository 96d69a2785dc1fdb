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

from stages.watermark.find import ACROSS, pairs

# The constants below were chosen on the development footage.
OPACITIES = (0.2, 0.3, 0.42, 0.54, 0.66, 0.8, 0.93)
"""Opacities that are tried, in [0, 1]."""
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Values of each channel of the colours that are tried."""
PROPOSALS_PER_OPACITY = 3
EDGE = 0.08  # least difference of colour across an edge, as an RGB distance
LEAST_JUMP = 0.1
"""Least difference that a hypothesis predicts at an agreeing edge, as an RGB distance."""
TOLERANCE = 0.05
"""Standard deviation of a colour around a hypothesis, as an RGB distance. It is about half a grid
step at opacity 0.4."""
MOST_EDGES = 3000
"""Edges that vote, in the box and around it: about this many, up to twice as many. Each of them
votes in both directions."""
MOST_COMPARED = 1500  # colours that are compared with each other, up to twice as many
PRIOR_VOTES = 30.0  # votes added to the variance, so that a few votes do not count much
LEAST_CHANNEL_DISTANCE = 0.3
"""Two proposed colours differ by this much in at least one channel."""
LEAST_AROUND = 0.1
"""Pseudo-area around the box, as a fraction of the box. It keeps a small surrounding from
deciding."""


class MarkHypothesis(NamedTuple):
    """Hold an opacity and a colour that a mark may have.

    opacity: in [0, 1]. color: red, green and blue in [0, 1].
    """

    opacity: float
    color: tuple[float, float, float]


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
        likely = torch.exp(-0.5 * (misfit / TOLERANCE).square().mean(0)) * (jump > LEAST_JUMP)
        votes = likely.sum(0)
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
    for offset in ACROSS:
        sides = pairs(pictures, offset)
        strong = (sides[1] - sides[0]).square().sum(1).median(0).values > EDGE**2
        for out, into in ((0, 1), (1, 0)):
            outer.append(sides[out][:, :, strong])
            inner.append(sides[into][:, :, strong])
    every = torch.cat(outer, 2), torch.cat(inner, 2)
    step = max(1, every[0].shape[2] // (2 * MOST_EDGES))
    return every[0][:, :, ::step].mT, every[1][:, :, ::step].mT


def likely_colors(
    picture: Tensor, clean: Tensor, inside: Tensor, opacity: float, count: int
) -> list[Tensor]:
    """Return at most ``2 * count`` colours ``(3,)`` of a further piece that most edges agree with.

    The pieces of a mark are equally opaque. With a known opacity, every edge tells the colour that
    would explain it. Half of the colours are where these are densest, half are on the grid.

    picture: ``(1, 3, H, W)``. clean: the same without the pieces that are known.
    inside: the pixels in the box, ``(H, W)``, boolean. opacity: of the piece, in [0, 1].
    """
    outer, inner, each = edges(picture, inside, clean=clean)
    grid = picture.new_tensor(list(product(LEVELS, repeat=3)))
    told = (inner - (1 - opacity) * outer) / opacity
    is_possible = (told > -TOLERANCE).all(1) & (told < 1 + TOLERANCE).all(1)
    is_possible &= opacity * (told - outer).norm(dim=1) > LEAST_JUMP
    told = told[is_possible].clamp(0, 1)
    told = told[:: max(1, len(told) // MOST_COMPARED)]
    density = torch.exp(-0.5 * (torch.cdist(told, told) * opacity / TOLERANCE).square()).sum(1)
    return [
        *_highest(told, density, count),
        *_highest(grid, _votes(outer, inner, each, opacity, grid), count),
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
    """Return the colours on the outer and on the inner side, taking each side in turn as inner.

    Returns two tensors ``(n, 3)``, and how many edges each of the n stands for.

    picture: ``(1, 3, H, W)`` in [0, 1]. inside: the pixels in the box, ``(H, W)``, boolean.
    around: return the edges outside of the box instead.
    clean: the picture without the mark's known pieces; the outer sides and the edges are its.
    """
    undone = picture if clean is None else clean
    outer, inner = [], []
    for offset in ACROSS:
        sides, places = pairs(picture[0], offset), pairs(inside, offset)
        outsides = pairs(undone[0], offset)
        strong = (outsides[0] - outsides[1]).square().sum(0) > EDGE**2
        for out, into in ((0, 1), (1, 0)):
            counted = strong & places[into]
            if around:
                counted = strong & ~places[0] & ~places[1]
            outer.append(outsides[out][:, counted])
            inner.append(sides[into][:, counted])
    every = torch.cat(outer, 1).T, torch.cat(inner, 1).T
    step = max(1, len(every[0]) // MOST_EDGES)
    return every[0][::step], every[1][::step], float(step)


def _votes(outer: Tensor, inner: Tensor, each: float, opacity: float, colors: Tensor) -> Tensor:
    """Return a soft count ``(n,)`` of the edges that agree with this ``opacity`` and each colour.

    outer, inner: colours ``(m, 3)``. each: how many edges one of them stands for.
    opacity: in [0, 1]. colors: ``(n, 3)``.
    """
    misfit = torch.cdist(inner - (1 - opacity) * outer, opacity * colors)
    jump = opacity * torch.cdist(outer, colors)
    likely = torch.exp(-0.5 * (misfit / TOLERANCE).square()) * (jump > LEAST_JUMP)
    return each * likely.sum(0)
