"""Say how sure each pixel of the layers is, and how good a matte is expected to be.

Of a pixel, 0 is invented and 1 is certain (``--confidence``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.context import ExpectedQuality, confidence_name
from stages.motion.flow import resize, within
from stages.segment.hints.in_window import with_certain_alpha
from stages.segment.hints.marked_frames import Marked
from stages.segment.motion import WindowMotion
from stages.segment.outline_jumps import outline_jumps
from stages.segment.votes import VOTE_PIXELS

SEEN_ELSEWHERE = 0.75
"""Certainty of a background pixel that is taken from another frame. It was chosen, not measured."""
INSIDE = 0.5  # value of a matte above which a pixel belongs to the foreground
OVERLAP_OFFSET, OVERLAP_SLOPE = 0.686, 0.198
"""Offset and slope of the line from the jump of the motion along an outline, 0 to 1, to the
expected intersection over union. So that is 0.69 to 0.88. Fitted to eleven clips."""


def confidence_layers(
    odds: Tensor, matte: Tensor, missing: Tensor, marked: Marked
) -> dict[str, Tensor]:
    """Return how sure each pixel of foreground, background and matte is, ``(T, 1, H, W)`` each.

    - The matte is as sure as the votes: ``|2 p - 1|`` for a probability p of the foreground. What
      the user marked is certain.
    - The foreground shows in its matte, and its colours are made up elsewhere.
    - The background is certain where nothing hides it, less so where another frame shows it, and
      made up where none does.

    odds: the votes' log-odds of the foreground, ``(T, h, w)`` at any size.
    matte: ``(T, 1, H, W)`` in [0, 1]. missing: where no frame shows the background, of bool.
    """
    size = (matte.shape[-2], matte.shape[-1])
    chance = with_certain_alpha(resize(torch.sigmoid(odds)[:, None], size), marked)
    behind = torch.where(missing, 0.0, SEEN_ELSEWHERE)
    return {
        confidence_name("matte"): (2 * chance - 1).abs().clamp(0, 1),
        confidence_name("foreground"): matte.clone(),
        confidence_name("background"): 1 - matte + matte * behind,
    }


def expected_overlap(motion: WindowMotion, matte: Tensor) -> ExpectedQuality:
    """Return the intersection over union with the true matte that is expected of each frame.

    Motion jumps along the outline of a thing that was found whole. It does so less along an outline
    that leaves out a part of the thing, or takes in a part of the background.

    A frame without a matte has no expectation: nothing tells whether a thing was missed.

    motion: of the frames at any size. matte: ``(T, 1, H, W)`` in [0, 1].
    """
    size = within((matte.shape[-2], matte.shape[-1]), VOTE_PIXELS)
    inside = resize(matte, size)[:, 0] > INSIDE
    overlap = OVERLAP_OFFSET + OVERLAP_SLOPE * outline_jumps(motion.resized(size), inside)
    values = zip(overlap.clamp(0, 1).tolist(), inside.flatten(1).any(1).tolist(), strict=True)
    return ExpectedQuality("iou", tuple(value if found else None for value, found in values))
