"""Measure how common a difference between neighbours is among those around it, as a cost in nats.

A faint white mark hardly shows against the light and dark of grass, but grass varies little in hue.
So differences count by their local spread in colour: a Student t distribution with one matrix for
each pixel and distance (Lange et al. 1989). Its reweighting makes the matrices robust against edges
and the mark's own outline.

One picture ``(3, H, W)`` in [0, 1]; a matrix's whitening factor has six planes ``(6, h, w)``.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SPREAD_RADIUS = 20  # pixels to every side over which a spread is measured
DEGREES = 2.0
"""Degrees of freedom of the Student t distribution; :func:`student_likelihood` is written for 2."""
REWEIGHTINGS = 4
GLOBAL_PART = 0.1  # part of the whole picture's spread in every local one
NOISE = 0.006  # standard deviation of the noise of an 8-bit picture: no spread is narrower
ENTRIES = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Row and column of the six entries by which a symmetric matrix is held."""
LEAST_WEIGHT = 1e-4  # weight of a pair that is left out, so that every place has some weight
UNIT = (1.0, 0.0, 0.0, 1.0, 0.0, 1.0)
"""Entries of the unit matrix."""


def whitening(difference: Tensor, kept: Tensor | None = None) -> Tensor:
    """Return the factors ``(6, h, w)`` that whiten differences ``(3, h, w)``.

    Whitened, the differences around each pixel have the same spread in every direction of colour.

    kept: the pairs that count, ``(h, w)``, boolean; by default all.
    """
    counts = (
        torch.ones_like(difference[0]) if kept is None else kept.float().clamp_min(LEAST_WEIGHT)
    )
    around = _mean_around(counts[None], SPREAD_RADIUS)
    products = torch.stack([difference[row] * difference[column] for row, column in ENTRIES])
    unit = difference.new_tensor(UNIT).view(6, 1, 1)
    weight, factor = counts, products
    for _ in range(REWEIGHTINGS):
        weighted = weight * products
        spread = _mean_around(weighted, SPREAD_RADIUS) / around
        whole = weighted.mean((1, 2), keepdim=True) / counts.mean()
        spread = torch.lerp(spread, whole, GLOBAL_PART) + NOISE**2 * unit
        factor = _inverse_root(spread)
        weight = counts * (DEGREES + 3) / (DEGREES + squared_length(difference, factor))
    return factor


def student_likelihood(squared: Tensor) -> Tensor:
    """Return the likelihood of differences of this squared whitened length, relative to length 0.

    They follow Student's distribution in three dimensions, with :data:`DEGREES` degrees of freedom:
    ``(1 + squared / DEGREES) ^ -2.5``, which is computed without a power for speed.
    """
    ratio = squared.div(DEGREES).add_(1)
    return ratio.square().mul_(ratio.sqrt_()).reciprocal_()


def squared_length(difference: Tensor, factor: Tensor) -> Tensor:
    """Return the squared length of the whitened differences."""
    first = factor[0] * difference[0]
    second = torch.addcmul(factor[1] * difference[0], factor[2], difference[1])
    third = torch.addcmul(factor[3] * difference[0], factor[4], difference[1])
    third = third.addcmul_(factor[5], difference[2])
    return first.square_().addcmul_(second, second).addcmul_(third, third)


def _inverse_root(spread: Tensor) -> Tensor:
    """Return the inverse Cholesky factors ``(6, h, w)`` of symmetric matrices ``(6, h, w)``.

    The six planes are the entries of :data:`ENTRIES`. The factors are written out for speed.
    """
    s00, s01, s02, s11, s12, s22 = spread
    l00 = s00.sqrt()
    l10, l20 = s01 / l00, s02 / l00
    l11 = (s11 - l10.square()).clamp_min(1e-8).sqrt()
    l21 = (s12 - l10 * l20) / l11
    l22 = (s22 - l20.square() - l21.square()).clamp_min(1e-8).sqrt()
    return torch.stack(
        [
            1 / l00,
            -l10 / (l00 * l11),
            1 / l11,
            (l10 * l21 - l11 * l20) / (l00 * l11 * l22),
            -l21 / (l11 * l22),
            1 / l22,
        ]
    )


def _mean_around(planes: Tensor, radius: int) -> Tensor:
    """Return the means of ``planes`` (C, h, w) over the pixels at most ``radius`` away.

    Only pixels of the picture count. Running sums in double precision are fast although the window
    is large.
    """
    side = 2 * radius + 1
    rows, columns = (_window_lengths(length, radius) for length in planes.shape[1:])
    pixels = rows[:, None] * columns
    means = torch.empty(planes.shape, dtype=torch.float32)
    for plane, mean in zip(planes.cpu(), means, strict=True):
        picture = np.ascontiguousarray(plane.numpy())
        total = cv2.boxFilter(
            picture, cv2.CV_64F, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        mean.copy_(torch.from_numpy(total / pixels))
    return means.to(planes)


def _window_lengths(length: int, radius: int) -> NDArray[np.int64]:
    """Return how many of ``length`` places lie at most ``radius`` away from each of them."""
    place = np.arange(length)
    return np.minimum(place + radius + 1, length) - np.maximum(place - radius, 0)
