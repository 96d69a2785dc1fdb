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
from stages.segment.cut import SOFT
from stages.segment.margins import dilate, margin_of
from stages.segment.notes import OPAQUE

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
SIDE_MARGIN = 0.01  # distance of alpha from one half that outlasts rounding to 8 bits
RADIUS = 3  # radius in pixels of the squares in which evidence and noise are compared
NOISE_FACTOR = 0.6
"""Factor on the noise estimate, because distant samples spread more than near ones."""
LEAST_CONTRAST = 0.3  # least RGB distance of foreground and background that reveals the matte


def soften(matte: Tensor, frames: Tensor, background: Tensor, missing: Tensor) -> Tensor:
    """Return the matte ``(T, 1, H, W)`` in [0, 1], soft where mixtures of colours explain it.

    matte: in [0, 1], ``(T, 1, H, W)``. frames: ``(T, 3, H, W)`` in [0, 1].
    background: what other frames show behind the foreground, ``(T, 3, H, W)``.
    missing: where it is only filled in, ``(T, 1, H, W)`` of bool.
    """
    width = max(1, round(BAND * max(matte.shape[-2:])))
    return torch.stack(
        [
            _soften_frame(*of_frame, width)
            for of_frame in zip(matte, frames, background, missing, strict=True)
        ]
    )


def matched_matte(frames: Tensor, background: Tensor, matte: Tensor) -> Tensor:
    """Return the matte that best explains the colours around the foreground's edge.

    ``m = (I - B)·(F - B) / |F - B|²`` is the least-squares solution of ``I = m F + (1 - m) B``,
    where F is the nearest opaque foreground colour. The result is zero where F and B are too
    similar, and far from the edge.

    frames, background: ``(T, 3, H, W)`` in [0, 1]. matte and the result: ``(T, 1, H, W)``.
    """
    matched = torch.zeros_like(matte)
    for t, (frame, behind) in enumerate(zip(frames, background, strict=True)):
        is_opaque = matte[t][None] > OPAQUE
        if bool(is_opaque.any()):
            contrast = push_pull(frame[None], is_opaque)[0] - behind
            squared = (contrast**2).sum(0, keepdim=True)
            alpha = ((frame - behind) * contrast).sum(0, keepdim=True) / squared.clamp_min(1e-6)
            is_near = dilate(matte[t][None] > 0, 2 * margin_of(matte))[0]
            is_revealed = is_near & (squared > LEAST_CONTRAST**2)
            matched[t] = (alpha.clamp(0, 1) - SOFT).clamp_min(0) / (1 - SOFT) * is_revealed
    return matched


@dataclass(frozen=True)
class _Band:
    """The n pixels around the matte's edge in one frame, whose alpha is sought.

    mask: where they are, ``(H, W)`` of bool. rows, columns: of each, ``(n,)``. colors: ``(3, n)``.
    alpha: so far, ``(n,)``. width: of the band to each side of the edge, in pixels.
    """

    mask: Tensor
    rows: Tensor
    columns: Tensor
    colors: Tensor
    alpha: Tensor
    width: int


@dataclass(frozen=True)
class _Samples:
    """Colours that a pixel of the band may be mixed from, for each of n pixels.

    colors: ``(S, 3, n)``, one for each of S sample distances. distances: to the pixel, in band
    widths, ``(S, n)``.
    """

    colors: Tensor
    distances: Tensor

    def spread_from(self, chosen: Tensor, direction: Tensor) -> Tensor:
        """Return the mean squared distance ``(n,)`` of the samples from the chosen ones.

        chosen: colours ``(3, n)``. direction: unit vectors ``(3, n)`` along which distance counts.
        """
        squares = [((colors - chosen) * direction).sum(0) ** 2 for colors in self.colors]
        return torch.stack(squares).mean(0)


@dataclass(frozen=True)
class _ColorMixture:
    """The mixture that explains each of n pixels best.

    foreground, background: colours ``(3, n)`` in [0, 1]. error: RGB distance left, ``(n,)``.
    """

    foreground: Tensor
    background: Tensor
    error: Tensor


