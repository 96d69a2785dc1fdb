"""Test that the ghost of an outline goes, and that nothing else changes."""

from __future__ import annotations

import pytest
import torch
from marked_pictures import WHITE, letters, marked, psnr_inside, scene

from stages.mixing.watermark_composite import WatermarkComposite
from stages.watermark.outline import MATTE_ERROR, matte_rise, with_likely_outline

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


@pytest.mark.parametrize("seed", [5, 6])
def test_the_ghost_of_an_outline_goes(seed: int) -> None:
    clean, undone, matte, color = undone_with_errors(seed)
    shape = letters()
    corrected = with_likely_outline(undone, matte, color)
    gained = psnr_inside(corrected, clean, shape) - psnr_inside(undone, clean, shape)
    assert gained > 2
    kept = matte_rise(matte)[0] == 0
    assert torch.equal(corrected[..., kept], undone[..., kept])


def test_a_picture_without_a_mark_stays() -> None:
    clean = scene()
    nothing = torch.zeros(1, *clean.shape[-2:])
    assert torch.equal(with_likely_outline(clean, nothing, clean[0]), clean)


def test_a_mark_at_the_rim_and_over_all_of_a_tiny_picture() -> None:
    tiny = scene(size=(8, 9))
    matte = torch.full((1, 8, 9), 0.5)
    matte[0, :, 4:] = 0.2
    corrected = with_likely_outline(tiny, matte, torch.ones(3, 8, 9))
    assert corrected.isfinite().all()
    assert corrected.min() >= 0
    assert corrected.max() <= 1
