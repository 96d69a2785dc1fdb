"""Test what is cut out of a picture with the user's regions; its mask is known."""

from __future__ import annotations

import pytest
import torch
from drawn_things import SIZE, area, bird, disc, overlap, thing_on_texture

from stages.hint_regions import HintRegion
from stages.segment.hints.cut_out import cut_again, cut_out
from stages.segment.hints.evidence import evidence


def test_every_kind_of_mark_finds_the_neck() -> None:
    picture, mask = bird()
    box = HintRegion(area(6, 67, 33, 67))
    blob, stroke = HintRegion(disc(48, 52, 8)), HintRegion(area(50, 52, 42, 58))
    water = HintRegion(area(20, 22, 10, 40), foreground=False)
    for marks in ([box], [blob], [stroke], [stroke, water], [box, stroke]):
        known = evidence(marks, SIZE)
        assert overlap(cut_out(picture, known) > 0, mask) > 0.85, marks


def test_background_that_is_marked_is_not_taken() -> None:
    picture, mask = bird()
    twin = picture.roll(-30, 2)
    both = torch.where(mask.roll(-30, 1), twin, picture)
    there = HintRegion(area(52, 54, 14, 28), foreground=False)
    stroke = HintRegion(area(50, 52, 42, 58))
    found = cut_out(both, evidence([stroke, there], SIZE)) > 0
    assert overlap(found, mask & ~mask.roll(-30, 1)) > 0.7 and not found[52:54, 14:28].any()


@pytest.mark.parametrize("seed", range(4))
def test_a_box_is_cut_again_along_the_colors_of_its_surest_pixels(seed: int) -> None:
    picture, mask, (row, column) = thing_on_texture(seed)
    box = area(max(0, row - 21), row + 21, column - 21, column + 21)
    # The first cut lost the right half of the disc, and is sure of the middle of the rest alone.
    half = mask & area(0, SIZE[0], 0, column)
    odds = torch.where(half, 2.0, -2.0)
    odds[disc(column - 8, row, 6)] = 3.0
    again = cut_again(picture, odds, evidence([HintRegion(box)], SIZE)) > 0
    assert overlap(half, mask) < 0.6 < 0.9 < overlap(again, mask)
    assert not bool((again & ~box).any())


def test_a_box_with_nothing_sure_in_it_is_not_cut_again() -> None:
    picture, mask, (row, column) = thing_on_texture(1)
    known = evidence([HintRegion(area(row - 20, row + 20, column - 20, column + 20))], SIZE)
    odds = torch.where(mask, 1.0, -1.0)
    assert torch.equal(cut_again(picture, odds, known) > 0, mask)
