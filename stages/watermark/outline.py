"""Correct what undoing a mark leaves along its soft outline.

A matte is known to a few percent of its rise from outside to inside. Undoing a nearly opaque mark
amplifies this error into a coloured ghost of the outline. So the pixels of the outline become the
most likely ones, given two things: what undoing the mark says, as far as that is certain there, and
what their neighbours say, as far as the texture around the mark is smooth.

Frames ``(T, 3, H, W)`` and colours ``(3, H, W)`` in [0, 1]; matte ``(1, H, W)``. The n pixels of
the outline have places, which count the pixels of a frame row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.evidence import NEAR
from stages.watermark.find import pairs
from stages.watermark.pictures import bounds_around
from stages.watermark.texture import AROUND, TAIL, whitening

MATTE_ERROR = 0.03
"""Usual error of a matte, as a part of its rise from outside to inside. On five drawn marks, the
median error along the outline was 0.019 to 0.031."""
LEAST_RISE = 0.05
"""Least rise of the matte at the outline, as a part of its highest value."""
ROUNDING = 1 / 255  # standard deviation of a value by rounding and compression
LEAST_TRANSMITTED = 0.03  # least ``1 - matte`` by which an error counts as divided
PAIR_SHARE = 0.5  # the pairs around a pixel overlap, so each of them counts half
MOST_PIXELS = 100_000
"""Most pixels of an outline: 200 MiB and five seconds of a processor for each picture."""
ROUNDS = 5  # reweightings of the pairs by Student's distribution
TURNS = 8  # Jacobi iterations in each of them; the outline is a few pixels wide


@dataclass(frozen=True)
class Neighbors:
    """Hold the eight neighbours of each pixel of an outline.

    places: of the neighbours, ``(8, n)``.
    factors: that whiten the difference from each of them, ``(8, n, 3, 3)``; 0 beyond the rim.
    """

    places: Tensor
    factors: Tensor


def with_likely_outline(frames: Tensor, matte: Tensor, color: Tensor) -> Tensor:
    """Return the undone ``frames`` with the most likely pixels along the outline of ``matte``.

    All other pixels stay the same to the bit. An outline of more than :data:`MOST_PIXELS`, such as
    that of a mark all over a large picture, stays as it is.
    """
    place = matte[0] > 0
    if not bool(place.any()):
        return frames
    area = bounds_around(place, AROUND)
    near, color = matte[(..., *area)], color[(..., *area)]
    rise = matte_rise(near)
    outline = (near > 0) & (rise > LEAST_RISE * near.max())
    if int(outline.sum()) > MOST_PIXELS:
        return frames
    result = frames.clone()
    for frame in result:
        part = frame[(..., *area)]
        deviation = undone_deviation(part, near, color, rise)
        part.copy_(_likely(part, outline[0], near[0] > 0, deviation[0]))
    return result


def matte_rise(matte: Tensor) -> Tensor:
    """Return by how much ``matte`` (1, h, w) varies in the 3 by 3 pixels around each pixel."""
    return F.max_pool2d(matte, 3, 1, 1) + F.max_pool2d(-matte, 3, 1, 1)


def undone_deviation(undone: Tensor, matte: Tensor, color: Tensor, rise: Tensor) -> Tensor:
    """Return the standard deviation ``(1, h, w)`` of the pixels of ``undone`` (3, h, w).

    An error of the matte shows as strongly as the mark differs from the picture.

    rise: from :func:`matte_rise`.
    """
    contrast = (color - undone).square().mean(0, keepdim=True)
    variance = (MATTE_ERROR * rise).square() * contrast + ROUNDING**2
    return variance.sqrt() / (1 - matte).clamp_min(LEAST_TRANSMITTED)


def _likely(frame: Tensor, outline: Tensor, marked: Tensor, deviation: Tensor) -> Tensor:
    """Return ``frame`` (3, h, w) with the most likely pixels in ``outline`` (h, w), boolean.

    Every round solves a least-squares problem (iteratively reweighted least squares). A pair that
    differs much counts less, and so does a pixel whose undone value the neighbours contradict.

    marked: the pixels of the mark, ``(h, w)``, boolean. deviation: of the frame, ``(h, w)``.
    """
    places = outline.flatten().nonzero()[:, 0]
    neighbors = neighbors_of(frame, outline, marked)
    values = frame.flatten(1).T.clone()
    undone = values[places]
    variance = deviation.flatten()[places].square()
    for _ in range(ROUNDS):
        moved = (values[places] - undone).square().sum(-1) / variance
        trust = ((TAIL + 3) / (TAIL + moved)).clamp(max=1) / variance
        certainty = trust.view(-1, 1, 1) * torch.eye(3)
        step = values[neighbors.places] - values[places]
        whitened = torch.einsum("knij,knj->kni", neighbors.factors, step)
        weight = PAIR_SHARE * (TAIL + 3) / (TAIL + whitened.square().sum(-1))
        pull = weight[..., None, None] * (neighbors.factors.mT @ neighbors.factors)
        spread = torch.linalg.inv(certainty + pull.sum(0))
        told = torch.einsum("nij,nj->ni", certainty, undone)
        for _ in range(TURNS):
            pulled = torch.einsum("knij,knj->ni", pull, values[neighbors.places])
            values[places] = torch.einsum("nij,nj->ni", spread, told + pulled)
    return values.T.reshape(frame.shape).clamp(0, 1)


def neighbors_of(frame: Tensor, outline: Tensor, marked: Tensor) -> Neighbors:
    """Return the neighbours of the pixels of ``outline`` (h, w), boolean.

    The texture of ``frame`` (3, h, w) is measured where it is not ``marked`` (h, w), boolean.
    """
    height, width = outline.shape
    rows, columns = outline.nonzero().T
    places, factors = [], []
    for down, right in NEAR:
        here, there = pairs(frame, (down, right))
        marked_here, marked_there = pairs(marked, (down, right))
        whole = torch.zeros(6, height, width)
        measured = whitening(there - here, ~marked_here & ~marked_there)
        pairs(whole, (down, right))[0].copy_(measured)
        for sign in (1, -1):
            row = (rows + sign * down).clamp(0, height - 1)
            column = (columns + sign * right).clamp(0, width - 1)
            places.append(row * width + column)
            # A factor stands at the upper one of its pair.
            factors.append(whole[:, rows, columns] if sign == 1 else whole[:, row, column])
    return Neighbors(torch.stack(places), lower_triangles(torch.stack(factors)))


def lower_triangles(factors: Tensor) -> Tensor:
    """Return the matrices ``(k, n, 3, 3)`` of whitening factors ``(k, 6, n)``."""
    matrices = torch.zeros(len(factors), factors.shape[-1], 3, 3)
    for plane, (row, column) in enumerate(((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))):
        matrices[..., row, column] = factors[:, plane]
    return matrices
