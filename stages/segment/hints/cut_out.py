"""Cut out what the user marked in one picture.

This is GrabCut (Rother et al. 2004) with kernel densities instead of mixtures, local colours, and a
convex cut. Each turn has two steps:

1. The colours of the foreground and of the background are learnt as densities, over the whole
   picture and near each place (:mod:`stages.segment.hints.color_odds`). In the first turn every
   unmarked pixel counts as background, because the thing is usually the smaller part.
2. The ratio of the densities decides a graph cut along the colour edges. The next turn learns from
   its result. What is not connected to the user's regions is left out.

A box marks no pixel for certain. So what was cut out of it is cut once more, by GrabCut as
published, with mixtures of normal distributions that are learnt from the surest pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.segment.cut import cut
from stages.segment.guided_filter import guided_filter
from stages.segment.hints.color_odds import ColorDensities
from stages.segment.hints.evidence import RegionEvidence
from stages.segment.hints.relaxed_cut import edge_weights, relaxed_cut
from stages.segment.lab import lab_colors, spread_colors
from stages.segment.log_odds import MOST_ODDS

# The constants below were chosen on the development footage.
TURNS = 5  # times that the colours are learnt and the picture is cut
COLOR_BINS = 44  # of L, a and b each; a shadow on water differs little from a dark bird
COLOR_KERNEL = (1,)
"""Squared width in bins of the kernel by which a colour counts."""
FEW_KERNELS = (1, 4)
"""The same for a few points, which hold too few pixels for narrow kernels to overlap."""
FEW_POINTS = 0.002  # part of the picture up to which what is marked is a few points
LOCAL_BINS = (10, 8, 6, 12, 7)
"""Bins of L, a, b, x and y of the local densities."""
LOCAL_WEIGHT = 0.5  # weight of the local log-odds; the picture's have 1
RARE = 5e-5  # share of pixels added to each density: a few of a rare colour decide nothing
LOCAL_RARE = RARE / 20  # the same for local densities, which have more bins
UNMARKED = -0.5  # log-odds of a pixel of which nothing is known
CUT_WEIGHT = 0.05  # weight of log-odds against the outline's length
MARKED = 2.0  # times that a certain foreground pixel counts as one that was found
CERTAIN = 50.0  # log-odds that no outline overrules
SURE_IN_BOX = 0.05  # a probability this near to 0 or 1 is not changed by the last cut of a box
LEAST_ODDS = 0.1  # least log-odds of a pixel, with the sign of the side that it was cut to
LEAST_PART = 0.05
"""Least area of a separate part of the foreground in a box, in areas of the largest part."""


def cut_out(picture: Tensor, known: RegionEvidence, learned_from: Tensor | None = None) -> Tensor:
    """Return log-odds ``(h, w)`` of the foreground, at most :data:`MOST_ODDS` from zero.

    Where they are positive is what was cut out.

    picture: ``(3, h, w)`` in [0, 1]. known: what the user's regions say, at this size.
    learned_from: the pixels whose colours are learnt, ``(h, w)`` of bool; all unless given.
    """
    edges = edge_weights(lab_colors(picture[None])[0])
    in_picture, in_place = _densities(picture, known)
    prior = known.prior + UNMARKED
    foreground, background = _first_weights(known)
    found = chance = prior
    for turn in range(TURNS):
        if learned_from is not None:
            foreground, background = foreground * learned_from, background * learned_from
        odds = prior + in_picture.odds(foreground, background)
        if turn:
            odds = odds + LOCAL_WEIGHT * in_place.odds(foreground, background)
        odds = guided_filter(odds[None, None], picture[None])[0, 0]
        odds = torch.where(known.foreground, CERTAIN, torch.where(known.background, -CERTAIN, odds))
        found = connected(relaxed_cut(odds, edges, CUT_WEIGHT), known.foreground)
        chance = (torch.sigmoid(odds) + found) / 2
        foreground = torch.where(known.foreground, MARKED, found * chance)
        background = torch.where(known.background, 1.0, (1 - found) * (1 - chance))
    return _on_side(MOST_ODDS * (2 * chance - 1), found > 0.5)


def cut_again(picture: Tensor, odds: Tensor, known: RegionEvidence) -> Tensor:
    """Return log-odds ``(h, w)`` whose signs follow GrabCut, which begins from the given ones.

    Pixels that are nearly certain keep their side. Nothing changes where a picture has too few of
    them to learn colours from.

    picture: ``(3, h, w)`` in [0, 1]. odds: of :func:`cut_out`, ``(h, w)``. known: as there.
    """
    certain = known.foreground.float() - known.background.float()
    start = torch.where(certain != 0, CERTAIN * certain, odds)
    found = cut(picture[None], start[None], SURE_IN_BOX)[0, 0]
    return _on_side(odds, connected(found, known.foreground) > 0.5)


def connected(found: Tensor, certain: Tensor) -> Tensor:
    """Return ``found`` ``(h, w)`` in [0, 1] without the parts that touch no region of the user.

    certain: the certain foreground, ``(h, w)`` of bool. Without any, small parts are left out.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (found > 0.5).numpy().astype(np.uint8), connectivity=8
    )
    kept = np.zeros(count, bool)
    if bool(certain.any()):
        kept[np.unique(labels[certain.numpy()])] = True
    elif count > 1:
        areas = stats[:, cv2.CC_STAT_AREA]
        kept = areas >= LEAST_PART * areas[1:].max()
    kept[0] = False
    return torch.where(torch.from_numpy(kept[labels]), found, 0.0)


def _densities(picture: Tensor, known: RegionEvidence) -> tuple[ColorDensities, ColorDensities]:
    """Return the densities of colours over the whole picture ``(3, h, w)`` and near each place."""
    colors = spread_colors(picture[None])
    x, y = _coordinates(picture.shape[-2], picture.shape[-1])
    marked_part = float(known.foreground.float().mean())
    kernels = FEW_KERNELS if 0 < marked_part <= FEW_POINTS else COLOR_KERNEL
    in_picture = ColorDensities(colors, [COLOR_BINS] * 3, RARE, kernels)
    return in_picture, ColorDensities([*colors, x, y], LOCAL_BINS, LOCAL_RARE)


def _coordinates(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return every pixel's x and y in parts of the sides, ``(1, height, width)`` each."""
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand(1, height, width)
    x = ((torch.arange(width) + 0.5) / width).expand(1, height, width)
    return x, y


def _first_weights(known: RegionEvidence) -> tuple[Tensor, Tensor]:
    """Return how much each pixel's colour counts for foreground and background in the first turn.

    The weights are ``(h, w)`` in [0, 1].
    """
    base = known.prior + UNMARKED
    foreground = torch.where(known.foreground, 1.0, 0.0)
    if not bool(known.foreground.any()):
        # No pixel is certain, so the colours are learnt from the likely ones.
        foreground = torch.where(known.background, 0.0, torch.sigmoid(base))
    background = torch.where(known.background, 1.0, torch.sigmoid(-base))
    background = torch.where(known.foreground | (known.prior > 0), 0.0, background)
    return foreground, background


def _on_side(odds: Tensor, inside: Tensor) -> Tensor:
    """Return ``odds`` ``(h, w)``, positive where ``inside`` is true and negative elsewhere."""
    return torch.where(inside, odds.clamp_min(LEAST_ODDS), odds.clamp_max(-LEAST_ODDS))
