"""Test the search for marks: what an outline costs, and which marks are accepted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from marked_pictures import (
    SIZE,
    WHITE,
    box_around,
    grass,
    letters,
    make_context,
    marked,
    scenes,
    searched,
)

from stages.watermark.effort import EFFORTS, LEAST_EFFORT
from stages.watermark.evidence import EDGE_NATS, OUTLINE_NATS, Evidence, bounded_nats
from stages.watermark.gain import (
    SHARED_GAIN,
    UNRELATED_GAIN,
    gain_per_pixel,
    is_clear,
    least_shared_gain,
    outline_length,
    strict_outline_nats,
)
from stages.watermark.mark import OPAQUE_FROM, Mark, MarkLaw
from stages.watermark.mark_fit import SOFTNESSES, likely_softness
from stages.watermark.outline_law import UNDECIDED, law_agreement
from stages.watermark.pictures import without_copies
from stages.watermark.pixel_maps import outline_band
from stages.watermark.quick_search import refined_mark, screened_mark
from stages.watermark.search import best_mark, find_mark, is_white_or_black, strictly_cut
from stages.watermark.soft_outline import soft_outline
from stages.watermark.texture import whitening
from stages.watermark.unknown_mark import SearchPlan, locate_mark


def test_texture_tells_a_faint_mark_on_grass() -> None:
    shape = (letters() > 0.5).float()
    pictures = searched(marked(grass(), shape, 0.25, WHITE), box_around(shape)[0, 0])
    mark = best_mark(Evidence(pictures), MarkLaw(0.25, torch.ones(3)), 120)
    assert int(((mark.matte > 0) ^ (shape[0] > 0)).sum()) < 40


def test_an_edge_costs_the_same_however_strong() -> None:
    factor = whitening(grass()[0])
    none = torch.zeros(())
    costs = [
        float(bounded_nats(torch.full((3, *SIZE), step), factor, none).mean())
        for step in (0.0, 0.6, 0.9)
    ]
    assert costs[0] < 1e-3
    assert costs[1] == pytest.approx(EDGE_NATS, abs=0.3)
    assert costs[2] == pytest.approx(costs[1], abs=0.3)
    # The errors that undoing adds explain a difference as well as texture does. The cost is
    # 2.5 log(1 + 3 / 2), a little bounded.
    assert float(
        bounded_nats(torch.full((3, *SIZE), 0.1), factor, torch.tensor(0.01)).mean()
    ) == pytest.approx(2.23, abs=0.1)


def test_what_is_exactly_undone_costs_least() -> None:
    shape = (letters() > 0.5).float()
    frames = marked(scenes(3), shape, 0.5, WHITE)
    evidence = Evidence(searched(frames))
    costs = [
        evidence.cut(MarkLaw(opacity, torch.ones(3))).cost(shape[0, 0] > 0.5)
        for opacity in (0.3, 0.5, 0.7)
    ]
    assert costs[1] == min(costs) < 0


@pytest.mark.slow
def test_a_shared_mark_gains_far_more_than_scenes_without_one() -> None:
    shape = (letters() > 0.5).float()
    found = find_mark(searched(marked(scenes(3), shape, 0.3, WHITE)), iterations=40)
    assert found is not None
    assert found.gain > 2 * SHARED_GAIN * int(outline_band(found.chosen, 1).sum())
    assert found.opacity == pytest.approx(0.3, abs=0.03)
    assert find_mark(searched(scenes(3)), iterations=40) is None


@pytest.mark.usually(1)
@pytest.mark.parametrize("opacity", [0.3, 0.6])
def test_a_quick_look_proposes_a_mark_that_is_then_fitted(opacity: float) -> None:
    shape = (letters() > 0.5).float()
    pictures = searched(marked(scenes(3), shape, opacity, WHITE))
    proposed = screened_mark(pictures, most_pictures=2, iterations=15)
    found = refined_mark(pictures, proposed, 30)
    assert is_clear(found, SHARED_GAIN)
    assert found.opacity == pytest.approx(opacity, abs=0.04)


@pytest.mark.usually(1)
@pytest.mark.parametrize("opacity", [0.2, 0.3])
def test_a_faint_mark_on_separate_pictures_counts_if_every_picture_has_it(opacity: float) -> None:
    shape = (letters() > 0.5).float()
    pictures = marked(scenes(3), shape, opacity, WHITE)
    found = find_mark(searched(pictures), iterations=40, least_gain=0.0)
    assert found is not None
    gain = found.gain / outline_length(found)
    assert gain > UNRELATED_GAIN
    assert least_shared_gain(searched(pictures), found, unrelated=True) == UNRELATED_GAIN
    assert least_shared_gain(searched(pictures), found, unrelated=False) == SHARED_GAIN
    # A picture without the mark speaks against it.
    other = torch.cat([pictures[:2], scenes(3)[2:]])
    assert least_shared_gain(searched(other), found, unrelated=True) == SHARED_GAIN


def test_a_mark_is_clear_by_its_gain_along_the_outline() -> None:
    matte = 0.7 * (letters() > 0.5).float()[0]
    small = Mark(matte, matte.expand(3, -1, -1), 0.7, 0.0)
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in SIZE), indexing="ij")
    checks = (0.03 * ((rows + columns) % 2))[None]
    wide = Mark(checks, checks.expand(3, -1, -1), 0.03, 0.0)
    assert outline_length(wide) > 2 * outline_length(small)
    gain = 1.5 * UNRELATED_GAIN * outline_length(small)
    assert is_clear(replace(small, gain=gain), UNRELATED_GAIN)
    assert not is_clear(replace(wide, gain=1.2 * gain), UNRELATED_GAIN)


@pytest.mark.usually(1)
@pytest.mark.parametrize("seed", range(3))
def test_separate_scenes_without_a_mark_have_none(seed: int) -> None:
    pictures = searched(scenes(3 + seed)[seed:])
    assert find_mark(pictures, iterations=40, unrelated=True) is None


def test_a_copy_of_a_picture_is_no_further_one() -> None:
    pictures = scenes(3)
    assert torch.equal(without_copies(pictures[[0, 1, 0, 2, 1]]), pictures)


def mark_over(chosen: torch.Tensor, opacity: float, gray: float) -> Mark:
    """Return a grey mark that covers ``chosen`` (1, H, W)."""
    matte = opacity * chosen.float()
    return Mark(matte, matte * torch.full((3, 1, 1), gray), opacity, 1.0)


def test_a_law_agrees_where_the_colors_follow_those_around() -> None:
    shape = (letters() > 0.5).float()
    frames = marked(scenes(1), shape, 0.5, WHITE)
    assert law_agreement(frames, mark_over(shape[0] > 0, 0.5, 1.0)) > 0.8
    # An even surface passes for a nearly opaque mark, but it does not follow what is around it.
    noise = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    even = torch.where(shape > 0, 0.6 + 0.02 * noise, noise)
    assert law_agreement(even, mark_over(shape[0] > 0, 0.93, 0.6)) == UNDECIDED
    assert law_agreement(even, mark_over(shape[0] > 0, OPAQUE_FROM + 0.01, 0.6)) == UNDECIDED
    assert law_agreement(even, mark_over(shape[0] > 2, 0.5, 0.6)) == UNDECIDED


def test_an_outline_costs_more_the_more_the_mark_gains() -> None:
    mark = mark_over(letters()[0] > 0.5, 0.5, 1.0)
    assert strict_outline_nats(replace(mark, gain=-1.0)) == OUTLINE_NATS
    gains = [each * outline_length(mark) for each in (5.0, 10.0)]
    lengths = [strict_outline_nats(replace(mark, gain=gain)) - OUTLINE_NATS for gain in gains]
    assert lengths[0] > 0
    assert lengths[1] == pytest.approx(2 * lengths[0])


def test_a_stricter_outline_never_encloses_more_than_it_gains() -> None:
    shape = letters()
    frames = marked(grass(), shape, 0.5, WHITE)
    evidence = Evidence(searched(frames, box_around(shape)[0, 0]))
    law = MarkLaw(0.5, torch.ones(3))
    loose = best_mark(evidence, law, 120)
    strict = best_mark(evidence, law, 120, strict_outline_nats(loose))
    assert outline_length(strict) <= outline_length(loose)
    # The gain does not depend on the length, so both can be compared.
    assert 0.8 * loose.gain < strict.gain <= loose.gain + 1
    assert float((strict.matte[0] > 0)[shape[0, 0] > 0.9].float().mean()) > 0.9


@pytest.mark.parametrize("softness", SOFTNESSES)
def test_the_outline_is_as_soft_as_the_picture_shows(softness: float) -> None:
    chosen = letters()[0] > 0.5
    frames = marked(scenes(1), soft_outline(chosen, softness)[None], 0.6, WHITE)
    assert likely_softness(frames, mark_over(chosen, 0.6, 1.0)) == softness
    assert torch.equal(soft_outline(chosen, 0.0), chosen.float())


@pytest.mark.slow
def test_a_mark_is_fitted_where_it_is_alone() -> None:
    size = (96, 160)
    shape = torch.zeros(1, 1, *size)
    shape[..., : SIZE[0], : SIZE[1]] = (letters() > 0.5).float()
    frames = marked(scenes(3, size), shape, 0.5, WHITE)
    plan = SearchPlan(searched(frames), 3, are_alike=False)
    found = locate_mark(plan, EFFORTS["fast"], make_context())
    assert found is not None
    mark, area = found
    matte = torch.zeros(1, *size)
    matte[(slice(None), *area)] = mark.matte
    assert float((matte - 0.5 * shape[0]).abs().mean()) < 0.01


def test_a_short_budget_does_not_shrink_a_small_picture() -> None:
    assert all(effort.fit_pixels >= 400 * 400 for effort in (*EFFORTS.values(), LEAST_EFFORT))


def test_cutting_a_known_mark_strictly_leaves_what_gains_little() -> None:
    shape = (letters() > 0.5).float()
    pictures = searched(marked(grass(), shape, 0.5, WHITE))
    chosen = shape[0] > 0
    chosen[:, 4:14, 4:90] = True  # a part of the scene
    found = Mark(0.5 * chosen.float(), 0.5 * chosen.float().expand(3, -1, -1), 0.5, 0.0)
    once, twice = (strictly_cut(pictures, found, 40, cuts=cuts) for cuts in (1, 2))
    assert int((twice.matte[0, 4:14] > 0).sum()) < 20
    assert int(((twice.matte > 0) ^ (shape[0] > 0)).sum()) < 60
    assert outline_length(twice) <= outline_length(once)
    assert gain_per_pixel(twice) > OUTLINE_NATS


def test_white_and_black_are_common_colors() -> None:
    marks = [mark_of_hue(hue) for hue in (WHITE, (0.0, 0.0, 0.0), (1.0, 1.0, 0.9))]
    assert [is_white_or_black(mark) for mark in marks] == [True, True, False]


def mark_of_hue(hue: tuple[float, float, float]) -> Mark:
    """Return a mark of one colour."""
    matte = torch.full((1, *SIZE), 0.5)
    return Mark(matte, matte * torch.tensor(hue).view(3, 1, 1), 0.5, 0.0)