def _soften_frame(
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
    mask = ~(certain_foreground | certain_background)
    if not all(bool(each.any()) for each in (certain_foreground, certain_background, mask)):
        return matte
    rows, columns = mask.nonzero(as_tuple=True)
    alpha = matte[0, rows, columns]
    band = _Band(mask, rows, columns, frame[:, rows, columns], alpha, width)
    foreground = _samples(frame, certain_foreground, band)
    background = _samples(frame, certain_background, band)
    # The object is thinner than the band where the nearest certain colour is another part's.
    is_near = (foreground.distances[0] <= FARTHEST) & (background.distances[0] <= FARTHEST)
    # What other frames show at this very place is the best guess of the background.
    distance = torch.where(missing[0, rows, columns], torch.inf, 0.0)
    background = _Samples(
        torch.cat([background.colors, revealed[None, :, rows, columns]]),
        torch.cat([background.distances, distance[None]]),
    )
    mixed = alpha + is_near * _believed_change(band, foreground, background)
    # The cut decides the side of a pixel, the mixture only how soft the edge is.
    result = matte.clone()
    result[0, rows, columns] = torch.where(
        alpha > 0.5, mixed.clamp_min(0.5 + SIDE_MARGIN), mixed.clamp_max(0.5 - SIDE_MARGIN)
    )
    return result


def _believed_change(band: _Band, foreground: _Samples, background: _Samples) -> Tensor:
    """Return how far alpha moves towards the best mixture, ``(n,)``: as far as noise allows.

    Evidence and noise are squared RGB distances. They are compared in squares around each pixel.
    """
    mixture = _best_mixture(band.colors, foreground, background)
    difference = mixture.foreground - mixture.background
    contrast = difference.norm(dim=0).clamp_min(1e-3)
    direction = difference / contrast
    along = ((band.colors - mixture.background) * direction).sum(0)
    alpha = band.alpha
    change = (along / contrast).clamp(0, 1) - alpha
    evidence = (contrast * change) ** 2
    # Texture makes a pure pixel look mixed: its spread along the same direction is noise.
    foreground_spread = foreground.spread_from(mixture.foreground, direction)
    background_spread = background.spread_from(mixture.background, direction)
    spread = alpha**2 * foreground_spread + (1 - alpha) ** 2 * background_spread
    noise = spread + mixture.error**2 + NOISE**2
    mean_evidence, mean_noise = _means_in_band(torch.stack([evidence, noise]), band.mask)
    gain = (1 - NOISE_FACTOR * mean_noise / mean_evidence.clamp_min(1e-9)).clamp(0, 1)
    believed: Tensor = gain[band.rows, band.columns] * change
    return believed


def _means_in_band(values: Tensor, band: Tensor) -> Tensor:
    """Return local means ``(C, H, W)`` of values that only the band's pixels have.

    values: ``(C, n)``. band: ``(H, W)`` of bool, n of them true.
    """
    grids = torch.zeros(len(values) + 1, *band.shape)
    grids[:-1, band] = values
    grids[-1, band] = 1
    sums = box(grids[None], RADIUS)[0]
    return sums[:-1] / sums[-1].clamp_min(1e-6)


def _best_mixture(colors: Tensor, foreground: _Samples, background: _Samples) -> _ColorMixture:
    """Return the samples of foreground and background that mix best to the colours.

    colors: of n pixels, ``(3, n)`` in [0, 1].
    """
    lowest = torch.full_like(colors[0], torch.inf)
    best = [torch.zeros_like(colors), torch.zeros_like(colors), torch.zeros_like(lowest)]
    for front, front_distance in zip(foreground.colors, foreground.distances, strict=True):
        for back, back_distance in zip(background.colors, background.distances, strict=True):
            difference = front - back
            squared = (difference**2).sum(0).clamp_min(1e-6)
            alpha = (((colors - back) * difference).sum(0) / squared).clamp(0, 1)
            error = (colors - back - alpha * difference).norm(dim=0)
            cost = error + DISTANCE_COST * (front_distance + back_distance)
            is_better = cost < lowest
            lowest = torch.where(is_better, cost, lowest)
            best = [
                torch.where(is_better, new, old)
                for new, old in zip((front, back, error), best, strict=True)
            ]
    return _ColorMixture(*best)


def _samples(frame: Tensor, certain: Tensor, band: _Band) -> _Samples:
    """Return colours of certain pixels for each pixel of the band, and their distances.

    The samples lie behind the nearest certain pixel, on the line to it, at
    :data:`SAMPLE_DISTANCES`.

    frame: ``(3, H, W)``. certain: ``(H, W)`` of bool.
    """
    height, picture_width = certain.shape
    nearest_row, nearest_column = (
        torch.from_numpy(each) for each in _nearest(certain.cpu().numpy())
    )
    row, column = nearest_row[band.rows, band.columns], nearest_column[band.rows, band.columns]
    down, right = (row - band.rows).float(), (column - band.columns).float()
    length = torch.hypot(down, right).clamp_min(1)
    colors, distances = [], []
    for distance in SAMPLE_DISTANCES:
        reach = distance * band.width
        y = (row + (reach * down / length).round().long()).clamp(0, height - 1)
        x = (column + (reach * right / length).round().long()).clamp(0, picture_width - 1)
        is_certain = certain[y, x]
        y, x = torch.where(is_certain, y, row), torch.where(is_certain, x, column)
        colors.append(frame[:, y, x])
        distances.append(
            torch.hypot((y - band.rows).float(), (x - band.columns).float()) / band.width
        )
    return _Samples(torch.stack(colors), torch.stack(distances))


def _nearest(certain: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column of the nearest certain pixel for every pixel, each ``(H, W)``."""
    _, labels = cv2.distanceTransformWithLabels(
        (~certain).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ys, xs = certain.nonzero()
    by_label = np.zeros((int(labels.max()) + 1, 2), np.int64)
    by_label[labels[ys, xs]] = np.stack([ys, xs], 1)
    return by_label[labels][..., 0], by_label[labels][..., 1]
