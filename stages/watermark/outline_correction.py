"""Correct what undoing a mark leaves along its soft outline.

A matte is known to a few percent of its rise from outside to inside. Undoing a nearly opaque mark
amplifies this error into a coloured ghost of the outline. So the pixels of the outline become the
most likely ones, given two things: what undoing the mark says, as far as that is certain there, and
what their neighbours say, as far as the texture around the mark is smooth. If the input is likelier
there than what undoing the mark makes of it, the input stays.

Frames ``(T, 3, H, W)`` and colours ``(3, H, W)`` in [0, 1]; matte ``(1, H, W)``. The n pixels of
the outline have places, which count the pixels of a frame row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.evidence import NEIGHBOR_OFFSETS
from stages.watermark.pixel_maps import bounds_around, pixel_pairs
from stages.watermark.texture import DEGREES, SPREAD_RADIUS, whitening

MATTE_ERROR = 0.03
"""Usual error of a matte, as a part of its rise from outside to inside. On five drawn marks, the
median error along the outline was 0.019 to 0.031."""
OFF_LINE = 0.2
"""Part of an outline's variance that does not lie along the line from the mark's colour. Without
it, the orange outline of a drawn white logo showed more than before."""
LEAST_RISE = 0.05
"""Least rise of the matte at the outline, as a part of its highest value."""
ROUNDING = 1 / 255  # standard deviation of a value by rounding and compression
LEAST_TRANSMITTED = 0.03  # least ``1 - matte`` by which an error counts as divided
PAIR_SHARE = 0.5  # the pairs around a pixel overlap, so each of them counts half
MOST_PIXELS = 100_000
"""Most pixels of an outline: 200 MiB and five seconds of a processor for each picture."""
UNMARKED, COVERED = 0.6, 0.15
"""A pixel of an outline is not marked at all with a probability of ``UNMARKED exp(-c / COVERED)``
at a coverage of c. On 41 drawn marks in single pictures, 55 % of the pixels with a coverage of 0.02
to 0.05 were not marked, 41 % at 0.05 to 0.1, 27 % at 0.1 to 0.2 and 17 % at 0.2 to 0.4."""
LEAST_UNMARKED = 0.005  # least probability of that, however much is covered
SWEEPS = 2  # times that every pixel is compared with its input
ROUNDS = 5  # reweightings of the pairs by Student's distribution
ITERATIONS = 8  # Jacobi iterations in each of them; the outline is a few pixels wide


@dataclass(frozen=True)
class UndoneMark:
    """The mark that was undone.

    matte: ``(1, H, W)``, 0 where the picture was filled. color: ``(3, H, W)``.
    is_told_by_one: whether a single picture told the mark. Several tell the matte well, and a
        colour of each pixel, which is less exact. So does a picture of the mark.
    """

    matte: Tensor
    color: Tensor
    is_told_by_one: bool


@dataclass(frozen=True)
class Neighbors:
    """The eight neighbours of each pixel of an outline.

    places: of the neighbours, ``(8, n)``.
    factors: that whiten the difference from each of them, ``(8, n, 3, 3)``; 0 beyond the rim.
    """

    places: Tensor
    factors: Tensor

    def whitened_differences(self, values: Tensor, centers: Tensor) -> Tensor:
        """Return the whitened differences ``(8, n, 3)`` of the neighbours from ``centers`` (n, 3).

        values: of all pixels of the frame, ``(h w, 3)``.
        """
        difference = values[self.places] - centers
        return torch.einsum("knij,knj->kni", self.factors, difference)

    def nats_around(self, values: Tensor, centers: Tensor) -> Tensor:
        """Return the nats ``(n,)`` of the neighbours' differences from ``centers`` (n, 3).

        values: as in :meth:`whitened_differences`.
        """
        squared = self.whitened_differences(values, centers).square().sum(-1)
        return PAIR_SHARE * student_nats(squared).sum(0)


@dataclass(frozen=True)
class UndoneOutline:
    """What undoing a mark says of the n pixels of its outline.

    values: their undone values, ``(n, 3)``. covariance: of the errors of these, ``(n, 3, 3)``.
    given: their values in the input, ``(n, 3)``.
    log_odds: of a pixel not to be marked at all, ``(n,)``.
    """

    values: Tensor
    covariance: Tensor
    given: Tensor
    log_odds: Tensor


def with_likely_outline(
    undone: Tensor, frames: Tensor, mark: UndoneMark, is_compressed: Sequence[bool]
) -> Tensor:
    """Return the frames ``undone`` with the most likely pixels along the outline of the mark.

    All other pixels stay the same to the bit. An outline of more than :data:`MOST_PIXELS`, such as
    that of a mark all over a large picture, stays as it is.

    frames: the input. is_compressed: of each frame, whether it was compressed as JPEG.
    """
    place = mark.matte[0] > 0
    if not bool(place.any()):
        return undone
    area = bounds_around(place, SPREAD_RADIUS)
    matte, color = mark.matte[(..., *area)], mark.color[(..., *area)]
    outline = ((matte > 0) & (matte_rise(matte) > LEAST_RISE * matte.max()))[0]
    if int(outline.sum()) > MOST_PIXELS:
        return undone
    log_odds = unmarked_log_odds(matte[0] / matte.max())[outline]
    if not mark.is_told_by_one:
        log_odds = torch.full_like(log_odds, -torch.inf)
    result = undone.clone()
    for frame, given, is_jpeg in zip(result, frames, is_compressed, strict=True):
        near, given_near = frame[(..., *area)], given[(..., *area)]
        covariance = undone_covariance(
            near, given_near, matte, color, on_line=mark.is_told_by_one and not is_jpeg
        )
        known = UndoneOutline(
            near[:, outline].T, covariance[outline], given_near[:, outline].T, log_odds
        )
        near.copy_(_most_likely(near, outline, matte[0] > 0, known))
    return result


def matte_rise(matte: Tensor) -> Tensor:
    """Return by how much ``matte`` (1, h, w) varies in the 3 by 3 pixels around each pixel."""
    return F.max_pool2d(matte, 3, 1, 1) + F.max_pool2d(-matte, 3, 1, 1)


def unmarked_log_odds(coverage: Tensor) -> Tensor:
    """Return the log odds that pixels of this ``coverage``, 0 to 1, are not marked at all."""
    probability = UNMARKED * torch.exp(-coverage / COVERED) + LEAST_UNMARKED
    return torch.logit(probability)


def undone_covariance(
    undone: Tensor, given: Tensor, matte: Tensor, color: Tensor, *, on_line: bool
) -> Tensor:
    """Return the covariance ``(h, w, 3, 3)`` of the errors of the pixels of ``undone`` (3, h, w).

    An error of the matte moves a pixel on the line through the mark's colour and the input, as far
    as the mark differs from the picture. Some marks have an outline of a slightly other colour, so
    :data:`OFF_LINE` of the variance is in every direction. A JPEG file stores colours at half the
    size, so at an outline they leave that line, and errors in every direction are as likely.

    given: the input, ``(3, h, w)``. on_line: whether pixels stay on that line.
    """
    transmission = (1 - matte[0]).clamp_min(LEAST_TRANSMITTED)[..., None, None]
    unit = torch.eye(3)
    matte_variance = (MATTE_ERROR * matte_rise(matte)[0])[..., None, None].square()
    errors = matte_variance * (color - undone).square().mean(0)[..., None, None] * unit
    if on_line:
        line = ((color - given).permute(1, 2, 0) / transmission[..., 0])[..., None]
        errors = matte_variance * line * line.mT + OFF_LINE * errors
    return (errors + ROUNDING**2 * unit) / transmission.square()


def _most_likely(frame: Tensor, outline: Tensor, is_marked: Tensor, known: UndoneOutline) -> Tensor:
    """Return ``frame`` (3, h, w) with the most likely pixels in ``outline`` (h, w), boolean.

    is_marked: ``(h, w)``, boolean. known: of the frame.
    """
    places = outline.flatten().nonzero()[:, 0]
    neighbors = neighbors_of(frame, outline, is_marked)
    values = frame.flatten(1).T.clone()
    pull = _settle_outline(values, places, neighbors, known)
    distance = squared_distance(values[places] - known.values, torch.linalg.inv(known.covariance))
    # What may be corrected at will always fits: that counts against it (Occam's factor).
    freedom = 0.5 * torch.linalg.slogdet(torch.eye(3) + known.covariance @ pull)[1]
    surplus = known.log_odds + freedom + student_nats(distance)
    likely = values[places]
    for _ in range(SWEEPS):
        given_nats, likely_nats = (
            neighbors.nats_around(values, centers) for centers in (known.given, likely)
        )
        stays = given_nats < likely_nats + surplus
        values[places] = torch.where(stays[:, None], known.given, likely)
    return values.T.reshape(frame.shape).clamp(0, 1)


def _settle_outline(
    values: Tensor, places: Tensor, neighbors: Neighbors, known: UndoneOutline
) -> Tensor:
    """Move the pixels at ``places`` (n,) of ``values`` (h w, 3) to their most likely values.

    Every round solves a least-squares problem (iteratively reweighted least squares). A pair that
    differs much counts less, and so does a pixel whose undone value the neighbours contradict.

    Returns how strongly the neighbours hold each pixel, ``(n, 3, 3)``.
    """
    precision = torch.linalg.inv(known.covariance)
    pull = torch.zeros_like(precision)
    for _ in range(ROUNDS):
        distance = squared_distance(values[places] - known.values, precision)
        trust = ((DEGREES + 3) / (DEGREES + distance)).clamp(max=1)
        certainty = trust.view(-1, 1, 1) * precision
        whitened = neighbors.whitened_differences(values, values[places])
        weight = PAIR_SHARE * (DEGREES + 3) / (DEGREES + whitened.square().sum(-1))
        pulls = weight[..., None, None] * (neighbors.factors.mT @ neighbors.factors)
        pull = pulls.sum(0)
        spread = torch.linalg.inv(certainty + pull)
        undone = torch.einsum("nij,nj->ni", certainty, known.values)
        for _ in range(ITERATIONS):
            pulled = torch.einsum("knij,knj->ni", pulls, values[neighbors.places])
            values[places] = torch.einsum("nij,nj->ni", spread, undone + pulled)
    return pull


def squared_distance(difference: Tensor, precision: Tensor) -> Tensor:
    """Return ``d^T P d`` of each difference d ``(n, 3)`` and its matrix P ``(n, 3, 3)``."""
    return torch.einsum("ni,nij,nj->n", difference, precision, difference)


def student_nats(squared: Tensor) -> Tensor:
    """Return the nats of differences of this squared whitened length, by Student's distribution."""
    return (DEGREES + 3) / 2 * torch.log1p(squared / DEGREES)


