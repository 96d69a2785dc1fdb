"""Make the matte soft where the picture is: at hair, thin limbs and motion blur.

In a band around the matte's edge, every pixel is explained as a mixture of a foreground and a
background colour that are found just outside the band, at full size (sampling-based matting, as in
Gastal and Oliveira 2010). Texture alone also makes pure pixels look mixed. So the matte moves
towards the mixture only as far as the evidence around a pixel exceeds that noise (Wiener's
weight). Pixels stay on their side of one half, and outside the band nothing changes.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import box
from stages.segment.background import dilate

BAND = 0.012
"""Width of the band to each side of the matte's edge, in longer sides of the picture."""
STEPS = (0.0, 1.0, 2.0)
"""Distances of the samples beyond the nearest sure pixel, in widths of the band."""
NOISE = 0.02  # error of a mixture in RGB distance that always counts as noise
NEARNESS = 0.004  # cost in RGB distance of a sample that is one band's width further away
FARTHEST = 2.2  # widths of the band to the nearest sure pixel, where it is the same part's colour
SIDE = 0.01  # distance from one half that keeps a pixel on its side after rounding to 8 bits
AROUND = 3  # radius in pixels of the squares in which evidence and noise are compared
FACTOR = 0.6  # the noise is overestimated by the spread of distant samples: part that counts


def soften(matte: Tensor, frames: Tensor, background: Tensor, missing: Tensor) -> Tensor:
    """Return the matte ``(T, 1, H, W)`` in [0, 1], soft where mixtures of colours explain it.

    matte: in [0, 1], ``(T, 1, H, W)``. frames: ``(T, 3, H, W)`` in [0, 1].
    background: what other frames show behind the foreground, ``(T, 3, H, W)``.
    missing: where it is only filled in, ``(T, 1, H, W)`` of bool.
    """
    width = max(1, round(BAND * max(matte.shape[-2:])))
    return torch.stack(
        [_softened(*each, width) for each in zip(matte, frames, background, missing, strict=True)]
    )


def _softened(matte: Tensor, frame: Tensor, behind: Tensor, missing: Tensor, width: int) -> Tensor:
    """Return one frame's matte ``(1, H, W)``; the arguments are those of :func:`soften`."""
    inside = matte > 0.5
    sure_ours = ~dilate(~inside[None], width)[0, 0]
    sure_theirs = ~dilate(inside[None], width)[0, 0]
    band = ~(sure_ours | sure_theirs)
    if not (bool(sure_ours.any()) and bool(sure_theirs.any()) and bool(band.any())):
        return matte
    rows, columns = band.nonzero(as_tuple=True)
    colours = frame[:, rows, columns]
    ours = _samples(frame, sure_ours, rows, columns, width)
    theirs = _samples(frame, sure_theirs, rows, columns, width)
    # What other frames show at this very place is the best guess of the background.
    seen = behind[:, rows, columns]
    cost = torch.where(missing[0, rows, columns], torch.inf, 0.0)
    theirs = [*theirs, (seen, cost)]
    front, back, error = _best_pair(colours, ours, theirs)
    apart = front - back
    length = apart.norm(dim=0).clamp_min(1e-3)
    along = apart / length
    share = (((colours - back) * along).sum(0) / length).clamp(0, 1)
    given = matte[0, rows, columns]
    # Texture makes a pure pixel look mixed: its spread along the same direction is noise.
    spread = [
        torch.stack([(((each - kept) * along).sum(0)) ** 2 for each, _ in samples]).mean(0)
        for samples, kept in ((ours, front), (theirs, back))
    ]
    noise = given**2 * spread[0] + (1 - given) ** 2 * spread[1] + error**2 + NOISE**2
    moved = (length * (share - given)) ** 2
    grids = torch.zeros(3, *matte.shape[-2:])
    for grid, values in zip(grids, (moved, noise, torch.ones_like(noise)), strict=True):
        grid[rows, columns] = values
    mean = box(grids[None], AROUND)[0] / box(grids[None, 2:], AROUND)[0].clamp_min(1e-6)
    gain = (1 - FACTOR * mean[1] / mean[0].clamp_min(1e-9)).clamp(0, 1)
    # Where the object is thinner than the band, the nearest sure colour is another part's.
    near = (ours[0][1] <= FARTHEST) & (theirs[0][1] <= FARTHEST)
    mixed = given + near * gain[rows, columns] * (share - given)
    result = matte.clone()
    # The cut decides the side of a pixel, the mixture only how soft the edge is.
    result[0, rows, columns] = torch.where(
        given > 0.5, mixed.clamp_min(0.5 + SIDE), mixed.clamp_max(0.5 - SIDE)
    )
    return result


def _best_pair(
    colours: Tensor, ours: list[tuple[Tensor, Tensor]], theirs: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the foreground and background that mix best to the colours, and the error left."""
    best = torch.full_like(colours[0], torch.inf)
    kept = [torch.zeros_like(colours), torch.zeros_like(colours), torch.zeros_like(best)]
    for front, far in ours:
        for back, away in theirs:
            apart = front - back
            squared = (apart**2).sum(0).clamp_min(1e-6)
            share = (((colours - back) * apart).sum(0) / squared).clamp(0, 1)
            error = (colours - back - share * apart).norm(dim=0)
            price = error + NEARNESS * (far + away)
            better = price < best
            best = torch.where(better, price, best)
            kept = [
                torch.where(better, new, old)
                for new, old in zip((front, back, error), kept, strict=True)
            ]
    return kept[0], kept[1], kept[2]


def _samples(
    frame: Tensor, sure: Tensor, rows: Tensor, columns: Tensor, width: int
) -> list[tuple[Tensor, Tensor]]:
    """Return colours of sure pixels for each pixel of the band, and how far these are away.

    The samples lie behind the nearest sure pixel, on the line to it, at :data:`STEPS`.
    frame: ``(3, H, W)``. sure: ``(H, W)`` of bool. rows, columns: the band's n pixels.
    Returns pairs of ``(3, n)`` and ``(n,)``, the latter in widths of the band.
    """
    height, across = sure.shape
    nearest_row, nearest_column = (torch.from_numpy(each) for each in _nearest(sure.cpu().numpy()))
    row, column = nearest_row[rows, columns], nearest_column[rows, columns]
    down, right = (row - rows).float(), (column - columns).float()
    size = torch.hypot(down, right).clamp_min(1)
    found = []
    for step in STEPS:
        reach = step * width
        y = (row + (reach * down / size).round().long()).clamp(0, height - 1)
        x = (column + (reach * right / size).round().long()).clamp(0, across - 1)
        y, x = torch.where(sure[y, x], y, row), torch.where(sure[y, x], x, column)
        distance = torch.hypot((y - rows).float(), (x - columns).float()) / width
        found.append((frame[:, y, x], distance))
    return found


def _nearest(sure: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column of the nearest sure pixel for every pixel, each ``(H, W)``."""
    _, labels = cv2.distanceTransformWithLabels(
        (~sure).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ys, xs = sure.nonzero()
    by_label = np.zeros((int(labels.max()) + 1, 2), np.int64)
    by_label[labels[ys, xs]] = np.stack([ys, xs], 1)
    return by_label[labels][..., 0], by_label[labels][..., 1]
