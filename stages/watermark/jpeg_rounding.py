"""Remove the JPEG rounding that undoing a mark amplifies.

A JPEG file rounds the cosine coefficients of blocks of 8 by 8 pixels to multiples of known steps.
Undoing a mark of opacity a divides that rounding by ``1 - a``. The steps can be read off the
decoded picture, so the noise of every coefficient is known.

Frames ``(T, 3, H, W)`` in [0, 1]; matte ``(1, H, W)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.pixel_maps import bounds_around

BLOCK = 8  # pixels of a block's sides
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
"""Steps at quality 50 (ITU-T T.81, tables K.1 and K.2); all others of the second table are 99."""
READ_QUALITIES = range(30, 97)  # above, the steps are 1 and 2, which rounding to 8 bits hides
LOWEST_SUM, HIGHEST_SUM = 1, 5
"""Sum of the two frequencies of the coefficients that are read. These are seldom all zero."""
LEAST_COEFFICIENT = 0.6
"""Least coefficient that counts, in steps. A smaller one was most likely rounded to zero and tells
nothing about the step."""
LEAST_COMB = 0.25
"""Least mean of ``cos(2 pi c / step)``. Random coefficients give 0, those of a JPEG file 0.5 to
0.9."""
LEAST_DEVIATIONS = 8.0  # standard deviations that the mean must lie above 0
ROUNDING = 1 / 255 / math.sqrt(12)  # standard deviation of rounding to 8 bits
THRESHOLD = 1.5  # standard deviations of noise; smaller coefficients are set to zero
STRIDE = 2  # pixels between the windows that are averaged
STRIP_ROWS = 64  # rows that are treated at once, which bounds the memory
LEAST_AMPLIFICATION = 1.2  # of the noise, from which there is anything to gain
LEAST_TRANSMITTED = 0.03  # least ``1 - matte`` by which the noise counts as divided
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""From RGB to Y, Cb and Cr (ITU-T T.871)."""


