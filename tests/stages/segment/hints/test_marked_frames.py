"""Test which frames are cut out, and whether a box lies around a thing or inside of it."""

from __future__ import annotations

import pytest
import torch
from drawn_things import SIZE, area, bird, overlap, thing_on_texture
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.hint_regions import HintRegion
from stages.segment.hints.marked_frames import box_notes, marked_frames
from stages.segment.layers import separate
from stages.segment.survey import survey

LITTLE = FitSettings(max_seconds=0.01)


@pytest.mark.slow
def test_pictures_with_marks_of_either_kind_and_with_nothing_to_learn() -> None:
    picture, mask = bird()
    stroke, water = (
        HintRegion(area(50, 52, 42, 58)),
        HintRegion(area(20, 22, 10, 40), foreground=False),
    )
    context = SeparationContext(LITTLE, hint_regions=(stroke, water))
    frames = picture[None]
    layers = separate(frames, survey(frames, context), context).layers
    assert overlap(layers["matte"][0, 0] > 0.5, mask) > 0.85
    for plain in (torch.zeros(1, 3, 5, 6), torch.rand(1, 3, 2, 2)):
        whole = torch.ones(plain.shape[-2:], dtype=torch.bool)
        for mark in (HintRegion(whole), HintRegion(whole, foreground=False)):
            context = SeparationContext(LITTLE, hint_regions=(mark,))
            matte = separate(plain, survey(plain, context), context).layers["matte"]
            assert bool(matte.isfinite().all())


def test_marks_of_one_picture_hold_while_it_rests() -> None:
    picture, mask = bird()
    context = SeparationContext(
        LITTLE, hint_regions=(HintRegion(area(50, 52, 42, 58), window_index=2),)
    )
    found = marked_frames(picture.expand(4, -1, -1, -1), context, moving=False)
    assert list(found) == [0, 1, 2, 3] and overlap(found[0].odds > 0, mask) > 0.85
    several = SeparationContext(LITTLE, hint_regions=context.hint_regions, unordered=True)
    assert list(marked_frames(picture.expand(4, -1, -1, -1), several, moving=False)) == [2]


def in_box(picture: Tensor, box: Tensor) -> tuple[Tensor, int]:
    """Return what is cut out with a box as the only hint, and the number of notes."""
    context = SeparationContext(FitSettings(), hint_regions=(HintRegion(box),))
    marked = marked_frames(picture[None], context, moving=False)
    return marked[0].odds > 0, len(box_notes(marked, 1))


@pytest.mark.parametrize("seed", range(6))
def test_a_box_inside_a_thing_finds_the_whole_thing_and_says_so(seed: int) -> None:
    picture, mask, (row, column) = thing_on_texture(seed)
    cut, notes = in_box(picture, area(row - 7, row + 7, column - 8, column + 8))
    assert overlap(cut, mask) > 0.8 and notes == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_box_around_a_thing_bounds_it(seed: int) -> None:
    picture, mask, (row, column) = thing_on_texture(seed)
    box = area(max(0, row - 21), row + 21, column - 21, column + 21)
    cut, notes = in_box(picture, box)
    assert overlap(cut, mask) > 0.8 and notes == 0 and not bool((cut & ~box).any())


@pytest.mark.parametrize("seed", range(4))
def test_a_box_inside_one_part_and_a_stroke_on_another_find_both(seed: int) -> None:
    picture, mask, (row, column) = thing_on_texture(seed)
    upper = mask & area(0, row, 0, SIZE[1])
    # The ground has the opposite colour of the thing, so only one channel is inverted here.
    other = torch.stack([picture[0], 1 - picture[1], picture[2]])
    picture = torch.where(upper, other, picture)
    hints = (
        HintRegion(area(row + 3, row + 11, column - 8, column + 8)),
        HintRegion(area(row - 9, row - 7, column - 8, column + 8)),
    )
    context = SeparationContext(FitSettings(), hint_regions=hints)
    marked = marked_frames(picture[None], context, moving=False)
    assert overlap(marked[0].odds > 0, mask) > 0.7
    assert len(box_notes(marked, 1)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_box_around_a_thing_bounds_it_beside_a_stroke_too(seed: int) -> None:
    picture, mask, (row, column) = thing_on_texture(seed)
    box = area(max(0, row - 21), row + 21, column - 21, column + 21)
    hints = HintRegion(box), HintRegion(area(row - 1, row + 1, column - 8, column + 8))
    context = SeparationContext(FitSettings(), hint_regions=hints)
    marked = marked_frames(picture[None], context, moving=False)
    assert overlap(marked[0].odds > 0, mask) > 0.8 and not box_notes(marked, 1)
