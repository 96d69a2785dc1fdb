"""Compute the first log-odds of the foreground: by speed, contrast, marks and a fixed background.

Log-odds are ``(T, h, w)``, at most :data:`SURE` from zero; positive means foreground.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import box
from stages.segment.background import Plate
from stages.segment.motion import border_distance, places
from stages.segment.votes import SURE, lab_colors, otsu, running_median

CENTER = 0.45  # spread of a foreground's expected place around the middle, in half widths
CENTER_ODDS = 1.0  # most log-odds by place
CONTRAST = 3.0  # steepness of the log-odds over the logarithm of speed or contrast
RIM = 0.06  # part of the side that is the border
LOW, HIGH = 0.8, 1.6
"""Multiples of the threshold; the log-odds are zero at their geometric mean."""
LEVELLED = 0.7  # power of speeds before thresholding, so that a fast limb does not hide a slow body
STRIP = 0.05  # part of the side along the border whose motion is the background's
MOST = 0.9  # quantile of the speeds in a strip
ABOVE = 1.2  # times the border's speed that a foreground has at least
RAISED = 2.0  # times Otsu's threshold that the border may raise it to
SLOW = 1e-3  # least speed of a foreground, in widths a frame
SHOWN, BELIEF, FAST = 0.1, 1.5, 0.01
"""Least shown motion, steepness, and the speed in widths a frame that needs no evidence."""

THICK = 0.1  # part of the shorter side; a thinner mark is a stroke
STROKE = 0.6  # part of its bounding box that an area fills at least; other marks are strokes
MARGIN = 0.1  # part of the mark's size around it where the foreground may still be
DIFFERENT = 0.06  # least colour difference to the plate that is notable
NOISY = 4.0  # factor of the median difference that is added to it
CHANGED = 0.8  # log-odds where the picture of a fixed camera changed
ROUGH = 1.0  # most log-odds by a single mark for a whole clip, as what it marks moves


def speed_odds(speed: Tensor, least: float | None = None) -> tuple[Tensor, Tensor]:
    """Return the log-odds ``(T, h, w)`` of speeds, and the threshold of each frame, ``(T,)``.

    The threshold is Otsu's. It rises if the picture's border moves too, as water and leaves do.

    speed: ``(T, h, w)`` in pixels a frame. least: lowest threshold; by default :data:`SLOW`.
    """
    least = SLOW * speed.shape[-1] if least is None else least
    rows, columns = max(1, round(STRIP * speed.shape[-2])), max(1, round(STRIP * speed.shape[-1]))
    found = []
    for frame in speed:
        parted = otsu(frame**LEVELLED) ** (1 / LEVELLED)
        sides = sorted(
            float(side.quantile(MOST))
            for side in (frame[:rows], frame[-rows:], frame[:, :columns], frame[:, -columns:])
        )
        # The middle two sides, because the foreground may touch one.
        found.append(min(max(parted, ABOVE * (sides[1] + sides[2]) / 2), RAISED * parted))
    unit = running_median(torch.tensor(found), 3).clamp_min(least).to(speed)
    return _steep(speed / unit.view(-1, 1, 1)), unit


def shown_odds(odds: Tensor, shown: Tensor, speed: Tensor) -> Tensor:
    """Limit the log-odds for the foreground to where the frames show motion; elsewhere to zero.

    Fast motion needs no such evidence, because neither flow nor camera explains the frames there.

    odds: by speed, ``(T, h, w)``. speed: ``(T, h, w)`` in pixels a frame.
    shown: see :func:`stages.segment.motion.shown_motion`; Otsu's threshold of it is enough.
    """
    enough = max(SHOWN, otsu(shown**LEVELLED) ** (1 / LEVELLED))
    fast = torch.log(speed / (FAST * speed.shape[-1])).clamp_min(0)
    return torch.minimum(odds, (BELIEF * (torch.log((shown + 0.01) / enough) + fast)).clamp_min(0))


def _steep(ratio: Tensor) -> Tensor:
    """Return log-odds of a ratio to a threshold, zero between :data:`LOW` and :data:`HIGH`."""
    middle = (LOW * HIGH) ** 0.5
    return (CONTRAST * torch.log((ratio + 1e-3) / middle)).clamp(-SURE, SURE)


def saliency_odds(pictures: Tensor) -> Tensor:
    """Return log-odds ``(T, h, w)`` by contrast to the border and nearness to the middle.

    Contrast is the mean Mahalanobis distance to the colours of the picture's four sides, without
    the smallest one, because the foreground may touch a side.

    pictures: ``(T, 3, h, w)`` in [0, 1], each treated by itself.
    """
    height, width = pictures.shape[-2:]
    x, y = places((height, width))
    middle = torch.exp(-0.5 * ((x / CENTER) ** 2 + (y * width / height / CENTER) ** 2)).float()
    rows, columns = max(1, round(RIM * height)), max(1, round(RIM * width))
    found = []
    for colors in lab_colors(pictures):
        sides = (
            colors[:, :rows],
            colors[:, -rows:],
            colors[:, :, :columns],
            colors[:, :, -columns:],
        )
        distances = torch.stack([_distance(colors, side.flatten(1)) for side in sides])
        contrast = (distances.sum(0) - distances.amin(0)) / 3
        contrast = box(contrast[None, None], max(1, width // 100))[0, 0]
        # In a plain picture, place alone must not make a foreground.
        if float(contrast.max()) < 1e-3:
            found.append(torch.full_like(contrast, -SURE))
            continue
        found.append(
            (
                _steep(contrast / max(otsu(contrast), 1e-3))
                + CENTER_ODDS * (2 * middle - 1).to(contrast)
            ).clamp(-SURE, SURE)
        )
    return torch.stack(found)


def _distance(colors: Tensor, side: Tensor) -> Tensor:
    """Return the Mahalanobis distance ``(h, w)`` of colours ``(3, h, w)`` to those of a side."""
    mean = side.mean(1)
    away = side - mean[:, None]
    # A difference of 5 in L, a or b is no contrast: 25 is its square.
    covariance = away @ away.T / side.shape[1] + 25 * torch.eye(3).to(side)
    offset = colors.flatten(1) - mean[:, None]
    squared: Tensor = (offset * torch.linalg.solve(covariance, offset)).sum(0)
    return squared.clamp_min(0).sqrt().view(colors.shape[1:])


def hint_odds(hint: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the log-odds ``(T, h, w)`` of the user's marks.

    Strokes lie on the foreground; an area (a box, a blob) contains it. What is far from the mark is
    background. Close to it, nothing is known.

    hint: ``(T, 1, h, w)`` in [0, 1]. size: its height and width.
    """
    height, width = size
    found = []
    for mark in hint[:, 0] > 0.5:
        ys, xs = mark.any(1).nonzero()[:, 0], mark.any(0).nonzero()[:, 0]
        if not len(ys):
            found.append(torch.full(size, -SURE))
            continue
        top, bottom, left, right = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
        thick = min(bottom - top, right - left) > THICK * min(size)
        area = thick and float(mark.sum()) / ((bottom - top) * (right - left)) > STROKE
        # Strokes lie inside what they mark, so it reaches further; an area lies around it.
        reach = (0.05 if area else 0.5) * max(bottom - top, right - left) + 1
        near = torch.zeros(size, dtype=torch.bool)
        near[
            max(0, int(top - reach)) : int(bottom + reach),
            max(0, int(left - reach)) : int(right + reach),
        ] = True
        odds = torch.where(near, -0.5 if area else 0.0, -SURE)
        if area:
            inside = border_distance((bottom - top, right - left)).float()
            odds[top:bottom, left:right] = torch.where(
                mark[top:bottom, left:right],
                (8 * inside - 1).clamp(max=1.5),
                odds[top:bottom, left:right],
            )
        else:
            odds = torch.where(mark, SURE, odds)
        found.append(odds)
    return torch.stack(found)