def jpeg_quality(picture: Tensor) -> int | None:
    """Return the quality at which ``picture`` (3, H, W) was last saved as JPEG.

    The result is None if it was not, or lost too little to matter. The coefficients of the blocks
    of a decoded picture lie on a comb of multiples of their step.
    """
    height, width = (side // BLOCK * BLOCK for side in picture.shape[-2:])
    if not height or not width:
        return None
    luminance = torch.einsum(
        "i,ihw->hw", picture.new_tensor(TO_YCC[0]), picture[:, :height, :width]
    )
    blocks = (luminance * 255 - 128).view(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    basis = cosine_basis()
    coefficients = (basis @ blocks.permute(0, 2, 1, 3) @ basis.T).reshape(-1, BLOCK, BLOCK)
    best = 0.0
    found: int | None = None
    for quality in READ_QUALITIES:
        total, count = _comb_sum(coefficients, quality)
        if not count:
            continue
        # A random cosine has variance 1/2.
        deviations = total * math.sqrt(2 / count)
        if deviations > max(best, LEAST_DEVIATIONS) and total / count > LEAST_COMB:
            best, found = deviations, quality
    return found


def _comb_sum(coefficients: Tensor, quality: int) -> tuple[float, int]:
    """Return the sum of ``cos(2 pi c / step)`` over coefficients that count, and how many do.

    coefficients: of the luminance, ``(n, 8, 8)``. quality: of which the steps are.
    """
    steps, _ = quantization_steps(quality)
    total, count = 0.0, 0
    for down in range(HIGHEST_SUM + 1):
        for right in range(max(0, LOWEST_SUM - down), HIGHEST_SUM + 1 - down):
            step = float(steps[down, right])
            if step < 2:
                continue
            values = coefficients[:, down, right]
            values = values[values.abs() > LEAST_COEFFICIENT * step]
            total += float(torch.cos(2 * math.pi * values / step).sum())
            count += len(values)
    return total, count


def without_rounding(clean: Tensor, matte: Tensor, qualities: Sequence[int | None]) -> Tensor:
    """Return the frames ``clean`` without the rounding that undoing ``matte`` amplified.

    Overlapping windows of 8 by 8 pixels lose the coefficients that the rounding explains
    (Yaroslavsky 1996; Yu & Sapiro, IPOL 2011). Pixels without a mark stay the same to the bit.

    qualities: from :func:`jpeg_quality`, one for each frame.
    """
    amplified = 1 / (1 - matte[0]).clamp_min(LEAST_TRANSMITTED)
    if float(amplified.max()) < LEAST_AMPLIFICATION:
        return clean
    result = clean.clone()
    noises = [rounding_deviation(quality) for quality in qualities]
    rows, columns = bounds_around(matte[0] > 0, 0)
    for top in range(rows.start, rows.stop, STRIP_ROWS):
        bottom = min(top + STRIP_ROWS, rows.stop)
        # Windows reach beyond the pixels that they smooth.
        read = (
            slice(max(0, top - BLOCK), bottom + BLOCK),
            slice(max(0, columns.start - BLOCK), columns.stop + BLOCK),
        )
        written = slice(top, bottom), read[1]
        is_marked = matte[(..., *written)] > 0
        for number, noise in enumerate(noises):
            noisy = clean[number][(..., *read)]
            smooth = _smoothed(noisy, amplified[read], noise)
            smooth = smooth[:, top - read[0].start : bottom - read[0].start]
            kept = clean[number][(..., *written)]
            result[number][(..., *written)] = torch.where(is_marked, smooth, kept)
    return result


def _smoothed(picture: Tensor, amplified: Tensor, noise: Tensor) -> Tensor:
    """Return ``picture`` (3, h, w) without what noise explains.

    amplified: by how much the noise is amplified, ``(h, w)``.
    noise: from :func:`rounding_deviation`.
    """
    height, width = picture.shape[-2:]
    to_ycc = picture.new_tensor(TO_YCC)
    border = BLOCK - 1
    padding = (border, border + width % STRIDE, border, border + height % STRIDE)
    colors = torch.einsum("ij,jhw->ihw", to_ycc, picture)
    colors = F.pad(colors[None], padding, mode="replicate")
    energy = F.pad(amplified.square()[None, None], padding, mode="replicate")
    size = (colors.shape[-2], colors.shape[-1])
    windows = F.unfold(colors, BLOCK, stride=STRIDE)[0].T.reshape(-1, 3, BLOCK, BLOCK)
    amplification = F.avg_pool2d(energy, BLOCK, STRIDE).flatten().sqrt()
    basis = cosine_basis()
    coefficients = basis @ windows @ basis.T
    bound = (THRESHOLD * noise * amplification.view(-1, 1, 1, 1)).square()
    kept = (1 - bound / coefficients.square().clamp_min(1e-12)).clamp_min(0)
    kept[..., 0, 0] = 1
    # A window of few coefficients is the better estimate.
    weight = 1 / kept.sum((1, 2, 3))
    smooth = (basis.T @ (coefficients * kept) @ basis) * weight.view(-1, 1, 1, 1)
    total = F.fold(smooth.reshape(len(weight), -1).T[None], size, BLOCK, stride=STRIDE)
    count = F.fold(weight.expand(BLOCK * BLOCK, -1)[None], size, BLOCK, stride=STRIDE)
    mean = (total / count)[0, :, border : border + height, border : border + width]
    smoothed: Tensor = torch.einsum("ij,jhw->ihw", torch.linalg.inv(to_ycc), mean)
    return smoothed.clamp(0, 1)


def rounding_deviation(quality: int | None) -> Tensor:
    """Return the standard deviation ``(3, 8, 8)`` of the rounding of each coefficient.

    The first axis is Y, Cb and Cr. quality: of the JPEG file; None for plain rounding to 8 bits.
    """
    if quality is None:
        return torch.full((3, BLOCK, BLOCK), ROUNDING)
    first, second = quantization_steps(quality)
    # Chrominance is stored at half the size: its frequencies are half as high in the picture.
    half = [min(BLOCK - 1, 2 * frequency) for frequency in range(BLOCK)]
    second = second[half][:, half]
    return torch.stack([first, second, second]) / 255 / math.sqrt(12)


def quantization_steps(quality: int) -> tuple[Tensor, Tensor]:
    """Return the steps ``(8, 8)`` of luminance and of chrominance.

    quality: 1 to 100, as the reference encoder scales the steps.
    """
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    second = torch.full((BLOCK, BLOCK), 99.0)
    second[:4, :4] = torch.tensor(CHROMINANCE)
    first = torch.tensor(LUMINANCE, dtype=torch.float32)
    scaled = [((table * scale + 50) / 100).floor().clamp(1, 255) for table in (first, second)]
    return scaled[0], scaled[1]


def cosine_basis() -> Tensor:
    """Return the orthonormal cosine basis ``(8, 8)``, frequency by place."""
    place = torch.arange(BLOCK)
    basis = torch.cos((2 * place[None] + 1) * place[:, None] * math.pi / (2 * BLOCK))
    basis[0] /= math.sqrt(2)
    return basis * math.sqrt(2 / BLOCK)
