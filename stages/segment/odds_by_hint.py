"""Turn the user's hints into log-odds of the foreground.

Log-odds are ``(T, h, w)``, at most :data:`stages.segment.log_odds.MOST_ODDS` from zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.segment.log_odds import MOST_ODDS
from stages.segment.motion import border_distance

THICKNESS = 0.1  # part of the picture's shorter side; a thinner mark is a stroke
AREA_FILL = 0.6  # part of its bounding box that an area fills at least; other marks are strokes
STROKE_REACH, AREA_REACH = 0.5, 0.05
"""Distance from a mark up to which nothing is known to be background, in the mark's own size.

Strokes lie inside what they mark, so it reaches further; an area lies around it.
"""
BESIDE_AREA = -0.5  # log-odds within that distance of an area
AREA_EDGE, AREA_SLOPE, MOST_IN_AREA = -1.0, 8.0, 1.5
"""Log-odds at an area's edge, how they rise with the distance from it in parts of the area's sides,
and the most of them."""
SINGLE_MARK = 1.0
"""Most log-odds by a single mark for a whole clip, as what it marks moves."""


def odds_by_hint(hint: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the log-odds ``(T, h, w)`` of the user's marks.

    Strokes lie on the foreground; an area (a box, a blob) contains it. What is far from the mark is
    background. Close to it, nothing is known.

    hint: ``(T, 1, h, w)`` in [0, 1]. size: its height and width.
    """
    return torch.stack([_odds_by_mark(mark, size) for mark in hint[:, 0] > 0.5])


def _odds_by_mark(mark: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the log-odds ``(h, w)`` of one frame's mark, ``(h, w)`` of bool."""
    ys, xs = mark.any(1).nonzero()[:, 0], mark.any(0).nonzero()[:, 0]
    if not len(ys):
        return torch.full(size, -MOST_ODDS)
    top, bottom, left, right = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
    height, width = bottom - top, right - left
    is_thick = min(height, width) > THICKNESS * min(size)
    is_area = is_thick and float(mark.sum()) / (height * width) > AREA_FILL
    reach = (AREA_REACH if is_area else STROKE_REACH) * max(height, width) + 1
    near = torch.zeros(size, dtype=torch.bool)
    near[
        max(0, int(top - reach)) : int(bottom + reach),
        max(0, int(left - reach)) : int(right + reach),
    ] = True
    if not is_area:
        return torch.where(mark, MOST_ODDS, torch.where(near, 0.0, -MOST_ODDS))
    odds = torch.where(near, BESIDE_AREA, -MOST_ODDS)
    # The middle of an area is likely foreground; at its edge, the drawing is not exact.
    depth = border_distance((height, width)).float()
    in_area = (AREA_SLOPE * depth + AREA_EDGE).clamp(max=MOST_IN_AREA)
    box = slice(top, bottom), slice(left, right)
    odds[box] = torch.where(mark[box], in_area, odds[box])
    return odds


def with_hint_odds(odds: Tensor, marks: Tensor, *, one: bool) -> Tensor:
    """Combine the log-odds of motion and of marks, both ``(T, h, w)``.

    Where a mark is sure, it overrides motion.

    one: a single mark serves all frames. It then only supports motion, as what it marks moves.
    """
    joined = odds + (marks.clamp(-SINGLE_MARK, SINGLE_MARK) if one else marks)
    if not one:
        joined = torch.where(marks.abs() >= MOST_ODDS, marks, joined)
    return joined.clamp(-MOST_ODDS, MOST_ODDS)
