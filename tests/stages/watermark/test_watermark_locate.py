"""Test how a mark that was found is measured at full size, and whether it has many colours."""

from __future__ import annotations

import pytest
import torch
from marked_pictures import RED, SIZE, WHITE, letters, marked, scenes, searched
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.watermark import survey, unknown_mark
from stages.watermark.effort import EFFORTS
from stages.watermark.full_size_fit import (
    LEAST_OTHER_PART,
    joined,
    other_colors_part,
    remeasured,
)
from stages.watermark.mark import Mark
from stages.watermark.soft_outline import inner_coverage, soft_outline
from stages.watermark.unknown_mark import LocatedMark, SearchPlan, locate_mark


def mark_of(chosen: Tensor, opacity: float, colors: Tensor) -> Mark:
    """Return the mark of these ``colors`` (3, H, W) over ``chosen`` (H, W)."""
    matte = opacity * chosen.float()[None]
    return Mark(matte, matte * colors, opacity, 1.0)


def plane(color: tuple[float, float, float]) -> Tensor:
    """Return a picture of one ``color``, ``(3, H, W)``."""
    return torch.tensor(color).view(3, 1, 1).expand(3, *SIZE)


def test_thin_strokes_are_covered_only_in_part() -> None:
    thick = letters()[0, 0] > 0.5
    thin = torch.zeros(SIZE, dtype=torch.bool)
    thin[10::12, 8:80] = True
    assert inner_coverage(thick) == 1
    assert 0.5 < inner_coverage(thin) < 0.9


@pytest.mark.parametrize("opacity", [0.3, 0.6])
def test_thin_strokes_are_as_opaque_as_they_were_drawn(opacity: float) -> None:
    chosen = torch.zeros(SIZE, dtype=torch.bool)
    chosen[10:66:12, 8:80] = chosen[11:67:12, 8:80] = True
    shape = soft_outline(chosen[None], 0.5)[None]
    pictures = searched(marked(scenes(3), shape, opacity, WHITE))
    found = remeasured(pictures, mark_of(chosen, 0.7 * opacity, plane(WHITE)), 40)
    assert found.opacity == pytest.approx(opacity, abs=0.06)


def test_what_pictures_agree_on_joins_the_mark_or_makes_it_one_of_many_colors() -> None:
    whole = letters()[0, 0] > 0.5
    left = whole & (torch.arange(SIZE[1]) < 50)
    found = mark_of(left, 0.5, plane(WHITE))
    alike = mark_of(whole, 0.5, plane(WHITE))
    assert other_colors_part(alike, found) == 0
    assert torch.equal(joined(alike, found).matte[0] > 0, whole)
    unlike = mark_of(whole, 0.5, torch.where(left, plane(WHITE), plane(RED)))
    assert other_colors_part(unlike, found) > LEAST_OTHER_PART
    assert torch.equal(joined(unlike, found).matte, found.matte)


def test_force_takes_any_gain_where_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []

    def find_nothing(*given: object, least_gain: float | None = None, **more: object) -> None:
        del given, more
        asked.append(least_gain)

    monkeypatch.setattr(unknown_mark, "find_mark", find_nothing)
    plan = SearchPlan(searched(scenes(2)), 2, are_alike=False)
    for force in (False, True):
        context = SeparationContext(FitSettings("fast"), force=force)
        assert locate_mark(plan, EFFORTS["fast"], context) is None
    assert asked == [None, None, 0.0]


@pytest.mark.parametrize("count", [1, 3])
def test_a_mark_of_one_picture_without_a_hint_is_forced(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = mark_of(letters()[0, 0] > 0.5, 0.5, plane(WHITE))
    area = slice(0, SIZE[0]), slice(0, SIZE[1])
    monkeypatch.setattr(survey, "locate_mark", lambda *given: LocatedMark(found, area))
    context = SeparationContext(FitSettings("fast"), unordered=True, force=True)
    assert survey.survey(scenes(count), context).forced == (count == 1)
