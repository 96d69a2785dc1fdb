"""Extend the foreground to all pixels that look and move like it, by votes across all frames.

Pixels vote in small histograms over colour and place, and over motion, place and time. A blurred
histogram replaces the sum over all pairs of pixels (bilateral space, Chen et al. 2007; Märki et al.
2016 for video). Each turn joins the votes with the motion's own log-odds, aligns the sum with the
edges in the picture, lets the frames of each trajectory decide together, and votes again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stages.segment.motion import WindowMotion, border_distance
from stages.segment.trajectory_labels import joined_along

VOTE_PIXELS = 212 * 120
"""Most pixels of a frame for the votes."""

# The constants below were chosen on the development footage.
TURNS = 4  # rounds of votes
SURE = 3.0  # most log-odds by motion
VOTE = 4.0  # most log-odds by votes
COLOR_SHARE = 0.7  # weight of the votes by colour; the motion's own log-odds have 1
MOTION_SHARE = 0.5  # weight of the votes by motion
RARE = 0.02  # added to both sides' votes, so that a few votes decide nothing
BORDER = 12.0  # weight of the picture's border as background, in votes of a sure pixel
BORDER_REACH = 0.03  # part of the side over which that weight falls to a third
SPREAD = 1.5  # sizes of the foreground over which places are distinguished
LEAST_AREA = 0.003  # smallest area of a foreground, as a part of the picture
ASSIST = -0.1  # log-odds added in each turn, for the background
EDGE_RADIUS, EDGE = 2, 1e-3
"""Radius in pixels and variance floor of the guided filter between the turns."""

LOCAL_BINS, LOCAL_FRAMES_PER_BIN = (20, 12), 4
"""Bins across and down the picture, and frames a bin, of the local votes."""
LOCAL_SHARE = 0.5  # weight of the local votes; the log-odds that they start from have 1

COLOR_BINS = 16  # of L, a and b each
PLACE_BINS = 14  # of x and y each, beside colour
SPEED_BINS = 16  # of the motion's x and y each
SPEED_PLACE_BINS = 10  # of x and y each, beside motion
FRAMES_PER_BIN = 3  # along time, beside motion


def vote(
    frames: Tensor,
    odds: Tensor,
    motion: WindowMotion | None,
    unit: Tensor,
    *,
    turns: int = TURNS,
    border: float = BORDER,
) -> Tensor:
    """Return the foreground's log-odds ``(T, h, w)`` after some turns of votes.

    frames: ``(T, 3, h, w)`` in [0, 1].
    odds: log-odds to begin with, ``(T, h, w)`` in [-3, 3]; zero means unknown.
    motion: of frames of this size; ``None`` for a picture.
    unit: ``(T,)``, the speed in pixels a frame that separates slow from fast.
    border: the weight of the prior that the picture's border is background.
    """
    count, _, height, width = frames.shape
    matte, trust = torch.sigmoid(odds), (odds.abs() - 0.5).clamp_min(0) / (SURE - 0.5)
    looks = spread_colors(frames)
    edge = border * torch.exp(-border_distance((height, width)) / BORDER_REACH).to(frames)
    now = odds
    for _ in range(turns):
        place = _places(matte)
        ours, theirs = (trust * matte).flatten(), ((trust + edge) * (1 - matte)).flatten()
        found = _odds(looks + place, [COLOR_BINS] * 3 + [PLACE_BINS] * 2, ours, theirs).view_as(
            odds
        )
        now = odds + COLOR_SHARE * found + ASSIST
        if motion is not None:
            speeds = [
                torch.tanh(motion.residual[:, axis] / (3 * unit.view(-1, 1, 1))) / 2 + 0.5
                for axis in (0, 1)
            ]
            when = (torch.arange(count).to(frames) / count).view(-1, 1, 1).expand_as(odds)
            bins = [SPEED_BINS] * 2 + [SPEED_PLACE_BINS] * 2 + [max(1, count // FRAMES_PER_BIN)]
            now = now + MOTION_SHARE * _odds([*speeds, *place, when], bins, ours, theirs).view_as(
                odds
            )
        now = guided_filter(now[:, None], frames, EDGE_RADIUS, EDGE)
        now = now[:, 0] if motion is None else joined_along(now[:, 0], motion)
        matte = torch.sigmoid(now)
        trust = (2 * matte - 1).abs()
    return now


def local_vote(frames: Tensor, odds: Tensor) -> Tensor:
    """Return log-odds ``(T, h, w)`` after one vote among pixels close in colour, place and time.

    A limb may have the colour of a distant part of the background and still differ from the
    background next to it.

    frames: ``(T, 3, h, w)`` in [0, 1].
    odds: the foreground's log-odds ``(T, h, w)``. Pixels vote by their certainty.
    """
    count, _, height, width = frames.shape
    y, x, when = ((torch.arange(size).to(frames) + 0.5) / size for size in (height, width, count))
    places = [axis.expand_as(odds) for axis in (x, y[:, None], when[:, None, None])]
    bins = [COLOR_BINS] * 3 + [*LOCAL_BINS, max(1, count // LOCAL_FRAMES_PER_BIN)]
    matte = torch.sigmoid(odds)
    trust = (2 * matte - 1).abs()
    near = _odds(
        [*spread_colors(frames), *places],
        bins,
        (trust * matte).flatten(),
        (trust * (1 - matte)).flatten(),
    )
    return guided_filter(
        (odds + LOCAL_SHARE * near.view_as(odds))[:, None], frames, EDGE_RADIUS, EDGE
    )[:, 0]


def _odds(features: Sequence[Tensor], bins: Sequence[int], ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the log-odds ``(N,)`` of the votes ``ours`` against ``theirs`` of similar pixels.

    features: tensors of N values in [0, 1]. bins: how many each has. ours, theirs: ``(N,)``.
    """
    cell = torch.zeros_like(ours, dtype=torch.long)
    for feature, number in zip(features, bins, strict=True):
        cell = cell * number + (feature.flatten() * number).long().clamp(0, number - 1)
    votes = [
        blurred(torch.bincount(cell, each, math.prod(bins)).view(*bins)).flatten()[cell]
        for each in (ours, theirs)
    ]
    return torch.log((votes[0] + RARE) / (votes[1] + RARE)).clamp(-VOTE, VOTE).float()


