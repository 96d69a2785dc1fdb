"""Compare two pictures at every shift by whole pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.find.features import Array

Spectrum = npt.NDArray[np.complex128]
ShiftMap = npt.NDArray[np.float64]
"""A value for every shift: row d and column r are the shift down and right, negative ones last."""


def shift_correlations(
    one: Array, other: Array, least_deviation: float
) -> tuple[ShiftMap, ShiftMap]:
    """Return the correlation of two pictures' common part at every shift, and how large it is.

    It is the normalised correlation by Fourier transforms (Padfield, IEEE Transactions on Image
    Processing 21, 2012).

    one, other: ``(H, W)`` in [0, 1].
    least_deviation: root mean square below which a part counts as without structure.

    Returns two arrays ``(2H, 2W)``: correlations in [-1, 1], and the common part of the picture, 0
    to 1. At the shift (down, right) ``one[y + down, x + right]`` lies over ``other[y, x]``.
    """
    height, width = one.shape
    size = 2 * height, 2 * width

    def transformed(picture: Array) -> Spectrum:
        return np.asarray(np.fft.rfft2(picture, size))

    def products(first: Spectrum, second: Spectrum) -> ShiftMap:
        return np.asarray(np.fft.irfft2(first * second.conj(), size))

    mean = (one.mean() + other.mean()) / 2
    a, b = one - mean, other - mean
    inside, of_a, of_b = (transformed(part) for part in (np.ones_like(a), a, b))
    count = np.maximum(products(inside, inside), 1)
    sum_a, sum_b = products(of_a, inside), products(inside, of_b)
    power_a = products(transformed(a * a), inside) - sum_a**2 / count
    power_b = products(inside, transformed(b * b)) - sum_b**2 / count
    floor = least_deviation**2 * count
    correlation = (products(of_a, of_b) - sum_a * sum_b / count) / np.sqrt(
        np.maximum(power_a, floor) * np.maximum(power_b, floor)
    )
    return correlation, count / (height * width)
