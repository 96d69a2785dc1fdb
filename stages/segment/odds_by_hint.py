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
SINGLE_MARK = 1.0
"""Most log-odds by a single mark for a whole clip, as what it marks moves."""


def odds_by_hint(hint: Tensor, size: tuple[int, int]) -> Tensor:
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
            found.append(torch.full(size, -MOST_ODDS))
            continue
        top, bottom, left, right = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
        thick = min(bottom - top, right - left) > THICKNESS * min(size)
        area = thick and float(mark.sum()) / ((bottom - top) * (right - left)) > AREA_FILL
        # Strokes lie inside what they mark, so it reaches further; an area lies around it.
        reach = (0.05 if area else 0.5) * max(bottom - top, right - left) + 1
        near = torch.zeros(size, dtype=torch.bool)
        near[
            max(0, int(top - reach)) : int(bottom + reach),
            max(0, int(left - reach)) : int(right + reach),
        ] = True
        odds = torch.where(near, -0.5 if area else 0.0, -MOST_ODDS)
        if area:
            inside = border_distance((bottom - top, right - left)).float()
            odds[top:bottom, left:right] = torch.where(
                mark[top:bottom, left:right],
                (8 * inside - 1).clamp(max=1.5),
                odds[top:bottom, left:right],
            )
        else:
            odds = torch.where(mark, MOST_ODDS, odds)
        found.append(odds)
    return torch.stack(found)


def with_hint_odds(odds: Tensor, marks: Tensor, *, one: bool) -> Tensor:
    """Combine the log-odds of motion and of marks, both ``(T, h, w)``.

    Where a mark is sure, it overrides motion.

    one: a single mark serves all frames. It then only supports motion, as what it marks moves.
    """
    joined = odds + (marks.clamp(-SINGLE_MARK, SINGLE_MARK) if one else marks)
    if not one:
        joined = torch.where(marks.abs() >= MOST_ODDS, marks, joined)
    return joined.clamp(-MOST_ODDS, MOST_ODDS)
