"""Test what a hint says that is a picture for the whole window."""

from __future__ import annotations

import torch

from stages.segment.hints.hint_picture import odds_by_hint


def test_strokes_mark_the_foreground_and_their_surroundings_are_unsure() -> None:
    strokes = torch.zeros(1, 1, 40, 40)
    strokes[..., 8, 5:15] = strokes[..., 5:15, 8] = 1
    odds = odds_by_hint(strokes, (40, 40))[0]
    assert odds[8, 10] == 3 and odds[39, 39] == -3 and odds[12, 12] == 0
