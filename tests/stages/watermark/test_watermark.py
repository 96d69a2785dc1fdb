"""Test `watermark` on pictures and clips under a known mark, and on any size and content."""

from __future__ import annotations

import pytest
import torch
from clips import psnr
from marked_pictures import (
    RED,
    SIZE,
    WHITE,
    box_around,
    letters,
    make_context,
    marked,
    psnr_inside,
    remixed,
    remove_mark,
    scene,
    scenes,
)

from stages.watermark import survey as survey_module
from stages.watermark.effort import EFFORTS
from stages.watermark.layers import separate
from stages.watermark.mark import Mark
from stages.watermark.notes import LEAST_SPAN, is_likely_scene, mark_notes, spanned_part
from stages.watermark.pictures import independent_count, motion_weight
from stages.watermark.survey import WatermarkSurvey, survey
from stages.watermark.unknown_mark import LocatedMark


def test_a_picture_with_a_box() -> None:
    clean, shape = scene(), letters()
    frames = marked(clean, shape, 0.4, WHITE)
    separated = remove_mark(frames, make_context(box_around(shape)))
    assert psnr_inside(separated.layers["clean"], clean, shape) > 30
    outside = (shape == 0).expand_as(clean)
    assert psnr(separated.layers["clean"][outside][None], frames[outside][None]) > 45
    assert separated.report["opacity"] == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("doubtful", [True, False])
def test_a_doubtful_mark_is_taken_off_with_a_warning(doubtful: bool) -> None:
    clean, shape = scene(), letters()
    color = torch.tensor(WHITE).view(3, 1, 1) * (shape[0] > 0)
    nowhere = torch.zeros(SIZE, dtype=torch.bool)
    facts = WatermarkSurvey(
        0.4 * shape[0], color, nowhere, 0.4, EFFORTS["fast"], ~nowhere, doubtful=doubtful
    )
    context = make_context(box_around(shape))
    separated = separate(marked(clean, shape, 0.4, WHITE), facts, context)
    assert psnr_inside(separated.layers["clean"], clean, shape) > 30
    said = [note for note in separated.notes if "may be a part of the picture" in note.text]
    assert len(said) == doubtful


@pytest.mark.slow
def test_several_pictures_under_one_mark_of_many_colors() -> None:
    clean, shape = scenes(4), letters()
    color = torch.where(
        torch.arange(SIZE[1]) < 50, torch.tensor(WHITE)[:, None], torch.tensor(RED)[:, None]
    )[None, :, None]
    frames = marked(clean, shape, 0.5, color.expand(1, 3, *SIZE))
    separated = remove_mark(frames)
    assert separated.shared == {"watermark", "matte"}
    assert separated.layers["matte"].shape == (1, 1, *SIZE)
    assert psnr_inside(separated.layers["clean"], clean, shape.expand(4, -1, -1, -1)) > 25
    outside = (shape == 0).expand_as(clean)
    assert psnr(separated.layers["clean"][outside][None], frames[outside][None]) > 45


def test_a_clip_with_a_logo_that_stays_put() -> None:
    clean, shape = scene(5, 96)[::8], letters()
    separated = remove_mark(marked(clean, shape, 0.45, WHITE), make_context(unordered=False))
    assert psnr_inside(separated.layers["clean"], clean, shape.expand(12, -1, -1, -1)) > 28


def test_no_mark_leaves_everything_as_it_is() -> None:
    for frames, context in (
        (scenes(4), make_context()),
        (scene(), make_context()),
        (scene().expand(6, -1, -1, -1), make_context(unordered=False)),
    ):
        separated = remove_mark(frames, context)
        assert torch.equal(separated.layers["clean"], frames)
        assert float(separated.layers["matte"].max()) == 0
        assert separated.report["marked_part"] == 0


@pytest.mark.slow
def test_an_opaque_mark_is_filled() -> None:
    clean, shape = scenes(2), letters()
    separated = remove_mark(marked(clean, shape, 1.0, RED))
    assert separated.report["lost_part"] > 0.05
    assert psnr(remixed(separated), marked(clean, shape, 1.0, RED)) > 40
    assert float(separated.layers["matte"].max()) == 1
    raw = psnr_inside(marked(clean, shape, 1.0, RED), clean, shape.expand(2, -1, -1, -1))
    assert psnr_inside(separated.layers["clean"], clean, shape.expand(2, -1, -1, -1)) > raw + 6


@pytest.mark.usefixtures("short_fits")
def test_the_layers_mix_back() -> None:
    shape = letters()
    frames = marked(scene(), shape, 0.5, WHITE)
    assert psnr(remixed(remove_mark(frames, make_context(box_around(shape)))), frames) > 40


