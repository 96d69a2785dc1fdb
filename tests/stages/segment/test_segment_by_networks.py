"""Where the networks alone are told that a layer surely is."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.hint_regions import HintRegion
from stages.segment.by_networks import HintMasks

SIZE = (20, 30)


def context(
    hint: Tensor | None = None, hint_regions: tuple[HintRegion, ...] = ()
) -> SeparationContext:
    return SeparationContext(FitSettings(), hint=hint, hint_regions=hint_regions)


def block(top: int, left: int) -> Tensor:
    """Return a mark of four by four pixels."""
    pixels = torch.zeros(SIZE, dtype=torch.bool)
    pixels[top : top + 4, left : left + 4] = True
    return pixels


def votes(frames: int) -> Tensor:
    """Return votes that are sure of the left half being foreground, and of the right half not."""
    chance = torch.full((frames, 1, *SIZE), 0.02)
    chance[..., : SIZE[1] // 2] = 0.98
    return chance


def test_marks_of_the_background_hold_in_their_frame_and_votes_in_the_others() -> None:
    hint_regions = (HintRegion(block(2, 3), foreground=False, window_index=1),)
    _, background = HintMasks.drawn(context(hint_regions=hint_regions), 3).joined_with(
        votes(3), SIZE
    )
    assert torch.equal(background[1, 0] > 0, block(2, 3))
    assert torch.equal(background[0], background[2])
    assert torch.equal(background[0, 0] > 0, votes(1)[0, 0] < 0.5)


def test_marks_without_a_frame_hold_in_all_and_add_up() -> None:
    hint_regions = tuple(HintRegion(block(2, left), foreground=False) for left in (3, 20))
    _, background = HintMasks.drawn(context(hint_regions=hint_regions), 2).joined_with(
        votes(2), SIZE
    )
    assert all(torch.equal(one[0] > 0, block(2, 3) | block(2, 20)) for one in background)


def test_where_nothing_is_marked_the_surest_votes_count() -> None:
    foreground, background = HintMasks.drawn(context(), 2).joined_with(votes(2), SIZE)
    assert torch.equal(foreground > 0, votes(2) > 0.5)
    assert torch.equal(background > 0, votes(2) < 0.5)


def test_a_hint_of_the_foreground_outdoes_the_votes_for_the_background() -> None:
    hint = block(2, 20)[None, None].float()
    foreground, background = HintMasks.drawn(context(hint=hint), 1).joined_with(votes(1), SIZE)
    assert torch.equal(foreground[0, 0] > 0, block(2, 20))
    assert not bool((background[0, 0] > 0)[block(2, 20)].any())
