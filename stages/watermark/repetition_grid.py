"""Find the grid on which a mark repeats over one picture, in the box that the user drew.

Every repetition lies over another part of the scene, so together they tell as much as several
pictures under one mark. (:mod:`stages.watermark.tile_lattice` finds a mark that is tiled over a
whole picture, without a box.)

Pictures ``(1, 3, H, W)`` in [0, 1]; shifts in pixels, (down, right).
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.pictures import signed_edges

LEAST_SPACING = 20  # pixels between two repetitions
LEAST_OVERLAP = 0.12  # part of the picture's area that a shift must leave in common
SURROUNDINGS = 15  # pixels of the sides of the square around a shift that it must stand out from
PEAKS = 16  # highest peaks, of which two span the grid
LEAST_PEAK = 2  # standard deviations above which a shift is a peak
LEAST_SINE = 0.35  # of the angle between the two spanning shifts
NEARBY = 2
"""Pixels around a place of the grid in which its peak is looked for. The spacing need not be
whole."""
REACH = 3  # steps along each of the two spanning shifts
LEAST_MEAN_PEAK = 4.5
"""Standard deviations of the mean peak of a grid, at least. Scenes without a grid reach 3."""
LEAST_PEAK_PART = 0.75  # part of a grid's shifts that are peaks
LEAST_SHIFTS = 4  # of a grid

Shift = tuple[int, int]


def find_grid(picture: Tensor) -> tuple[Shift, ...]:
    """Return the shifts at which the mark over ``picture`` (1, 3, H, W) repeats, both ways.

    There are none where nothing repeats on a grid.
    """
    if min(picture.shape[-2:]) < 3 * LEAST_SPACING:
        return ()
    agreement, valid = autocorrelation(picture)
    side = 2 * NEARBY + 1
    best_near = F.max_pool2d(agreement[None, None], side, 1, NEARBY)[0, 0]
    best_score = 0.0
    best_shifts: tuple[Shift, ...] = ()
    for first, second in combinations(_highest_peaks(agreement, best_near, valid), 2):
        if not _spans_a_grid(first, second):
            continue
        shifts = _grid_shifts(first, second, agreement, valid)
        score = _grid_score(shifts, best_near)
        if score > best_score:
            best_score, best_shifts = score, shifts
    return best_shifts + tuple((-down, -right) for down, right in best_shifts)


def autocorrelation(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the autocorrelation of ``picture`` (1, 3, H, W), and which shifts are valid.

    Both results are ``(2 H, 2 W)`` with the shift (0, 0) at (H, W). The first is the correlation of
    edges of equal weight, less its mean around, in standard deviations.
    """
    height, width = picture.shape[-2:]
    size = 2 * height, 2 * width
    total = picture.new_zeros(size)
    for edge in signed_edges(picture[0]).chunk(2):
        total += torch.fft.irfft2(torch.fft.rfft2(edge, s=size).abs().square().sum(0), s=size)
    rows, columns = (torch.arange(2 * side) - side for side in (height, width))
    overlap = (height - rows.abs())[:, None] * (width - columns.abs())[None]
    mean = torch.roll(total, (height, width), (0, 1)) / overlap.clamp_min(1)
    around = F.avg_pool2d(mean[None, None], SURROUNDINGS, 1, SURROUNDINGS // 2)[0, 0]
    valid = overlap > LEAST_OVERLAP * height * width
    valid &= (rows.abs()[:, None] >= LEAST_SPACING) | (columns.abs()[None] >= LEAST_SPACING)
    excess = (mean - around) * overlap.clamp_min(0).sqrt()
    if not bool(valid.any()):
        return torch.zeros_like(excess), valid
    return excess / excess[valid].std().clamp_min(1e-9), valid


def _highest_peaks(agreement: Tensor, best_near: Tensor, valid: Tensor) -> list[Shift]:
    """Return the highest peaks of ``agreement`` as shifts, the highest first.

    agreement, valid: from :func:`autocorrelation`. best_near: its maximum around each shift.
    """
    height, width = agreement.shape[-2] // 2, agreement.shape[-1] // 2
    is_peak = valid & (agreement == best_near)
    top = torch.where(is_peak, agreement, torch.full_like(agreement, -1.0))
    top[:height] = -1.0  # the same shifts again, the other way
    values, places = top.flatten().topk(PEAKS)
    peaks = [
        divmod(int(place), 2 * width)
        for value, place in zip(values, places, strict=True)
        if value > LEAST_PEAK
    ]
    return [(row - height, column - width) for row, column in peaks]


def _spans_a_grid(first: Shift, second: Shift) -> bool:
    """Return whether two shifts differ enough in direction, and are long enough."""
    area = abs(first[0] * second[1] - first[1] * second[0])
    lengths = float(torch.tensor([first, second], dtype=torch.float32).norm(dim=1).prod())
    return area >= LEAST_SINE * lengths and area >= LEAST_SPACING**2


def _grid_shifts(
    first: Shift, second: Shift, agreement: Tensor, valid: Tensor
) -> tuple[Shift, ...]:
    """Return the shifts of the grid that ``first`` and ``second`` span.

    Each is moved to the peak near it. Of two opposite shifts only one is returned.
    """
    height, width = agreement.shape[-2] // 2, agreement.shape[-1] // 2
    found = []
    for steps in range(-REACH, REACH + 1):
        for others in range(REACH + 1):
            if others == 0 and steps <= 0:
                continue
            row = height + steps * first[0] + others * second[0]
            column = width + steps * first[1] + others * second[1]
            if not (
                NEARBY <= row < 2 * height - NEARBY
                and NEARBY <= column < 2 * width - NEARBY
                and bool(valid[row, column])
            ):
                continue
            near = agreement[row - NEARBY : row + NEARBY + 1, column - NEARBY : column + NEARBY + 1]
            down, right = divmod(int(near.argmax()), 2 * NEARBY + 1)
            found.append((row - height + down - NEARBY, column - width + right - NEARBY))
    return tuple(found)


def _grid_score(shifts: tuple[Shift, ...], best_near: Tensor) -> float:
    """Return how strongly a picture agrees with itself at all ``shifts``; 0 if these are no grid.

    A grid of many repetitions is more than a part of it.
    """
    if len(shifts) < LEAST_SHIFTS:
        return 0.0
    height, width = best_near.shape[-2] // 2, best_near.shape[-1] // 2
    peaks = torch.stack([best_near[height + down, width + right] for down, right in shifts])
    mean = float(peaks.mean())
    if mean < LEAST_MEAN_PEAK or float((peaks > LEAST_PEAK).float().mean()) < LEAST_PEAK_PART:
        return 0.0
    return float(mean * len(shifts) ** 0.5)


def sum_shifted(values: Tensor, shifts: tuple[Shift, ...]) -> Tensor:
    """Return the sum of ``values`` (h, w) and their copies moved by ``shifts``.

    Values from beyond the rim are 0.
    """
    height, width = values.shape
    total = values.clone()
    for down, right in shifts:
        if abs(down) >= height or abs(right) >= width:
            continue
        rows = slice(max(0, -down), height - max(0, down))
        columns = slice(max(0, -right), width - max(0, right))
        from_rows = slice(max(0, down), height - max(0, -down))
        from_columns = slice(max(0, right), width - max(0, -right))
        total[rows, columns] += values[from_rows, from_columns]
    return total
