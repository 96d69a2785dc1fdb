"""Make the matte soft where the picture is: at hair, thin limbs and motion blur.

In a band around the matte's edge, every pixel is explained as a mixture of a foreground and a
background colour that are found just outside the band, at full size (sampling-based matting, as in
Gastal and Oliveira 2010). Texture alone also makes pure pixels look mixed. So the matte moves
towards the mixture only as far as the evidence around a pixel exceeds that noise (Wiener's
weight). Pixels stay on their side of one half, and outside the band nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import box
from stages.push_pull import push_pull
from stages.segment.account import OPAQUE
from stages.segment.background import dilate, margin_of
from stages.segment.cut import SOFT

# The constants below were chosen on the development footage.
BAND = 0.012
"""Width of the band to each side of the matte's edge, in longer sides of the picture."""
SAMPLE_DISTANCES = (0.0, 1.0, 2.0)
"""Distances of the samples beyond the nearest certain pixel, in band widths."""
NOISE = 0.02  # error of a mixture that always counts as noise, as an RGB distance
DISTANCE_COST = 0.004  # cost of a sample that is one band width farther away, as an RGB distance
FARTHEST = 2.2
"""Largest distance to the nearest certain pixel, in band widths; farther pixels may belong to
another part of the object."""
SIDE = 0.01  # distance of alpha from one half that keeps a pixel on its side after 8-bit rounding
AROUND = 3  # radius in pixels of the squares in which evidence and noise are compared
NOISE_FACTOR = 0.6
"""Factor on the noise estimate, because distant samples spread more than near ones."""

APART = 0.3  # least RGB distance of foreground and background that reveals the matte

Samples = list[tuple[Tensor, Tensor]]
"""Colours ``(3, n)`` of certain pixels for each of n pixels, and their distances ``(n,)`` in band
widths, one pair for each sample distance."""


@dataclass(frozen=True)
class ColorMixture:
    """Hold the mixture that explains each of n pixels best.

    foreground, background: colours ``(3, n)`` in [0, 1]. error: RGB distance left, ``(n,)``.
    """

    foreground: Tensor
    background: Tensor
    error: Tensor


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


def matched_matte(frames: Tensor, background: Tensor, matte: Tensor) -> Tensor:
    """Return the matte that best explains the colours around the foreground's edge.

    ``m = (I - B)·(F - B) / |F - B|²`` is the least-squares solution of ``I = m F + (1 - m) B``,
    where F is the nearest opaque foreground colour. The result is zero where F and B are too
    similar, and far from the edge.

    frames, background: ``(T, 3, H, W)`` in [0, 1]. matte and the result: ``(T, 1, H, W)``.
    """
    found = torch.zeros_like(matte)
    for t, (frame, behind) in enumerate(zip(frames, background, strict=True)):
        sure = matte[t][None] > OPAQUE
        if bool(sure.any()):
            apart = push_pull(frame[None], sure)[0] - behind
            squared = (apart**2).sum(0, keepdim=True)
            between = ((frame - behind) * apart).sum(0, keepdim=True) / squared.clamp_min(1e-6)
            near = dilate(matte[t][None] > 0, 2 * margin_of(matte))[0]
            found[t] = (
                (between.clamp(0, 1) - SOFT).clamp_min(0)
                / (1 - SOFT)
                * (near & (squared > APART**2))
            )
    return found


def _softened(
    matte: Tensor, frame: Tensor, revealed: Tensor, missing: Tensor, width: int
) -> Tensor:
    """Return one frame's softened matte ``(1, H, W)`` in [0, 1].

    matte: ``(1, H, W)`` in [0, 1]. frame: ``(3, H, W)`` in [0, 1].
    revealed: the background that other frames show here, ``(3, H, W)`` in [0, 1].
    missing: where it is only filled in, ``(1, H, W)`` of bool. width: of the band, in pixels.
    """
    inside = matte > 0.5
    certain_foreground = ~dilate(~inside[None], width)[0, 0]
    certain_background = ~dilate(inside[None], width)[0, 0]
    band = ~(certain_foreground | certain_background)
    if not all(bool(each.any()) for each in (certain_foreground, certain_background, band)):
        return matte
    rows, columns = band.nonzero(as_tuple=True)
    colors = frame[:, rows, columns]
    foreground_samples = _samples(frame, certain_foreground, rows, columns, width)
    background_samples = _samples(frame, certain_background, rows, columns, width)
    # The object is thinner than the band where the nearest certain colour is another part's.
    near = (foreground_samples[0][1] <= FARTHEST) & (background_samples[0][1] <= FARTHEST)
    # What other frames show at this very place is the best guess of the background.
    cost = torch.where(missing[0, rows, columns], torch.inf, 0.0)
    background_samples.append((revealed[:, rows, columns], cost))
    mixture = _best_pair(colors, foreground_samples, background_samples)
    alpha = matte[0, rows, columns]
    evidence, noise, change = _change_of_alpha(
        colors, alpha, mixture, foreground_samples, background_samples
    )
    mean = _means_in_band(torch.stack([evidence, noise]), band)
    gain = (1 - NOISE_FACTOR * mean[1] / mean[0].clamp_min(1e-9)).clamp(0, 1)
    mixed = alpha + near * gain[rows, columns] * change
    result = matte.clone()
    # The cut decides the side of a pixel, the mixture only how soft the edge is.
    result[0, rows, columns] = torch.where(
        alpha > 0.5, mixed.clamp_min(0.5 + SIDE), mixed.clamp_max(0.5 - SIDE)
    )
    return result