def mark_odds(odds: Tensor, marks: Tensor, *, one: bool) -> Tensor:
    """Combine the log-odds of motion and of marks, both ``(T, h, w)``.

    Where a mark is sure, it overrides motion.

    one: a single mark serves all frames. It then only supports motion, as what it marks moves.
    """
    joined = odds + (marks.clamp(-ROUGH, ROUGH) if one else marks)
    return (joined if one else torch.where(marks.abs() >= SURE, marks, joined)).clamp(-SURE, SURE)


def difference_odds(frames: Tensor, plate: Plate, odds: Tensor) -> Tensor:
    """Combine the log-odds of motion with the difference to a fixed background.

    What differs is foreground even if it stands still. What does not differ is background even if
    the flow says that it moves, because flow reaches beyond outlines.

    frames: ``(T, 3, h, w)`` in [0, 1]. odds: of motion, ``(T, h, w)``.
    plate: at any size. Where it is not trusted, motion decides.
    """
    size = (frames.shape[-2], frames.shape[-1])
    small = plate.resized(size)
    away = torch.cat(
        [box((frame - small.picture).abs().amax(0)[None, None], 1) for frame in frames]
    )[:, 0]
    joined = (odds / 2 + _steep(away / (DIFFERENT + NOISY * away.median()))).clamp(-SURE, SURE)
    # Where the plate is not trusted, rest is no evidence, and change means that something moved.
    soft = torch.cat([box(frame[None], 1) for frame in frames])
    changes = (soft.amax(0) - soft.amin(0)).amax(
        0, keepdim=True
    ) > DIFFERENT + NOISY * away.median()
    return torch.where(small.trusted, joined, odds.clamp_min(0) + CHANGED * (changes & (odds < 0)))
