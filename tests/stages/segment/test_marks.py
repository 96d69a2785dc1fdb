"""Test what marks are taken for, and what is cut out with them; layers are known."""

from __future__ import annotations

import pytest
import torch
from clips import drifting
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.hint_regions import HintRegion
from stages.segment.evidence import RegionEvidence, evidence
from stages.segment.hinted import (
    MarkedFrame,
    box_notes,
    marked_frames,
    pinned,
    with_certain,
    with_marked,
)
from stages.segment.layers import separate
from stages.segment.marked import cut_again, cut_out
from stages.segment.motion import WindowMotion
from stages.segment.relaxed_cut import edge_weights, relaxed_cut
from stages.segment.survey import survey

SIZE = (72, 96)
LITTLE = FitSettings(max_seconds=0.01)


def area(top: int, bottom: int, left: int, right: int) -> Tensor:
    """Return a filled rectangle ``(H, W)`` of bool; bottom and right are exclusive."""
    pixels = torch.zeros(SIZE, dtype=torch.bool)
    pixels[top:bottom, left:right] = True
    return pixels


def disc(x: float, y: float, radius: float) -> Tensor:
    """Return a disc ``(H, W)`` of bool; all values are in pixels."""
    across, down = torch.arange(SIZE[1]) - x, (torch.arange(SIZE[0]) - y)[:, None]
    return across**2 + down**2 <= radius**2


def bird() -> tuple[Tensor, Tensor]:
    """Return a picture ``(3, H, W)`` of a body with a thin neck on textured water, and its mask."""
    mask = disc(50, 50, 14) | area(12, 50, 56, 60) | disc(58, 12, 4)
    water = drifting(3, 1, (0, 0), SIZE)[0] * torch.tensor([0.3, 0.5, 0.6]).view(3, 1, 1)
    body = 0.08 + 0.1 * drifting(4, 1, (0, 0), SIZE)[0]
    return torch.where(mask, body, water + 0.25), mask


def overlap(found: Tensor, mask: Tensor) -> float:
    """Return intersection over union of two masks of bool."""
    return float((found & mask).sum()) / float((found | mask).sum())


def test_a_box_bounds_the_foreground() -> None:
    known = evidence([HintRegion(area(10, 50, 20, 70))], SIZE)
    assert not known.foreground.any() and torch.equal(known.background, ~area(10, 50, 20, 70))
    assert known.prior[30, 45] > 0 > known.prior[11, 21]


def test_shapes_are_told_apart() -> None:
    assert HintRegion(area(10, 50, 20, 70)).is_box and HintRegion(area(10, 16, 20, 30)).is_box
    assert (
        not HintRegion(area(10, 14, 20, 60)).is_box
        and HintRegion(area(10, 14, 20, 60), boxed=True).is_box
    )
    assert not HintRegion(disc(40, 40, 12)).is_box and not HintRegion(area(4, 5, 4, 5)).is_box


def test_strokes_are_certain_and_nothing_is_assumed_around_them() -> None:
    stroke = area(30, 33, 20, 60)
    known = evidence([HintRegion(stroke)], SIZE)
    assert torch.equal(known.foreground, stroke) and not known.background.any()
    assert float(known.prior.abs().max()) == 0


def test_a_blob_is_certain_in_its_core_and_likely_in_its_rim() -> None:
    blob = disc(40, 36, 16)
    known = evidence([HintRegion(blob)], SIZE)
    assert known.foreground[36, 40] and not known.foreground[36, 54] and known.prior[36, 54] > 0
    assert not known.background.any() and float(known.prior[~blob].abs().max()) == 0


def test_marks_add_up() -> None:
    marks = [
        HintRegion(area(10, 50, 20, 70)),
        HintRegion(area(60, 62, 2, 30)),
        HintRegion(area(20, 22, 30, 60), foreground=False),
    ]
    known = evidence(marks, SIZE)
    assert known.background[21, 40] and known.background[5, 5] and not known.background[40, 40]
    assert not (known.foreground & known.background).any()


def test_marks_keep_thin_strokes_and_points_at_a_smaller_size() -> None:
    known = evidence(
        [HintRegion(area(30, 31, 10, 80)), HintRegion(area(5, 6, 5, 6), False)], (24, 32)
    )
    assert known.foreground[10, 4:26].all() and known.background[1, 1]


def test_strokes_outside_a_box_stay_foreground() -> None:
    known = evidence([HintRegion(area(10, 50, 20, 70)), HintRegion(area(60, 62, 2, 30))], SIZE)
    assert known.foreground[61, 10] and not known.background[61, 10]


def test_a_cut_follows_the_edge_and_drops_specks() -> None:
    picture = torch.where(area(0, 72, 0, 48), 0.2, 0.8).expand(3, *SIZE)
    odds = torch.where(area(0, 72, 0, 44), 1.0, -1.0)
    odds[:, 44:52] = 0
    odds[20, 20] = -2
    found = relaxed_cut(odds, edge_weights(100 * picture), 0.5)
    assert torch.equal(found > 0.5, area(0, 72, 0, 48))


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


def test_what_a_marked_frame_says_is_carried_along_the_flow() -> None:
    flow = torch.zeros(2, 2, *SIZE)
    flow[:, 0] = 3.0
    trust = torch.ones(2, 1, *SIZE)
    motion = WindowMotion(flow, -flow, flow, -flow, trust, trust, torch.zeros(3, 2, *SIZE))
    foreground, background = disc(30, 36, 8), disc(70, 36, 8)
    known = RegionEvidence(foreground, background, torch.zeros(SIZE))
    one = MarkedFrame(known, torch.where(foreground, 3.0, -3.0))
    odds = with_marked(torch.ones(3, *SIZE), {1: one}, motion)
    for place, shift in ((0, -3), (1, 0), (2, 3)):
        assert overlap(odds[place] > 0, foreground.roll(shift, 1)) > 0.9
    sure = pinned(torch.zeros(3, *SIZE), {1: one})
    assert float(sure[1, 36, 30]) > 3 and float(sure[1, 36, 70]) < -3
    assert float(sure[0].abs().max()) == 0


def test_certain_pixels_are_certain_in_the_soft_matte_of_their_frame() -> None:
    stroke, water = area(30, 34, 20, 60), area(60, 64, 10, 80)
    known = evidence([HintRegion(stroke), HintRegion(water, foreground=False)], SIZE)
    large = SIZE[0] * 2, SIZE[1] * 2
    soft = torch.full((3, 1, *large), 0.4)
    matte = with_certain(soft, {1: MarkedFrame(known, torch.zeros(SIZE))})
    assert bool((matte[1, 0, 60:68, 40:120] == 1).all())
    assert bool((matte[1, 0, 120:128, 20:160] == 0).all())
    assert torch.equal(matte[::2], soft[::2]) and bool((matte[1, 0, :40] == soft[1, 0, :40]).all())


def thing_on_texture(seed: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Return a picture ``(3, H, W)`` of a drawn disc on texture, its mask, and its centre."""
    generator = torch.Generator().manual_seed(seed)
    row, column = (
        int(torch.randint(low, high, (), generator=generator)) for low, high in ((26, 46), (30, 66))
    )
    mask = disc(column, row, 18)
    color = torch.rand(3, 1, 1, generator=generator)
    ground = drifting(seed, 1, (0, 0), SIZE)[0]
    thing = 0.3 * drifting(seed + 50, 1, (0, 0), SIZE)[0] + 0.7 * color
    return torch.where(mask, thing, 0.4 * ground + 0.6 * (1 - color)), mask, (row, column)


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