@pytest.mark.slow
@pytest.mark.usefixtures("short_fits")
def test_same_seed_same_bytes() -> None:
    frames = marked(scenes(2), letters(), 0.4, WHITE)
    one, two = (remove_mark(frames, make_context(seed=3)) for _ in range(2))
    assert all(torch.equal(one.layers[name], two.layers[name]) for name in one.layers)


@pytest.mark.parametrize(
    ("size", "count", "value"),
    [((1, 1), 1, 0.0), ((1, 9), 2, 1.0), ((3, 2), 1, 0.5), ((37, 53), 1, 1.0), ((9, 11), 2, 0.0)],
)
def test_any_size_and_plain_pictures(size: tuple[int, int], count: int, value: float) -> None:
    frames = torch.full((count, 3, *size), value)
    separated = remove_mark(frames, make_context(torch.ones(1, 1, *size), seconds=2.0))
    assert separated.layers["clean"].shape == frames.shape
    assert psnr(remixed(separated), frames) > 40


@pytest.mark.usually(1)
@pytest.mark.parametrize("count", [1, 2])
def test_rough_pictures_stay_finite(count: int) -> None:
    noise = torch.rand(count, 3, 37, 53, generator=torch.Generator().manual_seed(0))
    layers = remove_mark(noise, make_context(torch.ones(1, 1, 37, 53), seconds=2.0)).layers
    assert all(
        bool(pixels.isfinite().all()) and float(pixels.min()) >= 0 and float(pixels.max()) <= 1
        for pixels in layers.values()
    )


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 20), (7, 40)])
def test_a_tiny_clip_without_a_hint_is_left(size: tuple[int, int]) -> None:
    frames = torch.rand(10, 3, *size, generator=torch.Generator().manual_seed(size[1]))
    separated = remove_mark(frames, make_context(unordered=False))
    assert torch.equal(separated.layers["clean"], frames)


def test_frames_that_are_alike_count_as_one() -> None:
    assert independent_count(scene().expand(5, -1, -1, -1)) == pytest.approx(1, abs=1e-3)
    noise = torch.rand(5, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert independent_count(noise) == pytest.approx(5, abs=0.2)


def test_the_motion_weight_is_one_where_something_moves() -> None:
    frames = torch.zeros(4, 3, 20, 40)
    frames[::2, :, :, 30:] = 1
    weight = motion_weight(frames)
    assert float(weight[:, :20].max()) == 0
    assert float(weight[:, 31:].min()) == 1


def test_a_warning_says_that_a_part_of_the_mark_may_remain() -> None:
    box, matte = torch.zeros(SIZE, dtype=torch.bool), torch.zeros(1, 1, *SIZE)
    box[10:60, 10:90] = True
    context = make_context(box.float()[None, None])
    matte[..., 14:56, 14:86] = 0.5
    assert spanned_part(matte[0, 0] > 0, box) == pytest.approx(42 / 50)
    assert mark_notes(matte, box, 1, context) == ()
    matte[..., 40:] = 0
    assert spanned_part(matte[0, 0] > 0, box) == pytest.approx(26 / 80)
    assert LEAST_SPAN > 26 / 80
    assert "part of the mark may remain" in mark_notes(matte, box, 1, context)[0].text
    assert mark_notes(matte, box, 1, make_context()) == ()


@pytest.mark.parametrize("doubtful", [True, False])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_doubtful_part_of_the_box_is_no_mark(doubtful: bool, part: float) -> None:
    box, place = torch.zeros(SIZE, dtype=torch.bool), torch.zeros(SIZE, dtype=torch.bool)
    box[10:60, 10:90] = True
    place[10:60, 10 : 10 + round(part * 80)] = True
    mark = Mark(0.5 * place.float()[None], torch.zeros(3, *SIZE), 0.5, 1.0, doubtful=doubtful)
    assert is_likely_scene(mark, place, box) == (doubtful and part < LEAST_SPAN)


def test_nothing_outside_of_the_box_changes_when_a_matte_is_enlarged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clean, shape = scene(), letters()
    frames, hint = marked(clean, shape, 0.5, WHITE), box_around(shape)
    area = (slice(0, SIZE[0]), slice(0, SIZE[1]))
    wide = torch.full((1, *SIZE), 0.5)
    found = Mark(wide, wide * torch.ones(3, 1, 1), 0.5, 1.0)
    monkeypatch.setattr(survey_module, "locate_mark", lambda *_: LocatedMark(found, area))
    facts = survey(frames, make_context(hint))
    assert torch.equal(facts.matte[0] > 0, hint[0, 0] > 0.5)
