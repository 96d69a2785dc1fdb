"""Test how a mark's opacity and colour are proposed, and told from what the scene holds anyway."""

from __future__ import annotations

import pytest
import torch
from marked_pictures import SIZE, WHITE, box_around, letters, marked, scenes, searched
from torch import Tensor

from stages.watermark.evidence import Evidence
from stages.watermark.graph_cut import Cut
from stages.watermark.hypotheses import (
    LEAST_CHANNEL_DISTANCE,
    OPACITIES,
    PROPOSALS_PER_OPACITY,
    edges,
    likely_marks,
    likely_shared_marks,
)
from stages.watermark.mark import MarkedPictures, MarkLaw
from stages.watermark.pixel_maps import dilated
from stages.watermark.search import best_mark, best_mark_beyond_chance, find_mark

ORANGE = (0.95, 0.5, 0.05)


def striped() -> Tensor:
    """Return scene 10 with dark stripes all over it, ``(1, 3, H, W)``: they look like a mark."""
    stripes = (torch.arange(SIZE[0]) % 12 < 3).float().view(1, 1, -1, 1)
    return scenes(1) * (1 - 0.9 * stripes)


def test_the_hypothesis_of_a_colored_mark_is_voted_first() -> None:
    shape = (letters() > 0.5).float()
    hypotheses = likely_marks(marked(scenes(1), shape, 0.54, ORANGE), box_around(shape)[0, 0])
    assert len(hypotheses) == PROPOSALS_PER_OPACITY * len(OPACITIES)
    first = next(color for opacity, color in hypotheses if opacity == 0.54)
    assert (torch.tensor(first) - torch.tensor(ORANGE)).abs().max() < LEAST_CHANNEL_DISTANCE


@pytest.mark.parametrize("seed", range(4))
def test_pictures_that_share_a_mark_of_any_color_vote_for_it(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    hue = torch.rand(3, generator=draw)
    opacity = OPACITIES[1 + seed]
    shape = (letters() > 0.5).float()
    frames = marked(scenes(4), shape, opacity, hue.view(1, 3, 1, 1))
    best = likely_shared_marks(frames, 5)
    assert len(best) == 5
    # The votes of one of the best explain the mark's ink, within the grid's step.
    inks = torch.stack([each.opacity * torch.tensor(each.color) for each in best])
    assert float((inks - opacity * hue).abs().amax(1).min()) < 0.15
    mattes = torch.tensor([each.opacity for each in best])
    assert float((mattes - opacity).abs().min()) < 0.15


def test_edges_are_taken_from_both_sides() -> None:
    picture = torch.zeros(1, 3, 8, 20)
    picture[..., 10:] = 1
    outer, inner, each = edges(picture, torch.ones(8, 20) > 0)
    assert each == 1
    assert torch.equal(outer, 1 - inner)
    assert float(outer.mean()) == 0.5
    none = edges(picture, torch.ones(8, 20) > 0, around=True)
    assert none[0].shape == (0, 3)


def test_gain_adds_up_to_the_cost() -> None:
    draw = torch.Generator().manual_seed(1)
    unary = torch.rand(5, 6, generator=draw) - 0.5
    weights = (torch.rand(5, 5, generator=draw), torch.rand(4, 6, generator=draw))
    cut = Cut(unary, weights, ((0, 1), (1, 0)))
    chosen = torch.rand(5, 6, generator=draw) > 0.5
    assert abs(float(cut.gain(chosen).sum()) + cut.cost(chosen)) < 1e-5


def test_dark_things_that_go_on_outside_of_the_box_are_no_mark() -> None:
    shape = (letters() > 0.5).float()
    frames, allowed = marked(striped(), shape, 0.5, WHITE), box_around(shape)[0, 0]
    evidence = Evidence(searched(frames, allowed))
    black, white = MarkLaw(0.9, torch.zeros(3)), MarkLaw(0.5, torch.ones(3))
    dark = best_mark_beyond_chance(evidence, black, 80)
    true = best_mark_beyond_chance(evidence, white, 80)
    assert dark.gain < 0.5 * best_mark(evidence, black, 80).gain
    assert true.gain > 2 * max(0.0, dark.gain)
    pictures = MarkedPictures.with_repetitions(frames, allowed, torch.ones(SIZE))
    found = find_mark(pictures, iterations=60)
    assert found is not None
    assert abs(found.opacity - 0.5) < 0.05
    missed = (shape[0, 0] > 0) & ~dilated(found.chosen, 1)
    assert float(missed.sum()) < 0.05 * float(shape.sum())
