"""Test how the pieces of a single picture's mark are found, which differ in colour."""

from __future__ import annotations

import pytest
import torch
from marked_pictures import (
    RED,
    SIZE,
    WHITE,
    box_around,
    letters,
    marked,
    psnr_inside,
    scene,
    searched,
)
from torch import Tensor

from stages.watermark.evidence import Evidence
from stages.watermark.gain import LEAST_EXPLAINED, explained_part
from stages.watermark.mark import Mark, MarkLaw
from stages.watermark.pieces import piece_color, piece_cut, uniform_mark, with_all_pieces
from stages.watermark.search import best_mark
from stages.watermark.soft_outline import soft_colors

SHAPE = (letters() > 0.5).float()
IS_LEFT = torch.arange(SIZE[1]) < 50


def two_colors() -> Tensor:
    """Return red at the left and white at the right, ``(1, 3, H, W)``."""
    hue = torch.where(IS_LEFT, torch.tensor(RED)[:, None], torch.tensor(WHITE)[:, None])
    return hue[None, :, None].expand(1, 3, *SIZE)


def first_piece(frames: Tensor, allowed: Tensor) -> Mark:
    """Return the piece of half opacity and red that a cut finds in ``allowed`` (H, W)."""
    return best_mark(Evidence(searched(frames, allowed)), MarkLaw(0.5, torch.tensor(RED)), 80)


def test_a_piece_of_nothing_costs_what_a_mark_does() -> None:
    frames = marked(scene(), SHAPE, 0.5, WHITE)
    evidence, law = Evidence(searched(frames)), MarkLaw(0.5, torch.ones(3))
    piece = uniform_mark(frames, law)
    draw = torch.rand(SIZE, generator=torch.Generator().manual_seed(1)) > 0.5
    for chosen in (SHAPE[0, 0] > 0, draw):
        first = evidence.cut(law).cost(chosen)
        assert piece_cut(evidence, Mark.nothing(frames), piece).cost(chosen) == pytest.approx(
            first, rel=0.01
        )


def test_a_second_color_of_a_single_picture() -> None:
    frames, allowed = marked(scene(), SHAPE, 0.5, two_colors()), box_around(SHAPE)[0, 0]
    mark = first_piece(frames, allowed)
    ring = SHAPE[0, 0].bool() & ~IS_LEFT
    assert float((mark.matte[0] > 0)[ring].float().mean()) < 0.1
    clean = mark.undone(frames)
    assert torch.allclose(piece_color(frames, clean, 0.5, ring), torch.ones(3), atol=0.08)
    whole = with_all_pieces(searched(frames, allowed), mark, 80)
    assert int(((whole.matte[0] > 0) ^ SHAPE[0, 0].bool()).sum()) < 40
    assert torch.allclose(whole.color[:, ring].median(1).values, torch.ones(3), atol=0.08)


@pytest.mark.slow
def test_a_badge_has_letters_of_a_color_of_their_own() -> None:
    badge = torch.zeros(1, 1, *SIZE)
    badge[..., 14:60, 14:88] = 1
    clean = scene()
    red, white = (torch.tensor(color).view(3, 1, 1) for color in (RED, WHITE))
    color = torch.where(SHAPE > 0, white, red)
    frames, allowed = marked(clean, badge, 0.5, color), box_around(badge)[0, 0]
    whole = with_all_pieces(searched(frames, allowed), first_piece(frames, allowed), 80)
    assert psnr_inside(whole.undone(frames).clamp(0, 1), clean, badge) > 28


def test_a_mark_of_one_color_has_no_further_pieces() -> None:
    frames, allowed = marked(scene(), SHAPE, 0.5, RED), box_around(SHAPE)[0, 0]
    mark = first_piece(frames, allowed)
    whole = with_all_pieces(searched(frames, allowed), mark, 80)
    assert torch.equal(whole.matte, mark.matte)


def test_a_black_piece_beside_the_mark_is_its_shadow() -> None:
    shadow = SHAPE.roll((3, 3), (2, 3)).bool() & ~SHAPE.bool()
    frames = marked(scene(), SHAPE, 0.5, WHITE)
    frames = torch.where(shadow, 0.5 * frames, frames)
    pictures = searched(frames, box_around(SHAPE)[0, 0])
    mark = best_mark(Evidence(pictures), MarkLaw(0.5, torch.ones(3)), 80)
    whole = with_all_pieces(pictures, mark, 80)
    found = (whole.matte[0] > 0) & (whole.color.amax(0) < 0.1)
    assert float(found[shadow[0, 0]].float().mean()) > 0.8
    assert float(found[~shadow[0, 0]].float().mean()) < 0.02


def test_a_mark_explains_its_outline_and_a_wrong_one_does_not() -> None:
    frames = marked(scene(), SHAPE, 0.5, RED)
    laws = MarkLaw(0.5, torch.tensor(RED)), MarkLaw(0.5, 1 - torch.tensor(RED))
    parts = [
        explained_part(searched(frames), Mark.of_one_color(SHAPE[0, 0] > 0, law)) for law in laws
    ]
    assert parts[0] > 0.6 > LEAST_EXPLAINED > parts[1]


def test_pixels_between_two_pieces_hold_both_colors() -> None:
    matte = torch.full((1, *SIZE), 0.5)
    mark = Mark(matte, matte * two_colors()[0], 0.5, 1.0)
    soft, hard = soft_colors(mark, 0.55), soft_colors(mark, 0.0)
    assert torch.allclose(hard, two_colors()[0])
    green = soft[1, 30]
    assert 0.1 < float(green[49]) < float(green[50]) < 1.0
    assert torch.allclose(soft[..., :46], hard[..., :46], atol=1e-5)
