"""A mark that comes on or goes off inside a clip."""

from __future__ import annotations

import pytest
import torch
from marked_pictures import (
    RED,
    WHITE,
    letters,
    make_context,
    marked,
    psnr_inside,
    remixed,
    rounded,
    scene,
)
from torch import Tensor

from stages.watermark.effort import EFFORTS
from stages.watermark.layers import separate
from stages.watermark.presence import parts_in_time, shown_frames
from stages.watermark.survey import WatermarkSurvey, survey

COUNT = 14


def clip(first: int, last: int, opacity: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return a clip with a red mark in frames ``first`` to ``last``, the clean one, and coverage.

    The coverage is ``(1, 1, H, W)``.
    """
    clean = rounded(scene(frames=COUNT))
    shape = letters()
    shown = torch.zeros(COUNT, 1, 1, 1)
    shown[first : last + 1] = 1
    return marked(clean, shown * shape, opacity, RED), clean, shape


def known(shape: Tensor, opacity: float) -> WatermarkSurvey:
    """Return the survey of the red mark of this coverage, shown at times."""
    matte = opacity * shape[0]
    color = torch.tensor(RED).view(3, 1, 1) * (matte > 0)
    everywhere = torch.ones(shape.shape[-2:], dtype=torch.bool)
    effort = EFFORTS["fast"]
    lost = matte[0] > 0.9
    return WatermarkSurvey(matte, color, lost, opacity, effort, everywhere, at_times=True)


@pytest.mark.parametrize("opacity", [0.2, 0.6, 1.0])
@pytest.mark.parametrize(("first", "last"), [(0, 5), (4, 9), (8, COUNT - 1)])
def test_frames_that_show_a_mark_are_told_from_the_others(
    first: int, last: int, opacity: float
) -> None:
    frames, _, shape = clip(first, last, opacity)
    facts = known(shape, opacity)
    found = shown_frames(frames, facts.matte, facts.color)
    assert found.nonzero().flatten().tolist() == list(range(first, last + 1))


def test_frames_without_the_mark_come_out_as_they_went_in() -> None:
    frames, clean, shape = clip(5, 11, 0.5)
    separated = separate(frames, known(shape, 0.5), make_context(unordered=False))
    shown = torch.tensor(separated.shown)
    assert shown.nonzero().flatten().tolist() == list(range(5, 12))
    assert torch.equal(separated.layers["clean"][~shown], frames[~shown])
    assert not bool(separated.layers["matte"][~shown].any())
    assert psnr_inside(separated.layers["clean"], clean, shape) > 40
    assert float((remixed(separated) - frames).abs().max()) < 0.012
    assert separated.report["marked_part"] == pytest.approx(
        0.5 * float((shape > 0).float().mean()), abs=1e-6
    )


def test_a_short_sample_has_no_parts_and_a_long_one_is_covered_by_them() -> None:
    assert parts_in_time(7) == []
    parts = parts_in_time(24)
    covered = {number for part in parts for number in range(24)[part]}
    assert covered == set(range(24))
    assert all(len(range(24)[part]) == 12 for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "last"), [(9, 23), (0, 12)])
def test_a_mark_is_found_with_its_times(first: int, last: int) -> None:
    clean, shape = scene(frames=24), letters()
    shown = torch.zeros(24, 1, 1, 1)
    shown[first : last + 1] = 1
    frames = marked(clean, shown * shape, 0.5, WHITE)
    context = make_context(unordered=False)
    facts = survey(frames, context)
    separated = separate(frames, facts, context)
    found = torch.tensor(separated.shown).nonzero().flatten().tolist()
    assert found == list(range(first, last + 1))
    inside = slice(first, last + 1)
    assert psnr_inside(separated.layers["clean"][inside], clean[inside], shape) > 38
