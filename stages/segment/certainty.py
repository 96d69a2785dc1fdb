"""Say how sure each pixel of the layers is: 0 is invented, 1 is certain (``--confidence``)."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.context import confidence_name
from stages.motion.flow import resize
from stages.segment.hinted import Marked, with_certain

SEEN_ELSEWHERE = 0.75
"""Certainty of a background pixel that is taken from another frame. It was chosen, not measured."""


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
    chance = with_certain(resize(torch.sigmoid(odds)[:, None], size), marked)
    behind = torch.where(missing, 0.0, SEEN_ELSEWHERE)
    return {
        confidence_name("matte"): (2 * chance - 1).abs().clamp(0, 1),
        confidence_name("foreground"): matte.clone(),
        confidence_name("background"): 1 - matte + matte * behind,
    }
