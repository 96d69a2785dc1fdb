"""A mark that the user gives as a picture: drawn, found at its place, taken off."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from marked_pictures import make_context, marked, psnr_inside, remove_mark, rounded, scene
from torch import Tensor

from stages.storage.checkpoint_encoding import decode, encode
from stages.watermark import known_mark
from stages.watermark.effort import Effort
from stages.watermark.layers import separate
from stages.watermark.mark_file import KERNELS, Drawing, MarkFile, MarkPlacement, resampling
from stages.watermark.matched_filter import find_candidates
from stages.watermark.notes import NOT_FOUND
from stages.watermark.placement_fit import FittedPlacement, balanced_opacity
from stages.watermark.survey import WatermarkSurvey, survey

FRAME = (72, 96)


def ring() -> Tensor:
    """Return a red ring beside a white bar, with alpha, ``(4, 30, 48)`` in [0, 1]."""
    y, x = torch.arange(30.0)[:, None], torch.arange(48.0)[None]
    distance = ((y - 14.5) ** 2 + (x - 14.5) ** 2).sqrt()
    around = (4.5 - (distance - 9).abs()).clamp(0, 1)
    bar = ((x > 32) & (x < 44) & (y > 3) & (y < 27)).float()
    color = torch.stack([torch.ones(30, 48), bar.expand(30, 48), bar.expand(30, 48)])
    return torch.cat([color, torch.maximum(around, bar)[None]])


def on_plain(picture: Tensor, background: float) -> Tensor:
    """Return a picture with alpha over an even grey, without alpha."""
    return picture[3:] * picture[:3] + (1 - picture[3:]) * background


@pytest.mark.parametrize("kernel", KERNELS)
def test_resampling_of_the_same_size_changes_nothing_and_moves_by_whole_pixels(kernel: str) -> None:
    line = torch.rand(12, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(resampling(12, 12, 0, 12, kernel) @ line, line, atol=1e-5)
    moved = resampling(12, 20, 3, 12, kernel) @ line
    assert torch.allclose(moved[3:15], line, atol=1e-5) and float(moved[:3].abs().max()) < 1e-5


def test_a_box_averages_what_falls_into_a_pixel() -> None:
    halved = resampling(4, 3, 0.5, 2, "box") @ torch.tensor([0.2, 0.4, 0.6, 1.0])
    assert torch.allclose(halved, torch.tensor([0.1, 0.5, 0.5]), atol=1e-6)


@pytest.mark.parametrize("background", [0.0, 1.0, 0.5])
def test_an_even_background_counts_as_transparent(background: float) -> None:
    picture = ring()
    found = MarkFile.of_picture(on_plain(picture, background))
    clear = (picture[3] == 0) | (picture[3] == 1)
    # Where the mark has the background's own colour, nothing tells them apart.
    seen = (picture[:3] - background).abs().amax(0) > 0.1
    assert torch.allclose(found.coverage[0][clear & seen], picture[3][clear & seen], atol=0.02)


def test_a_picture_without_a_mark_in_it_is_refused() -> None:
    with pytest.raises(ValueError, match="no pixel of the mark is covered"):
        MarkFile.of_picture(torch.zeros(4, 8, 8))


def drawn_case(seed: int) -> tuple[Tensor, Tensor, MarkPlacement, float, Tensor]:
    """Return frames under a mark, the clean ones, its placement, opacity and coverage.

    Place, size and opacity are drawn at random.
    """
    draw = torch.Generator().manual_seed(seed)
    mark = MarkFile.of_picture(ring())
    scale, opacity = (
        float(low + (high - low) * torch.rand((), generator=draw))
        for low, high in ((0.9, 1.2), (0.35, 0.7))
    )
    top, left = (int(torch.randint(2, most, (), generator=draw)) for most in (30, 34))
    place = MarkPlacement(top, left, 30 * scale, 48 * scale)
    ink, coverage = mark.drawn(place, FRAME, Drawing())
    clean = scene(size=FRAME)
    color = (ink / coverage.clamp_min(1e-6))[None]
    return marked(clean, coverage[None], opacity, color), clean, place, opacity, coverage[None]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_best_candidate_is_near_the_mark_and_its_opacity_is_measured(seed: int) -> None:
    frames, _, place, opacity, _ = drawn_case(seed)
    mark = MarkFile.of_picture(ring())
    everywhere = torch.ones(FRAME, dtype=torch.bool)
    best = find_candidates(frames, mark, everywhere, lambda done: None)[0]
    assert torch.allclose(torch.tensor(best.placement), torch.tensor(place), atol=3)
    rough = FittedPlacement(place, 0.9 * opacity, Drawing(), 0.0)
    assert abs(balanced_opacity(frames, mark, rough).opacity - opacity) < 0.03


def test_a_survey_with_a_known_mark_survives_a_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames, _, place, opacity, _ = drawn_case(3)
    drawn = FittedPlacement(place, opacity, Drawing(), 0.0)
    monkeypatch.setattr(known_mark, "_best", lambda *_: drawn)
    monkeypatch.setattr(known_mark, "find_candidates", lambda *_: [])
    context = replace(make_context(), mark=ring(), force=True)
    facts = survey(frames, context)
    # What gains nothing is there only because the user wants it.
    assert facts.opacity > 0 and facts.forced
    tensors: dict[str, Tensor] = {}
    text = encode(facts, tensors)
    kinds = {kind.__name__: kind for kind in (WatermarkSurvey, Effort)}
    assert decode(text, tensors, kinds).placement == place


@pytest.mark.slow
def test_a_known_mark_is_found_and_taken_off() -> None:
    frames, clean, place, opacity, coverage = drawn_case(7)
    context = replace(make_context(), mark=ring())
    facts = survey(frames, context)
    assert torch.allclose(torch.tensor(facts.placement), torch.tensor(place), atol=0.3)
    assert abs(facts.opacity - opacity) < 0.03
    separated = separate(frames, facts, context)
    assert psnr_inside(separated.layers["clean"], clean, coverage) > 32
    outside = (separated.layers["matte"] == 0).expand_as(clean)
    assert torch.equal(separated.layers["clean"][outside], frames[outside])
    assert separated.report["mark_left"] == facts.placement[1] and not separated.notes


@pytest.mark.slow
def test_a_known_mark_that_is_not_there_is_warned_of() -> None:
    frames = rounded(scene(size=FRAME))
    separated = remove_mark(frames, replace(make_context(), mark=ring()))
    assert torch.equal(separated.layers["clean"], frames)
    assert [note.text for note in separated.notes] == [NOT_FOUND]
