"""Test that the ghost of an outline goes, and that nothing else changes."""

from __future__ import annotations

import pytest
import torch
from marked_pictures import WHITE, letters, marked, psnr_inside, scene

from stages.mixing.watermark_composite import WatermarkComposite
from stages.watermark.outline_correction import (
    MATTE_ERROR,
    UndoneMark,
    matte_rise,
    undone_covariance,
    unmarked_log_odds,
    with_likely_outline,
)

OPACITY = 0.8


def undone_with_errors(seed: int) -> tuple[torch.Tensor, ...]:
    """Return a clean picture, what undoing a matte with errors makes of it, matte and colour.

    The coverage is wrong along the outline, by twice :data:`MATTE_ERROR` of its rise.
    """
    clean, shape = scene(seed), letters()
    color = torch.tensor(WHITE).view(3, 1, 1).expand(3, *clean.shape[-2:])
    noise = torch.randn(shape[0].shape, generator=torch.Generator().manual_seed(seed))
    matte = OPACITY * shape[0]
    wrong = (matte + 2 * MATTE_ERROR * matte_rise(matte) * noise).clamp(0, OPACITY) * (matte > 0)
    frames = marked(clean, shape, OPACITY, WHITE)
    undone = WatermarkComposite(wrong).reconcile(frames, frames, color)[0]
    return clean, undone, wrong, color


def corrected_alone(
    undone: torch.Tensor, frames: torch.Tensor, matte: torch.Tensor, color: torch.Tensor
) -> torch.Tensor:
    """Return one picture with the most likely outline, as of a mark that it told by itself."""
    return with_likely_outline(undone, frames, UndoneMark(matte, color, True), [False])


@pytest.mark.parametrize("seed", [5, 6])
def test_the_ghost_of_an_outline_goes(seed: int) -> None:
    clean, undone, matte, color = undone_with_errors(seed)
    shape = letters()
    frames = marked(clean, shape, OPACITY, WHITE)
    corrected = corrected_alone(undone, frames, matte, color)
    gained = psnr_inside(corrected, clean, shape) - psnr_inside(undone, clean, shape)
    assert gained > 2
    kept = matte_rise(matte)[0] == 0
    assert torch.equal(corrected[..., kept], undone[..., kept])


def too_wide(
    seed: int, opacity: float, share: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a clean picture, its input, a matte that is too wide, colour, and where it is.

    Around the mark, the matte covers a ring of unmarked pixels by ``share``.
    """
    clean, shape = scene(seed), letters()
    wide = torch.nn.functional.max_pool2d(shape, 3, 1, 1)[0, 0] > 0
    ring = wide & (shape[0, 0] == 0)
    matte = opacity * (shape[0] + share * ring)
    color = torch.tensor(WHITE).view(3, 1, 1).expand(3, *clean.shape[-2:])
    return clean, marked(clean, shape, opacity, WHITE), matte, color, ring


@pytest.mark.parametrize("seed", [5, 6, 7, 8])
@pytest.mark.parametrize(("opacity", "share"), [(0.4, 0.1), (0.6, 0.15), (0.8, 0.1)])
def test_what_is_not_marked_stays_as_the_input(seed: int, opacity: float, share: float) -> None:
    _, frames, matte, color, ring = too_wide(seed, opacity, share)
    undone = WatermarkComposite(matte).reconcile(frames, frames, color)[0]
    corrected = corrected_alone(undone, frames, matte, color)
    error, before = ((one - frames)[..., ring].square().mean() for one in (corrected, undone))
    assert error < before / 4
    same = (corrected == frames).all(1)[0]
    assert float(same[ring].float().mean()) > 0.5
    inside = letters()[0, 0] > 0.9
    assert not bool(same[inside].any())


def test_several_pictures_and_known_marks_are_not_guessed_to_be_unmarked() -> None:
    _, frames, matte, color, ring = too_wide(5, 0.6, 0.1)
    undone = WatermarkComposite(matte).reconcile(frames, frames, color)[0]
    corrected = with_likely_outline(undone, frames, UndoneMark(matte, color, False), [False])
    assert not bool((corrected == frames).all(1)[0][ring].any())


def test_errors_lie_on_the_line_from_the_marks_color_unless_compressed() -> None:
    _, frames, matte, color, ring = too_wide(5, 0.6, 0.1)
    undone = WatermarkComposite(matte).reconcile(frames, frames, color)[0][0]
    place = (matte_rise(matte)[0] > 0.3) & ((color - undone).abs().amax(0) > 0.3)
    for on_line in (True, False):
        covariance = undone_covariance(undone, frames[0], matte, color, on_line=on_line)[place]
        spread, axes = torch.linalg.eigh(covariance)
        assert (spread > 0).all()
        if on_line:
            way = torch.nn.functional.normalize((color - frames[0])[:, place], dim=0)
            assert ((axes[..., 2] * way.T).sum(-1).abs() > 0.99).all()
        else:
            assert torch.allclose(spread[:, 0], spread[:, 2], rtol=1e-3)


def test_less_covered_pixels_are_likelier_to_be_unmarked() -> None:
    odds = unmarked_log_odds(torch.linspace(0, 1, 11))
    assert (odds.diff() < 0).all()
    assert odds[0] > 0
    assert odds[3] < 0


def test_a_picture_without_a_mark_stays() -> None:
    clean = scene()
    nothing = torch.zeros(1, *clean.shape[-2:])
    assert torch.equal(corrected_alone(clean, clean, nothing, clean[0]), clean)


def test_a_mark_at_the_rim_and_over_all_of_a_tiny_picture() -> None:
    tiny = scene(size=(8, 9))
    matte = torch.full((1, 8, 9), 0.5)
    matte[0, :, 4:] = 0.2
    corrected = corrected_alone(tiny, tiny, matte, torch.ones(3, 8, 9))
    assert corrected.isfinite().all()
    assert corrected.min() >= 0
    assert corrected.max() <= 1