def blurred(grid: Tensor) -> Tensor:
    """Blur along every axis by a Gaussian of one bin, cut off at two."""
    kernel = torch.exp(-0.5 * torch.arange(-2.0, 3.0) ** 2)
    kernel = kernel / kernel.sum()
    for axis, size in enumerate(grid.shape):
        total = torch.zeros_like(grid)
        for shift, weight in zip(range(-2, 3), kernel.tolist(), strict=True):
            length = size - abs(shift)
            if length > 0:
                total.narrow(axis, max(0, -shift), length).add_(
                    grid.narrow(axis, max(0, shift), length), alpha=weight
                )
        grid = total
    return grid


def spread_colors(frames: Tensor) -> list[Tensor]:
    """Return L, a and b ``(T, h, w)`` of ``frames`` ``(T, 3, h, w)``, stretched to [0, 1]."""
    lab = lab_colors(frames)
    spread = []
    for axis, least in enumerate((20.0, 30.0, 30.0)):
        low, high = np.quantile(lab[:, axis].cpu().numpy(), [0.005, 0.995])
        size = max(high - low, least)
        spread.append(((lab[:, axis] - (low + high - size) / 2) / size).clamp(0, 1))
    return spread


def lab_colors(frames: Tensor) -> Tensor:
    """Convert ``frames`` ``(T, 3, h, w)`` in [0, 1] to CIE L (0 to 100), a and b."""
    pictures = [
        cv2.cvtColor(np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy()), cv2.COLOR_RGB2LAB)
        for frame in frames
    ]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(frames)


def _places(matte: Tensor) -> list[Tensor]:
    """Return x and y relative to the foreground's centre and size, each ``(T, h, w)`` in (0, 1)."""
    height, width = matte.shape[-2:]
    x, y = torch.arange(width).to(matte), torch.arange(height).to(matte)[:, None]
    strong = matte * (matte > 0.5)
    weight = strong + 1e-3 * matte + 1e-6
    mass = weight.sum((1, 2))
    sizes = strong.sum((1, 2)).clamp_min(LEAST_AREA * height * width).sqrt()
    size = running_median(sizes, 2).view(-1, 1, 1)
    centers = [((weight * axis).sum((1, 2)) / mass).view(-1, 1, 1) for axis in (x, y)]
    return [
        (torch.tanh((axis - center) / (SPREAD * size)) / 2 + 0.5).expand_as(matte)
        for axis, center in zip((x, y), centers, strict=True)
    ]


