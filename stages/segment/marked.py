"""Cut out what the user marked in one picture.

Colours of both sides are learnt as densities, over the whole picture and near each place, and
their ratio decides a graph cut along the colour edges. The result is learnt from again, for a few
turns: GrabCut (Rother et al. 2004) with kernel densities instead of mixtures, local colours, and a
convex cut. At first every unmarked pixel counts as background to learn from, because the thing is
usually the smaller part. What is not connected to the user's regions is left out.

A box marks no pixel for certain, so what was cut out of it is cut once more, with mixtures of
normal distributions (GrabCut as published) that are learnt from the surest pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.segment.cut import cut
from stages.segment.evidence import RegionEvidence
from stages.segment.guided_filter import guided_filter
from stages.segment.lab import lab_colors, spread_colors
from stages.segment.log_odds import MOST_ODDS
from stages.segment.relaxed_cut import edge_weights, relaxed_cut
from stages.segment.votes import blurred

# The constants below were chosen on the development footage.
TURNS = 5  # times that the colours are learnt and the picture is cut
COLOR_BINS = 44  # of L, a and b each; a shadow on water differs little from a dark bird
COLOR_KERNEL = (1,)
"""Squared width in bins of the kernel by which a colour counts."""
FEW_KERNELS = (1, 4)
"""The same for a few points, which hold too few pixels for narrow kernels to overlap."""
FEW = 0.002  # part of the picture up to which what is marked is a few points
LOCAL_BINS = (10, 8, 6, 12, 7)
"""Bins of L, a, b, x and y of the local densities."""
LOCAL_SHARE = 0.5  # weight of the local log-odds; the picture's have 1
RARE = 5e-5  # added to densities, as a part of all pixels in a bin
LOCAL_RARE = RARE / 20  # the same for local densities, which have more bins
MOST = 4.0  # most log-odds by colours
UNMARKED = -0.5  # log-odds of a pixel of which nothing is known
CUT_SHARE = 0.05  # weight of log-odds against the outline's length
MARKED = 2.0  # times that a certain foreground pixel counts as one that was found
CERTAIN = 50.0  # log-odds that no outline overrules
SURE_IN_BOX = 0.05  # a probability this near to 0 or 1 is not changed by the last cut of a box
SUPPORTED = 0.1  # least log-odds of a pixel, with the sign of the side that it was cut to
LEAST_PART = 0.05  # of the largest part, for another part of the foreground in a box


def cut_out(picture: Tensor, known: RegionEvidence, learned_from: Tensor | None = None) -> Tensor:
    """Return log-odds ``(h, w)`` of the foreground, at most :data:`MOST_ODDS` from zero.

    Where they are positive is what was cut out.

    picture: ``(3, h, w)`` in [0, 1]. known: what the user's regions say, at this size.
    learned_from: the pixels whose colours are learnt, ``(h, w)`` of bool; all unless given.
    """
    height, width = known.prior.shape
    looks = spread_colors(picture[None])
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand(1, height, width)
    x = ((torch.arange(width) + 0.5) / width).expand(1, height, width)
    weights = edge_weights(lab_colors(picture[None])[0])
    base = known.prior + UNMARKED
    ours = torch.where(known.ours, 1.0, 0.0)
    if not bool(known.ours.any()):
        ours = torch.where(known.theirs, 0.0, torch.sigmoid(base))
    theirs = torch.where(known.theirs, 1.0, torch.sigmoid(-base))
    theirs = torch.where(known.ours | (known.prior > 0), 0.0, theirs)
    marked = float(known.ours.float().mean())
    kernels = FEW_KERNELS if 0 < marked <= FEW else COLOR_KERNEL
    found = soft = base
    for turn in range(TURNS):
        if learned_from is not None:
            ours, theirs = ours * learned_from, theirs * learned_from
        odds = base + color_odds(looks, [COLOR_BINS] * 3, ours, theirs, RARE, kernels)
        if turn:
            near = color_odds([*looks, x, y], LOCAL_BINS, ours, theirs, LOCAL_RARE)
            odds = odds + LOCAL_SHARE * near
        odds = guided_filter(odds[None, None], picture[None])[0, 0]
        odds = torch.where(known.ours, CERTAIN, torch.where(known.theirs, -CERTAIN, odds))
        found = connected(relaxed_cut(odds, weights, CUT_SHARE), known.ours)
        soft = (torch.sigmoid(odds) + found) / 2
        ours = torch.where(known.ours, MARKED, found * soft)
        theirs = torch.where(known.theirs, 1.0, (1 - found) * (1 - soft))
    return _on_side(MOST_ODDS * (2 * soft - 1), found > 0.5)


def cut_again(picture: Tensor, odds: Tensor, known: RegionEvidence) -> Tensor:
    """Return log-odds ``(h, w)`` whose signs follow GrabCut, which begins from the given ones.

    Pixels that are nearly certain keep their side. Nothing changes where a picture has too few of
    them to learn colours from.

    picture: ``(3, h, w)`` in [0, 1]. odds: of :func:`cut_out`, ``(h, w)``. known: as there.
    """
    certain = known.ours.float() - known.theirs.float()
    start = torch.where(certain != 0, CERTAIN * certain, odds)
    found = cut(picture[None], start[None], SURE_IN_BOX)[0, 0]
    return _on_side(odds, connected(found, known.ours) > 0.5)


def _on_side(odds: Tensor, ours: Tensor) -> Tensor:
    """Return ``odds`` ``(h, w)``, positive where ``ours`` is true and negative elsewhere."""
    return torch.where(ours, odds.clamp_min(SUPPORTED), odds.clamp_max(-SUPPORTED))


def color_odds(
    features: Sequence[Tensor],
    bins: Sequence[int],
    ours: Tensor,
    theirs: Tensor,
    rare: float,
    kernels: Sequence[int] = (1,),
) -> Tensor:
    """Return the log-ratio ``(h, w)`` of two densities at each pixel's own features.

    features: tensors of h·w values in [0, 1]. bins: how many each has. rare: added to both.
    ours, theirs: the weight with which each pixel counts, ``(h, w)``.
    kernels: the squared widths of the densities' kernels in bins, rising; their mean is used.
    """
    cell = torch.zeros(ours.numel(), dtype=torch.long)
    for feature, number in zip(features, bins, strict=True):
        cell = cell * number + (feature.flatten() * number).long().clamp(0, number - 1)
    densities = []
    for each in (ours, theirs):
        counts = torch.bincount(cell, each.flatten(), math.prod(bins)).view(*bins)
        total = float(each.sum()) + 1e-6
        densities.append((_smoothed(counts, kernels).flatten() / total)[cell] + rare)
    return torch.log(densities[0] / densities[1]).clamp(-MOST, MOST).view(ours.shape)


def _smoothed(counts: Tensor, kernels: Sequence[int]) -> Tensor:
    """Return the mean of ``counts`` blurred this often by a kernel of one bin; rising numbers."""
    total, smooth, done = torch.zeros_like(counts), counts, 0
    for times in kernels:
        for _ in range(times - done):
            smooth = blurred(smooth)
        total, done = total + smooth / len(kernels), times
    return total


def connected(found: Tensor, ours: Tensor) -> Tensor:
    """Return ``found`` ``(h, w)`` in [0, 1] without the parts that touch no region of the user.

    ours: the certain pixels, ``(h, w)`` of bool. Without any, small parts are left out.
    """
    count, labels, facts, _ = cv2.connectedComponentsWithStats(
        (found > 0.5).numpy().astype(np.uint8), connectivity=8
    )
    kept = np.zeros(count, bool)
    if bool(ours.any()):
        kept[np.unique(labels[ours.numpy()])] = True
    elif count > 1:
        areas = facts[:, cv2.CC_STAT_AREA]
        kept = areas >= LEAST_PART * areas[1:].max()
    kept[0] = False
    return torch.where(torch.from_numpy(kept[labels]), found, 0.0)
