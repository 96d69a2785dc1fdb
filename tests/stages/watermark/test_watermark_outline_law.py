"""Test the cut, the estimates of opacity and colour, and the measure of texture."""

from __future__ import annotations

import pytest
import torch
from clips import psnr
from marked_pictures import RED, SIZE, WHITE, grass, letters, marked, scene, scenes
from torch import Tensor

from stages.watermark.consensus import consensus
from stages.watermark.continuity import CUT_OFFSETS, PairCosts, expansion_move, misfit
from stages.watermark.graph_cut import Cut, solve
from stages.watermark.mark import Mark
from stages.watermark.outline_law import fit_outline_law, shared_opacity
from stages.watermark.pixel_maps import dilated, pixel_pairs
from stages.watermark.texture import squared_length, student_likelihood, whitening


def student_nats_of(difference: Tensor, factor: Tensor) -> Tensor:
    """Return the nats of differences by the texture of which ``factor`` is."""
    return -student_likelihood(squared_length(difference, factor)).log()


def test_pairs_are_partners_in_every_direction() -> None:
    picture = torch.arange(12.0).view(3, 4)
    for offset in ((0, 1), (1, 0), (1, -1), (2, 2), (2, -2)):
        here, there = pixel_pairs(picture, offset)
        assert torch.equal(there - here, torch.full_like(here, 4 * offset[0] + offset[1]))
    assert pixel_pairs(torch.zeros(2, 2), (0, 3))[0].numel() == 0


def test_misfit_by_hand() -> None:
    difference = torch.zeros(1, 3, 1, 1)
    assert float(misfit(difference)) == 0
    difference[0, 0] = 0.05
    assert float(misfit(difference, 0.05)) == pytest.approx(0.05 * 0.6931, rel=1e-3)


def test_a_cut_finds_the_cheapest_labels_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    unary = torch.randn(2, 3, generator=generator)
    empty = Cut(
        unary,
        tuple(
            torch.rand(pixel_pairs(unary, offset)[0].shape, generator=generator)
            for offset in CUT_OFFSETS
        ),
        CUT_OFFSETS,
    )
    every = [
        torch.tensor([(number >> bit) & 1 for bit in range(6)]).view(2, 3) > 0
        for number in range(64)
    ]
    best = min(empty.cost(labels) for labels in every)
    assert empty.cost(solve(empty, torch.ones(2, 3), 500)) == pytest.approx(best, abs=1e-5)


def test_undoing_the_true_mark_costs_less_than_leaving_it() -> None:
    shape = (letters() > 0.5).float()
    frames = marked(scene(), shape, 0.4, WHITE)
    costs = PairCosts(torch.ones(SIZE), outline=0.05)
    cut = expansion_move(frames, Mark.nothing(frames), 0.4, torch.ones(3), costs)
    assert cut.cost(shape[0, 0] > 0.5) < 0
    assert cut.cost(torch.zeros(SIZE, dtype=torch.bool)) == 0


@pytest.mark.parametrize(("opacity", "color"), [(0.3, WHITE), (0.6, RED), (0.45, (0.0, 0.0, 0.0))])
def test_opacity_and_color_follow_from_the_outline(
    opacity: float, color: tuple[float, float, float]
) -> None:
    found = fit_outline_law(marked(scenes(2), letters(), opacity, color), letters()[0, 0] > 0.5)
    assert found is not None
    assert found.opacity == pytest.approx(opacity, abs=0.05)
    assert torch.allclose(found.color, torch.tensor(color), atol=0.1)


def test_opacity_of_any_colors_from_several_pictures() -> None:
    colors = scene(77)
    found = shared_opacity(marked(scenes(4), letters(), 0.5, colors), letters()[0, 0] > 0.5)
    assert found == pytest.approx(0.5, abs=0.04)
    assert shared_opacity(scene(), letters()[0, 0] > 0.5) is None


def test_consensus_is_what_all_pictures_share() -> None:
    shape = (letters() > 0.5).float()
    levels = torch.tensor([0.1, 0.5, 0.3]).view(3, 1, 1, 1).expand(3, 3, *SIZE)
    allowed = torch.zeros(SIZE)
    allowed[1:-1, 1:-1] = 1
    common = consensus(levels + 0.2 * shape, allowed, 600)
    assert psnr(common[None], 0.2 * shape.expand(1, 3, -1, -1)) > 30


def test_dilated_both_ways() -> None:
    dot = torch.zeros(7, 7, dtype=torch.bool)
    dot[3, 3] = True
    assert int(dilated(dot, 1).sum()) == 9
    assert torch.equal(dilated(dilated(dot, 2), -2), dot)


def test_a_difference_costs_more_where_its_color_is_rare() -> None:
    differences = [there - here for here, there in (pixel_pairs(grass()[0], (0, 1)),)][0]
    factor = whitening(differences)
    light = torch.tensor([0.07, 0.1, 0.03]).view(3, 1, 1).expand_as(differences)
    tint = torch.tensor([0.07, -0.1, 0.03]).view(3, 1, 1).expand_as(differences)
    assert float(student_nats_of(torch.zeros_like(light), factor).abs().max()) == 0
    assert float(student_nats_of(tint, factor).mean()) > 3 * float(
        student_nats_of(light, factor).mean()
    )


def test_an_edge_does_not_widen_the_spread() -> None:
    flat = 0.01 * torch.randn(3, 60, 60, generator=torch.Generator().manual_seed(1))
    edged = flat.clone()
    edged[:, :, 30] += 0.5
    probe = torch.full_like(flat, 0.05)
    without, within = (
        float(student_nats_of(probe, whitening(kind))[10:50, 10:50].mean())
        for kind in (flat, edged)
    )
    assert within > 0.7 * without
