"""Propose opacities and colours of a mark in a box from how colours change across edges.

Across the outline of a mark of opacity a and colour K, the inner colour is ``(1 - a) outer + a K``,
whatever the outer colour is. Edges of the scene share no such law. So the laws on a grid are ranked
by how many edges in the box obey them, less how many obey them around the box. Voting of this kind
is a Hough transform (Duda & Hart 1972).

One picture ``(1, 3, H, W)`` in [0, 1]; maps of pixels ``(H, W)``.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from stages.watermark.find import ACROSS, pairs

OPACITIES = (0.2, 0.3, 0.42, 0.54, 0.66, 0.8, 0.93)
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Values of each channel of the colours that are tried."""
EACH = 3  # laws that are proposed for each opacity
EDGE = 0.08  # least difference of colour across an edge
LEAST_JUMP = 0.1  # least difference that a law predicts at an edge that obeys it
TOLERANCE = 0.05
"""Standard deviation of colours around a law. It is half a step of the grid, times the opacity."""
MOST_EDGES = 3000  # edges that vote, in the box and around it
PRIOR_VOTES = 30.0  # votes added to the variance, so that a few votes do not count much
APART = 0.3  # least difference of a channel between two proposed colours
LEAST_AROUND = 0.1
"""Part of the box's area that is added to the area around it. It bounds what little area tells."""

Law = tuple[float, tuple[float, float, float]]


def likely_laws(picture: Tensor, allowed: Tensor) -> tuple[Law, ...]:
    """Return the opacities and colours that most edges obey, :data:`EACH` for every opacity.

    picture: ``(1, 3, H, W)``. allowed: ``(H, W)`` in [0, 1], 0 where no mark may be.
    """
    inside = allowed > 0.5
    colours = picture.new_tensor(list(product(LEVELS, repeat=3)))
    within, around = edges(picture, inside), edges(picture, inside, around=True)
    area, area_around = float(inside.sum()), float((~inside).sum())
    ratio = area / max(1.0, area_around + LEAST_AROUND * area)
    laws: list[Law] = []
    for opacity in OPACITIES:
        found = _votes(*within, opacity, colours)
        chance = ratio * _votes(*around, opacity, colours)
        score = (found - chance) / (found + ratio * chance + PRIOR_VOTES).sqrt()
        for _ in range(EACH):
            best = colours[int(score.argmax())]
            red, green, blue = best.tolist()
            laws.append((opacity, (red, green, blue)))
            score[(colours - best).abs().amax(1) < APART] = -torch.inf
    return tuple(laws)


def edges(picture: Tensor, inside: Tensor, *, around: bool = False) -> tuple[Tensor, Tensor, float]:
    """Return the colours ``(n, 3)`` at both sides of edges, and how many edges each stands for.

    The first are the outer and the second the inner ones, if the mark were inside. Every edge is
    returned both ways round.

    inside: the pixels in the box, ``(H, W)``, boolean.
    around: return the edges outside of the box instead.
    """
    outer, inner = [], []
    for offset in ACROSS:
        sides, places = pairs(picture[0], offset), pairs(inside, offset)
        strong = (sides[0] - sides[1]).square().sum(0) > EDGE**2
        for out, into in ((0, 1), (1, 0)):
            counted = strong & places[into]
            if around:
                counted = strong & ~places[0] & ~places[1]
            outer.append(sides[out][:, counted])
            inner.append(sides[into][:, counted])
    every = torch.cat(outer, 1).T, torch.cat(inner, 1).T
    step = max(1, len(every[0]) // MOST_EDGES)
    return every[0][::step], every[1][::step], float(step)


def _votes(outer: Tensor, inner: Tensor, each: float, opacity: float, colours: Tensor) -> Tensor:
    """Return the edges ``(n,)`` that obey the law of this ``opacity`` and each of ``colours``.

    outer, inner: ``(m, 3)``. each: how many edges one of them stands for. colours: ``(n, 3)``.
    """
    misfit = torch.cdist(inner - (1 - opacity) * outer, opacity * colours)
    jump = opacity * torch.cdist(outer, colours)
    likely = torch.exp(-0.5 * (misfit / TOLERANCE).square()) * (jump > LEAST_JUMP)
    return each * likely.sum(0)