def _change_of_alpha(
    colors: Tensor,
    alpha: Tensor,
    mixture: ColorMixture,
    foreground_samples: Samples,
    background_samples: Samples,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return evidence, noise and the change of alpha that the mixture asks for, each ``(n,)``.

    Evidence and noise are squared RGB distances. The change is in [-1, 1].
    colors: of the band's n pixels, ``(3, n)``. alpha: of these pixels, in [0, 1].
    """
    difference = mixture.foreground - mixture.background
    length = difference.norm(dim=0).clamp_min(1e-3)
    direction = difference / length
    along = ((colors - mixture.background) * direction).sum(0)
    change = (along / length).clamp(0, 1) - alpha
    # Texture makes a pure pixel look mixed: its spread along the same direction is noise.
    foreground_spread = _spread(foreground_samples, mixture.foreground, direction)
    background_spread = _spread(background_samples, mixture.background, direction)
    spread = alpha**2 * foreground_spread + (1 - alpha) ** 2 * background_spread
    return (length * change) ** 2, spread + mixture.error**2 + NOISE**2, change


def _spread(samples: Samples, chosen: Tensor, direction: Tensor) -> Tensor:
    """Return the mean squared distance ``(n,)`` of samples from the chosen ones.

    chosen: colours ``(3, n)``. direction: unit vectors ``(3, n)`` along which distance counts.
    """
    squares = [((colors - chosen) * direction).sum(0) ** 2 for colors, _ in samples]
    return torch.stack(squares).mean(0)


def _means_in_band(values: Tensor, band: Tensor) -> Tensor:
    """Return local means ``(C, H, W)`` of values that only the band's pixels have.

    values: ``(C, n)``. band: ``(H, W)`` of bool, n of them true.
    """
    grids = torch.zeros(len(values) + 1, *band.shape)
    grids[:-1, band] = values
    grids[-1, band] = 1
    sums = box(grids[None], AROUND)[0]
    return sums[:-1] / sums[-1].clamp_min(1e-6)


def _best_pair(
    colors: Tensor, foreground_samples: Samples, background_samples: Samples
) -> ColorMixture:
    """Return the foreground and background that mix best to the colours.

    colors: of n pixels, ``(3, n)`` in [0, 1].
    """
    lowest = torch.full_like(colors[0], torch.inf)
    best = [torch.zeros_like(colors), torch.zeros_like(colors), torch.zeros_like(lowest)]
    for foreground, foreground_distance in foreground_samples:
        for background, background_distance in background_samples:
            difference = foreground - background
            squared = (difference**2).sum(0).clamp_min(1e-6)
            alpha = (((colors - background) * difference).sum(0) / squared).clamp(0, 1)
            error = (colors - background - alpha * difference).norm(dim=0)
            cost = error + DISTANCE_COST * (foreground_distance + background_distance)
            is_better = cost < lowest
            lowest = torch.where(is_better, cost, lowest)
            best = [
                torch.where(is_better, new, old)
                for new, old in zip((foreground, background, error), best, strict=True)
            ]
    return ColorMixture(*best)


def _samples(frame: Tensor, certain: Tensor, rows: Tensor, columns: Tensor, width: int) -> Samples:
    """Return colours of certain pixels for each pixel of the band, and their distances.

    The samples lie behind the nearest certain pixel, on the line to it, at
    :data:`SAMPLE_DISTANCES`.

    frame: ``(3, H, W)``. certain: ``(H, W)`` of bool. rows, columns: the band's n pixels, ``(n,)``.
    width: of the band, in pixels.
    """
    height, picture_width = certain.shape
    nearest_row, nearest_column = (
        torch.from_numpy(each) for each in _nearest(certain.cpu().numpy())
    )
    row, column = nearest_row[rows, columns], nearest_column[rows, columns]
    down, right = (row - rows).float(), (column - columns).float()
    length = torch.hypot(down, right).clamp_min(1)
    samples = []
    for distance in SAMPLE_DISTANCES:
        reach = distance * width
        y = (row + (reach * down / length).round().long()).clamp(0, height - 1)
        x = (column + (reach * right / length).round().long()).clamp(0, picture_width - 1)
        is_certain = certain[y, x]
        y, x = torch.where(is_certain, y, row), torch.where(is_certain, x, column)
        away = torch.hypot((y - rows).float(), (x - columns).float()) / width
        samples.append((frame[:, y, x], away))
    return samples


def _nearest(certain: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column of the nearest certain pixel for every pixel, each ``(H, W)``."""
    _, labels = cv2.distanceTransformWithLabels(
        (~certain).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ys, xs = certain.nonzero()
    by_label = np.zeros((int(labels.max()) + 1, 2), np.int64)
    by_label[labels[ys, xs]] = np.stack([ys, xs], 1)
    return by_label[labels][..., 0], by_label[labels][..., 1]
