"""Test that a part of the scene leaves the mark, and that the mark keeps its own parts."""

from __future__ import annotations

import pytest
import torch
from marked_pictures import SIZE, marked
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.find import Mark
from stages.watermark.scene_parts import without_scene_parts

OPACITY = 0.7


def rough(seed: int, size: tuple[int, int] = SIZE) -> Tensor:
    """Return a rough gray surface, ``(1, 3, H, W)``."""
    generator = torch.Generator().manual_seed(seed)
    noise = F.avg_pool2d(torch.randn(1, 3, size[0] + 2, size[1] + 2, generator=generator), 3, 1)
    return (0.4 + 0.15 * noise).clamp(0, 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_bright_thing_of_the_scene_leaves_the_mark(seed: int) -> None:
    clean = rough(seed)
    # As bright as the mark, but as rough as the rest, and of another colour once it is undone.
    thing = torch.zeros(1, 1, *SIZE)
    thing[..., 50:62, 10:80] = 1
    clean = torch.where(thing > 0, (clean + 0.35).clamp(0, 1), clean)
    shape = torch.zeros_like(thing)
    shape[..., 15:35, 15:75] = 1
    white = torch.ones(1, 3, *SIZE)
    matte = OPACITY * (shape + thing)[0]
    taken = Mark(matte, matte * white[0], OPACITY, 0.0)
    kept = without_scene_parts(marked(clean, shape, OPACITY, white), taken, torch.ones(SIZE), 60)
    assert float(kept.matte[thing[0] > 0].mean()) < 0.1 * OPACITY
    assert torch.equal(kept.matte[shape[0] > 0], taken.matte[shape[0] > 0])
    assert float(kept.ink[:, thing[0, 0] > 0].mean()) < 0.1 * OPACITY


def test_an_opaque_mark_and_no_mark_stay() -> None:
    picture = rough(3)
    nothing = Mark.nothing(picture)
    opaque = Mark(torch.ones(1, *SIZE), torch.ones(3, *SIZE), 1.0, 0.0)
    for mark in (nothing, opaque):
        assert without_scene_parts(picture, mark, torch.ones(SIZE), 10) is mark
