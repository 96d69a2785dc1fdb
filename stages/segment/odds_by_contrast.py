"""Guess the foreground of a picture without hints, by its contrast to the outer edge and its place.

Log-odds are ``(T, h, w)``, at most :data:`stages.segment.log_odds.MOST_ODDS` from zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import box
from stages.segment.camera import centered_coordinates
from stages.segment.lab import lab_colors
from stages.segment.log_odds import MOST_ODDS, odds_above, otsu

# The constants below were chosen on the development footage.
PLACE_SPREAD = 0.45  # spread of a foreground's expected place around the middle, in half widths
MOST_BY_PLACE = 1.0  # most log-odds by place
STRIP = 0.06  # width of the strips along the picture's sides, as a part of the picture's side
SAME_COLOR = 5.0  # difference in L, a or b that is no contrast
LEAST_CONTRAST = 1e-3  # contrast below which a picture is plain
SMOOTHED = 100  # contrast is averaged over a square whose radius is the width divided by this


def odds_by_contrast(pictures: Tensor) -> Tensor:
    """Return log-odds ``(T, h, w)`` by contrast to the outer edge and nearness to the middle.

    pictures: ``(T, 3, h, w)`` in [0, 1], each treated by itself.
    """
    height, width = pictures.shape[-2:]
    x, y = centered_coordinates((height, width))
    across, down = x / PLACE_SPREAD, y * width / height / PLACE_SPREAD
    nearness = torch.exp(-0.5 * (across**2 + down**2)).float()
    found = []
    for colors in lab_colors(pictures):
        contrast = _contrast(colors)
        # In a plain picture, place alone must not make a foreground.
        if float(contrast.max()) < LEAST_CONTRAST:
            found.append(torch.full_like(contrast, -MOST_ODDS))
            continue
        by_contrast = odds_above(contrast / max(otsu(contrast), LEAST_CONTRAST))
        by_place = MOST_BY_PLACE * (2 * nearness - 1).to(contrast)
        found.append((by_contrast + by_place).clamp(-MOST_ODDS, MOST_ODDS))
    return torch.stack(found)


def _contrast(colors: Tensor) -> Tensor:
    """Return the contrast ``(h, w)`` of a picture's colours ``(3, h, w)`` to its outer edge.

    It is the mean Mahalanobis distance to the colours along the four sides, without the smallest
    one, because the foreground may touch a side.
    """
    height, width = colors.shape[-2:]
    rows, columns = max(1, round(STRIP * height)), max(1, round(STRIP * width))
    sides = (
        colors[:, :rows],
        colors[:, -rows:],
        colors[:, :, :columns],
        colors[:, :, -columns:],
    )
    distances = torch.stack([_distance(colors, side.flatten(1)) for side in sides])
    contrast = (distances.sum(0) - distances.amin(0)) / (len(sides) - 1)
    return box(contrast[None, None], max(1, width // SMOOTHED))[0, 0]


def _distance(colors: Tensor, side: Tensor) -> Tensor:
    """Return the Mahalanobis distance ``(h, w)`` of colours ``(3, h, w)`` to those of a side.

    side: the colours along it, ``(3, n)``.
    """
    mean = side.mean(1)
    deviation = side - mean[:, None]
    covariance = deviation @ deviation.T / side.shape[1] + SAME_COLOR**2 * torch.eye(3).to(side)
    offset = colors.flatten(1) - mean[:, None]
    squared: Tensor = (offset * torch.linalg.solve(covariance, offset)).sum(0)
    return squared.clamp_min(0).sqrt().view(colors.shape[1:])
