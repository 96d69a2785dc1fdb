"""Turn a hint that is a picture for the whole window into log-odds of the foreground.

A window uses it if it moves and none of its frames has regions of its own. The picture may have
been drawn for another frame, so it only tells roughly where the thing is.

Log-odds are ``(T, h, w)``, at most :data:`stages.segment.log_odds.MOST_ODDS` from zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.hint_regions import HintRegion
from stages.segment.camera import outer_distance
from stages.segment.log_odds import MOST_ODDS

# What is drawn is an area or strokes. An area lies around the thing, and strokes lie inside of it.
LEAST_AREA_SIDE = 0.1  # shorter side of an area's bounding box, in the picture's shorter sides
LEAST_AREA_FILL = 0.6  # part of its bounding box that an area fills
# Farther than this reach from what is drawn, everything is background. It is measured in the longer
# side of the bounding box.
STROKE_REACH = 0.5
AREA_REACH = 0.05
BESIDE_AREA = -0.5  # log-odds within its reach of an area
AREA_EDGE = -1.0  # log-odds at an area's edge
AREA_SLOPE = 8.0  # rise of the log-odds with the distance from the edge, in parts of the sides
MOST_IN_AREA = 1.5  # most log-odds in an area
MOST_BY_ONE_PICTURE = 1.0
"""Most log-odds by one picture for all frames, because the thing moves away from what is drawn."""


def odds_by_hint(hint: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the log-odds ``(T, h, w)`` of what is drawn, each picture by itself.

    hint: ``(T, 1, h, w)`` in [0, 1]. size: its height and width.
    """
    return torch.stack([_odds_by_drawing(drawn, size) for drawn in hint[:, 0] > 0.5])


def _odds_by_drawing(drawn: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the log-odds ``(h, w)`` of what is drawn in one picture, ``(h, w)`` of bool.

    Strokes are foreground, and an area contains it. What is far from either is background.
    """
    if not bool(drawn.any()):
        return torch.full(size, -MOST_ODDS)
    top, bottom, left, right = HintRegion(drawn).bounds
    height, width = bottom - top, right - left
    is_wide = min(height, width) > LEAST_AREA_SIDE * min(size)
    is_area = is_wide and float(drawn.sum()) / (height * width) > LEAST_AREA_FILL
    reach = (AREA_REACH if is_area else STROKE_REACH) * max(height, width) + 1
    near = torch.zeros(size, dtype=torch.bool)
    near[
        max(0, int(top - reach)) : int(bottom + reach),
        max(0, int(left - reach)) : int(right + reach),
    ] = True
    if not is_area:
        return torch.where(drawn, MOST_ODDS, torch.where(near, 0.0, -MOST_ODDS))
    odds = torch.where(near, BESIDE_AREA, -MOST_ODDS)
    # The middle of an area is likely foreground; at its edge, the drawing is not exact.
    depth = outer_distance((height, width)).float()
    in_area = (AREA_SLOPE * depth + AREA_EDGE).clamp(max=MOST_IN_AREA)
    box = slice(top, bottom), slice(left, right)
    odds[box] = torch.where(drawn[box], in_area, odds[box])
    return odds


def with_hint_odds(odds: Tensor, hint_odds: Tensor, *, one_picture: bool) -> Tensor:
    """Return the log-odds of motion, joined with those of the hint, both ``(T, h, w)``.

    Where a hint has a picture for each frame and is sure, it overrules motion.

    one_picture: whether one picture is the hint for all frames. It then only supports motion.
    """
    if one_picture:
        joined = odds + hint_odds.clamp(-MOST_BY_ONE_PICTURE, MOST_BY_ONE_PICTURE)
    else:
        is_sure = hint_odds.abs() >= MOST_ODDS
        joined = torch.where(is_sure, hint_odds, odds + hint_odds)
    return joined.clamp(-MOST_ODDS, MOST_ODDS)
