"""A mark stays in its place while the scene moves past it; a thing of the scene moves along."""

from __future__ import annotations

import pytest
import torch
from clips import drifting

from stages.watermark.mark import Mark
from stages.watermark.scene_motion import error_beside_motion

SIZE = (90, 160)
OPACITY = 0.7


def framed(frames: torch.Tensor) -> tuple[torch.Tensor, Mark]:
    """Return drifting frames under a white frame that stays, and that mark."""
    matte = torch.zeros(1, *SIZE)
    matte[:, 30:60, 60:100] = OPACITY
    matte[:, 36:54, 68:92] = 0
    ink = matte.expand(3, -1, -1)
    return (1 - matte) * frames + ink, Mark(matte, ink.clone(), OPACITY, 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_a_mark_agrees_with_itself_and_a_thing_with_the_motion(seed: int) -> None:
    scene = drifting(seed, 16, (1.5, 0.5), SIZE)
    marked, mark = framed(scene)
    stays = error_beside_motion(mark, [marked])
    moves = error_beside_motion(mark, [scene])
    assert stays is not None
    assert moves is not None
    assert stays < 1 < moves


def test_a_still_scene_tells_nothing() -> None:
    scene = drifting(0, 1, (0.0, 0.0), SIZE).expand(12, -1, -1, -1)
    marked, mark = framed(scene)
    assert error_beside_motion(mark, [marked]) is None