def running_median(values: Tensor, reach: int) -> Tensor:
    """Return the running median of ``values`` ``(T,)`` over ``reach`` frames to each side."""
    return torch.stack(
        [values[max(0, t - reach) : t + reach + 1].median() for t in range(len(values))]
    )


def otsu(values: Tensor, bins: int = 256) -> float:
    """Return the threshold that separates ``values`` best into two groups (Otsu 1979).

    values: of any shape. If all are equal, the result is their value.
    """
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9:
        return high
    counts, edges = np.histogram(values.cpu().numpy().ravel(), bins)
    centers = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * centers)
    between = (sums[-1] / below[-1] * below - sums) ** 2 / np.maximum(
        below * (below[-1] - below), 1
    )
    return float(centers[between[:-1].argmax()])


def guided_lines(values: Tensor, guide: Tensor, radius: int, floor: float) -> tuple[Tensor, Tensor]:
    """Fit ``values`` by functions linear in the guide's colours (He et al. 2010, eq. 14-16).

    values: ``(T, 1, h, w)``. guide: ``(T, 3, h, w)``.
    radius: of the local squares, which have ``2 radius + 1`` pixels a side.
    floor: the variance of colour below which such a square counts as flat.

    Returns slopes ``(T, 3, h, w)`` and offsets ``(T, 1, h, w)``. They may be resized and applied to
    a larger guide (He and Sun 2015).
    """
    slopes, offsets = [], []
    for value, picture in zip(values[:, None], guide[:, None], strict=True):
        means = square_means(
            torch.cat([picture, value, picture * value, _products(picture)], 1), radius
        )
        mean, mean_value = means[:, :3], means[:, 3:4]
        covariance = means[:, 4:7] - mean * mean_value
        slope = solved(means[:, 7:] - _products(mean), floor, covariance)
        offset = mean_value - (slope * mean).sum(1, keepdim=True)
        lines = square_means(torch.cat([slope, offset], 1), radius)
        slopes.append(lines[:, :3])
        offsets.append(lines[:, 3:])
    return torch.cat(slopes), torch.cat(offsets)


def _products(colors: Tensor) -> Tensor:
    """Return the products 00, 01, 02, 11, 12, 22 of three channels: ``(n, 6, h, w)``."""
    red, green, blue = torch.split(colors, 1, dim=1)
    return torch.cat(
        [red * red, red * green, red * blue, green * green, green * blue, blue * blue], 1
    )


def square_means(values: Tensor, radius: int) -> Tensor:
    """Return what :func:`stages.motion.flow.box` returns, along one axis after the other.

    For small radii this takes a quarter of the time.
    """
    for axis, sides in ((-1, (radius, radius, 0, 0)), (-2, (0, 0, radius, radius))):
        padded = functional.pad(values, sides, mode="replicate")
        length = values.shape[axis]
        total = padded.narrow(axis, 0, length).clone()
        for shift in range(1, 2 * radius + 1):
            total += padded.narrow(axis, shift, length)
        values = total / (2 * radius + 1)
    return values


def solved(matrices: Tensor, ridge: float, right: Tensor) -> Tensor:
    """Solve symmetric systems of three unknowns at every pixel by their LDL decomposition.

    matrices: the entries 00, 01, 02, 11, 12, 22, ``(n, 6, h, w)``, positive semidefinite.
    ridge: added to the diagonal. right: the right-hand sides, ``(n, 3, h, w)``, as the result.
    """
    a00, a01, a02, a11, a12, a22 = matrices.unbind(1)
    pivot0 = a00 + ridge
    l10, l20 = a01 / pivot0, a02 / pivot0
    pivot1 = (a11 + ridge - l10 * a01).clamp_min(ridge)
    l21 = (a12 - l20 * a01) / pivot1
    pivot2 = (a22 + ridge - l20 * a02 - l21 * l21 * pivot1).clamp_min(ridge)
    y0, y1, y2 = right.unbind(1)
    y1 = y1 - l10 * y0
    y2 = y2 - l20 * y0 - l21 * y1
    x2 = y2 / pivot2
    x1 = y1 / pivot1 - l21 * x2
    x0 = y0 / pivot0 - l10 * x1 - l20 * x2
    return torch.stack([x0, x1, x2], 1)


def guided_filter(values: Tensor, guide: Tensor, radius: int, floor: float) -> Tensor:
    """Align ``values`` ``(T, 1, h, w)`` with the edges of ``guide``; see :func:`guided_lines`."""
    slope, offset = guided_lines(values, guide, radius, floor)
    return (slope * guide).sum(1, keepdim=True) + offset