def neighbors_of(frame: Tensor, outline: Tensor, is_marked: Tensor) -> Neighbors:
    """Return the neighbours of the pixels of ``outline`` (h, w), boolean.

    The texture of ``frame`` (3, h, w) is measured where it is not marked.

    is_marked: ``(h, w)``, boolean.
    """
    height, width = outline.shape
    rows, columns = outline.nonzero().T
    places, factors = [], []
    for down, right in NEIGHBOR_OFFSETS:
        here, there = pixel_pairs(frame, (down, right))
        marked_here, marked_there = pixel_pairs(is_marked, (down, right))
        # A factor stands at the upper pixel of its pair.
        at_upper = torch.zeros(6, height, width)
        measured = whitening(there - here, ~marked_here & ~marked_there)
        pixel_pairs(at_upper, (down, right))[0].copy_(measured)
        for sign in (1, -1):
            row = (rows + sign * down).clamp(0, height - 1)
            column = (columns + sign * right).clamp(0, width - 1)
            places.append(row * width + column)
            upper = (rows, columns) if sign == 1 else (row, column)
            factors.append(at_upper[:, upper[0], upper[1]])
    return Neighbors(torch.stack(places), lower_triangles(torch.stack(factors)))


def lower_triangles(factors: Tensor) -> Tensor:
    """Return the matrices ``(k, n, 3, 3)`` of whitening factors ``(k, 6, n)``."""
    matrices = torch.zeros(len(factors), factors.shape[-1], 3, 3)
    for plane, (row, column) in enumerate(((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))):
        matrices[..., row, column] = factors[:, plane]
    return matrices
