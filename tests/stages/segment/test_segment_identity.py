"""Test that `segment` knows its foreground again in the next window of a clip."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from clips import drifting
from torch import Tensor
from torch.nn import functional

from stages.context import FitSettings, SeparationContext
from stages.segment.identity import CARRIED_LOG_ODDS, with_previous_matte
from stages.segment.layers import separate
from stages.segment.motion import WindowMotion
from stages.segment.survey import survey

SIZE = (72, 96)
FIRST, SHARED, FRAMES = 10, 4, 16
"""Frames of the first window, frames that both windows share, and frames of the clip."""
CAMERA = (-1.5, 0.5)  # motion of the background in pixels a frame


def coming_to_rest(seed: int) -> tuple[Tensor, Tensor]:
    """Return a clip under a moving camera, and the matte of a disc that moves, then rests.

    The disc stops where the second window begins. The clip is ``(T, 3, H, W)``.
    """
    height, width = SIZE
    tint = torch.tensor([0.4, 0.7, 1.0]).view(1, 3, 1, 1)
    background = drifting(seed, FRAMES, CAMERA, SIZE) * tint
    texture = 1 - drifting(seed + 1, 1, (0.0, 0.0), (2 * height, 3 * width)) * tint
    across, down = torch.arange(width).float(), torch.arange(height).float()[:, None]
    x, y = 30.0, 30.0
    mattes: list[Tensor] = []
    pictures: list[Tensor] = []
    for t in range(FRAMES):
        mattes.append((13.5 - torch.hypot(across - x, down - y)).clamp(0, 1)[None])
        right = ((across - x + 0.5) / (1.5 * width)).expand(height, width)
        low = ((down - y + 0.5) / height).expand(height, width)
        places = torch.stack([right, low], -1)[None]
        pictures.append(functional.grid_sample(texture, places, align_corners=False)[0])
        moves = t < FIRST - SHARED
        x += 3.0 if moves else CAMERA[0]
        y += 0.3 if moves else CAMERA[1]
    matte = torch.stack(mattes)
    return matte * torch.stack(pictures) + (1 - matte) * background, matte


@pytest.mark.slow
def test_what_rests_in_a_window_is_known_from_the_one_before() -> None:
    frames, matte = coming_to_rest(1)
    context = SeparationContext(FitSettings(max_seconds=0.01))
    facts = survey(frames, context)
    assert facts.plate is None
    begin = FIRST - SHARED
    known = replace(context, before={"matte": matte[begin:FIRST]})
    alone = separate(frames[begin:], facts, context).layers["matte"] > 0.5
    found = separate(frames[begin:], facts, known).layers["matte"] > 0.5
    true = matte[begin:] > 0.5
    shared = (found & true).sum((1, 2, 3)) / (found | true).sum((1, 2, 3))
    assert float(shared.min()) > 0.9
    assert float((alone & true).sum() / true.sum()) < 0.1


def test_the_window_before_outweighs_motion_and_follows_the_flow() -> None:
    right = torch.zeros(2, 2, 6, 8)
    right[:, 0] = 2.0
    trust = torch.ones(2, 1, 6, 8)
    motion = WindowMotion(right, -right, right, -right, trust, trust, torch.zeros(3, 2, 6, 8))
    before = torch.zeros(1, 1, 6, 8)
    before[..., 2:4] = 1
    found = with_previous_matte(torch.full((3, 6, 8), -3.0), before, motion)
    torch.testing.assert_close(found[0, :, 2:4], torch.full((6, 2), 2.0))
    torch.testing.assert_close(found[1, :, 4:6], torch.full((6, 2), CARRIED_LOG_ODDS))
    torch.testing.assert_close(found[2, :, 6:8], torch.full((6, 2), CARRIED_LOG_ODDS))
    assert float(found[1, :, :3].max()) == -3
    odds = torch.randn(3, 6, 8)
    for nothing in (None, torch.zeros(1, 1, 6, 8)):
        assert with_previous_matte(odds, nothing, motion) is odds
