"""Extend the foreground to all pixels that look and move like it, by votes across all frames.

Pixels vote in small histograms over colour and place, and over motion, place and time. A blurred
histogram replaces the sum over all pairs of pixels (bilateral space, Chen et al. 2007; Märki et al.
2016 for video). Each turn joins the votes with the motion's own log-odds, aligns the sum with the
edges in the picture, lets the frames of each trajectory decide together, and votes again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stages.segment.camera import outer_distance
from stages.segment.guided_filter import guided_filter
from stages.segment.lab import spread_colors
from stages.segment.log_odds import MOST_ODDS, running_median
from stages.segment.motion import WindowMotion
from stages.segment.trajectory_labels import joined_along

VOTE_PIXELS = 212 * 120
"""Most pixels of a frame for the votes."""

# The constants below were chosen on the development footage.
TURNS = 4  # rounds of votes
UNDECIDED = 0.5  # log-odds up to which a pixel has no vote in the first turn
MOST_BY_VOTES = 4.0  # most log-odds by votes
COLOR_WEIGHT = 0.7  # weight of the votes by colour; the motion's own log-odds have 1
MOTION_WEIGHT = 0.5  # weight of the votes by motion
RARE = 0.02  # votes added for both sides, so that a few votes decide nothing
OUTER_VOTES = 12.0  # votes for the background by a pixel at the outer edge; a sure pixel has 1
OUTER_REACH = 0.03  # part of the side over which that weight falls to a third
SPREAD = 1.5  # sizes of the foreground over which places are distinguished
LEAST_AREA = 0.003  # smallest area of a foreground, as a part of the picture
BIAS = -0.1  # log-odds added in each turn, because background is more likely

LOCAL_BINS, LOCAL_FRAMES_PER_BIN = (20, 12), 4
"""Bins across and down the picture, and frames a bin, of the local votes."""
LOCAL_WEIGHT = 0.5  # weight of the local votes; the log-odds that they start from have 1

COLOR_BINS = 16  # of L, a and b each
PLACE_BINS = 14  # of x and y each, beside colour
SPEED_BINS = 16  # of the motion's x and y each
SPEED_PLACE_BINS = 10  # of x and y each, beside motion
FRAMES_PER_BIN = 3  # along time, beside motion


def vote(
    frames: Tensor,
    odds: Tensor,
    motion: WindowMotion | None,
    slow: Tensor,
    outer_motion: Tensor,
    *,
    turns: int = TURNS,
) -> Tensor:
    """Return the foreground's log-odds ``(T, h, w)`` after some turns of votes.

    frames: ``(T, 3, h, w)`` in [0, 1].
    odds: log-odds to begin with, ``(T, h, w)`` in [-3, 3]; zero means unknown.
    motion: of frames of this size; ``None`` for a picture.
    slow: the speed in pixels a frame up to which a pixel counts as slow, ``(T,)``.
    outer_motion: how fast the picture's outer edge moves, ``(T,)`` in [0, 1]; 1 for a picture.
        Pixels there that do not look like background vote for it to this part only, because the
        picture may cut the foreground off. All others do so in full.
    """
    count, _, height, width = frames.shape
    matte = torch.sigmoid(odds)
    trust = (odds.abs() - UNDECIDED).clamp_min(0) / (MOST_ODDS - UNDECIDED)
    colors = spread_colors(frames)
    outer = OUTER_VOTES * torch.exp(-outer_distance((height, width)) / OUTER_REACH).to(frames)
    color_bins = [COLOR_BINS] * 3 + [PLACE_BINS] * 2
    motion_bins = [SPEED_BINS] * 2 + [SPEED_PLACE_BINS] * 2 + [max(1, count // FRAMES_PER_BIN)]
    found = odds
    for _ in range(turns):
        place = _relative_places(matte)
        by_outer = outer * torch.where(matte < 0.5, 1.0, outer_motion.view(-1, 1, 1))
        sides = (trust * matte).flatten(), ((trust + by_outer) * (1 - matte)).flatten()
        by_color = _odds_by_votes(colors + place, color_bins, *sides).view_as(odds)
        found = odds + COLOR_WEIGHT * by_color + BIAS
        if motion is not None:
            velocity, time = _velocity_and_time(motion, slow)
            features = [*velocity, *place, time]
            by_motion = _odds_by_votes(features, motion_bins, *sides).view_as(odds)
            found = found + MOTION_WEIGHT * by_motion
        found = guided_filter(found[:, None], frames)[:, 0]
        if motion is not None:
            found = joined_along(found, motion)
        matte = torch.sigmoid(found)
        trust = (2 * matte - 1).abs()
    return found


def local_vote(frames: Tensor, odds: Tensor) -> Tensor:
    """Return log-odds ``(T, h, w)`` after one vote among pixels close in colour, place and time.

    A limb may have the colour of a distant part of the background and still differ from the
    background next to it.

    frames: ``(T, 3, h, w)`` in [0, 1].
    odds: the foreground's log-odds ``(T, h, w)``. Pixels vote by their certainty.
    """
    count, _, height, width = frames.shape
    y, x, time = ((torch.arange(size).to(frames) + 0.5) / size for size in (height, width, count))
    places = [axis.expand_as(odds) for axis in (x, y[:, None], time[:, None, None])]
    bins = [COLOR_BINS] * 3 + [*LOCAL_BINS, max(1, count // LOCAL_FRAMES_PER_BIN)]
    matte = torch.sigmoid(odds)
    trust = (2 * matte - 1).abs()
    near = _odds_by_votes(
        [*spread_colors(frames), *places],
        bins,
        (trust * matte).flatten(),
        (trust * (1 - matte)).flatten(),
    )
    return guided_filter((odds + LOCAL_WEIGHT * near.view_as(odds))[:, None], frames)[:, 0]


def cells_of(features: Sequence[Tensor], bins: Sequence[int]) -> Tensor:
    """Return the cell of a flat histogram that each of N values falls into, ``(N,)``.

    features: tensors of N values in [0, 1]. bins: how many each has.
    """
    cells = torch.zeros(features[0].numel(), dtype=torch.long, device=features[0].device)
    for feature, number in zip(features, bins, strict=True):
        cells = cells * number + (feature.flatten() * number).long().clamp(0, number - 1)
    return cells


def blurred(grid: Tensor) -> Tensor:
    """Blur a histogram along each of its axes by a Gaussian of one bin, cut off at two bins."""
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


def _odds_by_votes(
    features: Sequence[Tensor], bins: Sequence[int], foreground: Tensor, background: Tensor
) -> Tensor:
    """Return log-odds ``(N,)`` of the foreground, by the votes of pixels with similar features.

    features: tensors of N values in [0, 1]. bins: how many each has. foreground, background: the
    weight of each pixel's vote for either side, ``(N,)``.
    """
    cells = cells_of(features, bins)
    votes_for, votes_against = (
        blurred(torch.bincount(cells, weight, math.prod(bins)).view(*bins)).flatten()[cells]
        for weight in (foreground, background)
    )
    odds = torch.log((votes_for + RARE) / (votes_against + RARE))
    return odds.clamp(-MOST_BY_VOTES, MOST_BY_VOTES).float()


def _velocity_and_time(motion: WindowMotion, slow: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return the motion's x and y and each frame's time, ``(T, h, w)`` each, in [0, 1].

    Motion against the camera is squeezed into that range, with 0.5 for rest.

    slow: see :func:`vote`.
    """
    velocity = [
        torch.tanh(motion.residual[:, axis] / (3 * slow.view(-1, 1, 1))) / 2 + 0.5
        for axis in (0, 1)
    ]
    count = len(motion.residual)
    time = (torch.arange(count).to(motion.residual) / count).view(-1, 1, 1)
    return velocity, time.expand_as(velocity[0])


def _relative_places(matte: Tensor) -> list[Tensor]:
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
