"""Where a matte starts without motion: what stands out of a picture, and what the user marked.

Log-odds are ``(T, h, w)``, within :data:`SURE` of zero; above it is foreground.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import box
from stages.segment.background import Plate
from stages.segment.motion import border_distance, places
from stages.segment.votes import SURE, lab_colours, otsu, running_median

CENTRE = 0.45  # of the half width: how far from the middle a foreground is expected
CENTRE_ODDS = 1.0
CONTRAST = 3.0  # how sharply contrast decides
RIM = 0.06  # part of the sides that is taken for the border
LOW, HIGH = 0.8, 1.6
"""Times the threshold between slow and fast (or plain and striking) at which background and foreground become believable."""
LEVELLED = (
    0.7  # power of speeds before their threshold is sought: one fast limb must not hide a slow body
)
STRIP = 0.05  # part of the sides along the border whose motion is a background's
MOST = 0.9  # quantile of it
ABOVE, RAISED = (
    1.2,
    2.0,
)  # how far above it a foreground is expected; how far it may raise the threshold
SLOW = 1e-3  # part of the width a frame that counts as motion at all
SHOWN, BELIEF, FAST = 0.1, 1.5, 0.01
"""How much shown motion is enough at least, how sharply it decides, and the part of the width a frame that is believed without it."""

THICK = 0.1  # part of the shorter side; a mark that is thinner is a stroke
STROKE = 0.6  # a mark that fills more of its bounding box than this is an area, less is strokes
MARGIN = 0.1  # part of the mark's size around it where the foreground may still be
DIFFERENT = 0.06  # difference to the plate that tells foreground from background
NOISY = 4.0  # times the median difference beside it
CHANGED = 0.8  # least log-odds where a fixed camera's picture changed
ROUGH = 1.0  # log-odds that one mark for a whole clip gives: what is marked moves


def speed_odds(speed: Tensor, least: float | None = None) -> tuple[Tensor, Tensor]:
    """Log-odds of speeds ``(T, h, w)`` in pixels a frame, and the speed that tells fast from slow in each frame, ``(T,)``.

    least: the lowest that it can be, :data:`SLOW` of the width unless given. It is Otsu's threshold, or more where the
    picture's border moves: water and leaves do, all around, and are no foreground.
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
        # The middle two: a foreground may well touch one side.
        found.append(min(max(parted, ABOVE * (sides[1] + sides[2]) / 2), RAISED * parted))
    unit = running_median(torch.tensor(found), 3).clamp_min(least).to(speed)
    return _steep(speed / unit.view(-1, 1, 1)), unit


def shown_odds(odds: Tensor, shown: Tensor, speed: Tensor) -> Tensor:
    """Log-odds of speeds ``(T, h, w)``, those for the foreground only as far as the frames show motion there; nothing is known else.

    shown: see :func:`stages.segment.motion.shown_motion`; what is enough of it is Otsu's threshold. Fast motion is believed without: flow
    and camera both miss there.
    """
    enough = max(SHOWN, otsu(shown**LEVELLED) ** (1 / LEVELLED))
    fast = torch.log(speed / (FAST * speed.shape[-1])).clamp_min(0)
    return torch.minimum(odds, (BELIEF * (torch.log((shown + 0.01) / enough) + fast)).clamp_min(0))


def _steep(ratio: Tensor) -> Tensor:
    """Log-odds, nothing known half-way (in logarithms) between :data:`LOW` and :data:`HIGH`."""
    middle = (LOW * HIGH) ** 0.5
    return (CONTRAST * torch.log((ratio + 1e-3) / middle)).clamp(-SURE, SURE)


def saliency_odds(pictures: Tensor) -> Tensor:
    """Log-odds by contrast and place for each of ``pictures`` ``(T, 3, h, w)``: unlike the border and near the middle.

    Contrast is the Mahalanobis distance of a colour to those of each side of the border; its mean without the least, as the foreground
    may touch a side.
    """
    height, width = pictures.shape[-2:]
    x, y = places((height, width))
    middle = torch.exp(-0.5 * ((x / CENTRE) ** 2 + (y * width / height / CENTRE) ** 2)).float()
    rows, columns = max(1, round(RIM * height)), max(1, round(RIM * width))
    found = []
    for colours in lab_colours(pictures):
        sides = (
            colours[:, :rows],
            colours[:, -rows:],
            colours[:, :, :columns],
            colours[:, :, -columns:],
        )
        distances = torch.stack([_distance(colours, side.flatten(1)) for side in sides])
        contrast = (distances.sum(0) - distances.amin(0)) / 3
        contrast = box(contrast[None, None], max(1, width // 100))[0, 0]
        # A plain picture has no contrast: then place alone decides nothing either.
        if float(contrast.max()) < 1e-3:
            found.append(torch.full_like(contrast, -SURE))
            continue
        found.append(
            (
                _steep(contrast / max(otsu(contrast), 1e-3))
                + CENTRE_ODDS * (2 * middle - 1).to(contrast)
            ).clamp(-SURE, SURE)
        )
    return torch.stack(found)


def _distance(colours: Tensor, side: Tensor) -> Tensor:
    """Mahalanobis distance ``(h, w)`` of ``colours`` ``(3, h, w)`` to the colours ``side`` ``(3, N)``."""
    mean = side.mean(1)
    away = side - mean[:, None]
    covariance = away @ away.T / side.shape[1] + 25 * torch.eye(3).to(
        side
    )  # 5 of 100 in L, a and b is no difference
    offset = colours.flatten(1) - mean[:, None]
    squared: Tensor = (offset * torch.linalg.solve(covariance, offset)).sum(0)
    return squared.clamp_min(0).sqrt().view(colours.shape[1:])


def hint_odds(hint: Tensor, size: tuple[int, int]) -> Tensor:
    """Log-odds ``(T, h, w)`` of the user's marks ``(T, 1, h, w)`` in [0, 1].

    Strokes are foreground, an area (a box, a blob) holds it; far from the mark is background, and close to it nothing is known.
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
        # Strokes lie inside what they mark; an area lies around it.
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
    """Motion's log-odds ``(T, h, w)`` with those of the marks, which override them where they are sure.

    one: a single mark stands for all frames. As what it marks moves, it only leans on motion then.
    """
    joined = odds + (marks.clamp(-ROUGH, ROUGH) if one else marks)
    return (joined if one else torch.where(marks.abs() >= SURE, marks, joined)).clamp(-SURE, SURE)


def difference_odds(frames: Tensor, plate: Plate, odds: Tensor) -> Tensor:
    """Motion's log-odds ``(T, h, w)`` joined with the difference of ``frames`` ``(T, 3, h, w)`` to the plate, where that is trusted.

    What differs is foreground though it stands still; what does not is background though flow says it moves: flow reaches too far.
    """
    size = (frames.shape[-2], frames.shape[-1])
    small = plate.resized(size)
    away = torch.cat(
        [box((frame - small.picture).abs().amax(0)[None, None], 1) for frame in frames]
    )[:, 0]
    joined = (odds / 2 + _steep(away / (DIFFERENT + NOISY * away.median()))).clamp(-SURE, SURE)
    # Where the plate is not trusted, rest says nothing. Where the window's picture changes there too, something came or went.
    soft = torch.cat([box(frame[None], 1) for frame in frames])
    changes = (soft.amax(0) - soft.amin(0)).amax(
        0, keepdim=True
    ) > DIFFERENT + NOISY * away.median()
    return torch.where(small.trusted, joined, odds.clamp_min(0) + CHANGED * (changes & (odds < 0)))
