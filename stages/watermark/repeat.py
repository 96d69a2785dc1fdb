"""Find the grid on which a mark repeats over one picture.

Every repetition lies over another part of the scene, so together they tell as much as several
pictures under one mark.

Pictures ``(1, 3, H, W)`` in [0, 1]; shifts in pixels, (down, right).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SOFT = 0.02
"""Strength above which edges count alike. A translucent mark's edges are weaker than many of the
scene's."""
LEAST = 20  # pixels between two repetitions
OVERLAP = 0.12  # least part of the picture's area that a shift must leave in common
WINDOW = 15  # pixels around a shift that it must stand out from
PEAKS = 16  # highest peaks, of which two span the grid
PEAK = 2  # standard deviations above which a shift is a peak
TURNED = 0.35  # least sine of the angle between the two spanning shifts
NEAR = 2
"""Pixels around a place of the grid in which its peak is looked for. The spacing need not be
whole."""
REACH = 3  # steps along each of the two spanning shifts
STANDS_OUT = 4.5  # standard deviations of the mean peak of a grid; scenes without one reach 3
EACH = 0.75  # least part of a grid's shifts that are peaks
COUNT = 4  # fewest shifts of a grid

Shift = tuple[int, int]


def autocorrelation(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the autocorrelation of a picture, and which shifts are valid.

    picture: ``(1, 3, H, W)`` in [0, 1].

    Both results are ``(2 H, 2 W)`` with the shift (0, 0) at (H, W). The first is the correlation of
    edges of equal weight, less its mean around, in standard deviations.
    """
    height, width = picture.shape[-2:]
    size = 2 * height, 2 * width
    total = picture.new_zeros(size)
    for down, right in ((0, 1), (1, 0)):
        edge = F.pad(
            picture[0, :, down:, right:] - picture[0, :, : height - down, : width - right],
            (0, right, 0, down),
        )
        edge = edge / (edge.square().sum(0) + SOFT**2).sqrt()
        total += torch.fft.irfft2(torch.fft.rfft2(edge, s=size).abs().square().sum(0), s=size)
    rows, columns = (torch.arange(2 * side) - side for side in (height, width))
    overlap = (height - rows.abs())[:, None] * (width - columns.abs())[None]
    mean = torch.roll(total, (height, width), (0, 1)) / overlap.clamp_min(1)
    around = F.avg_pool2d(mean[None, None], WINDOW, 1, WINDOW // 2)[0, 0]
    valid = overlap > OVERLAP * height * width
    valid &= (rows.abs()[:, None] >= LEAST) | (columns.abs()[None] >= LEAST)
    stands = (mean - around) * overlap.clamp_min(0).sqrt()
    if not bool(valid.any()):
        return torch.zeros_like(stands), valid
    return stands / stands[valid].std().clamp_min(1e-9), valid


def find_grid(picture: Tensor) -> tuple[Shift, ...]:
    """Return the shifts at which the mark over ``picture`` (1, 3, H, W) repeats, both ways.

    There are none where nothing repeats on a grid.
    """
    height, width = picture.shape[-2:]
    if min(height, width) < 3 * LEAST:
        return ()
    stands, valid = autocorrelation(picture)
    nearby = 2 * NEAR + 1
    best_near = F.max_pool2d(stands[None, None], nearby, 1, NEAR)[0, 0]
    top = torch.where(valid & (stands == best_near), stands, torch.full_like(stands, -1.0))
    top[:height] = -1.0  # the same shifts again, the other way
    values, places = top.flatten().topk(PEAKS)
    peaks = [
        divmod(int(place), 2 * width)
        for value, place in zip(values, places, strict=True)
        if value > PEAK
    ]
    peaks = [(row - height, column - width) for row, column in peaks]
    best: tuple[float, tuple[Shift, ...]] = (0.0, ())
    for number, first in enumerate(peaks):
        for second in peaks[number + 1 :]:
            area = abs(first[0] * second[1] - first[1] * second[0])
            lengths = float(torch.tensor([first, second], dtype=torch.float32).norm(dim=1).prod())
            if area < TURNED * lengths or area < LEAST**2:
                continue
            shifts = _shifts(first, second, stands, valid)
            if len(shifts) < COUNT:
                continue
            strength = torch.stack(
                [best_near[height + down, width + right] for down, right in shifts]
            )
            mean = float(strength.mean())
            if mean < STANDS_OUT or float((strength > PEAK).float().mean()) < EACH:
                continue
            # A grid of many repetitions is more than a part of it.
            score = mean * len(shifts) ** 0.5
            if score > best[0]:
                best = score, shifts
    return best[1] + tuple((-down, -right) for down, right in best[1])


def _shifts(first: Shift, second: Shift, stands: Tensor, valid: Tensor) -> tuple[Shift, ...]:
    """Return the shifts of the grid that ``first`` and ``second`` span.

    Each is moved to the peak near it. Of two opposite shifts only one is returned.
    """
    height, width = stands.shape[-2] // 2, stands.shape[-1] // 2
    found = []
    for steps in range(-REACH, REACH + 1):
        for others in range(REACH + 1):
            if others == 0 and steps <= 0:
                continue
            row = height + steps * first[0] + others * second[0]
            column = width + steps * first[1] + others * second[1]
            if not (
                NEAR <= row < 2 * height - NEAR
                and NEAR <= column < 2 * width - NEAR
                and bool(valid[row, column])
            ):
                continue
            part = stands[row - NEAR : row + NEAR + 1, column - NEAR : column + NEAR + 1]
            down, right = divmod(int(part.argmax()), 2 * NEAR + 1)
            found.append((row - height + down - NEAR, column - width + right - NEAR))
    return tuple(found)


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
