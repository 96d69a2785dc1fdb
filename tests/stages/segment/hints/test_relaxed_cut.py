"""Test that a cut follows the edges of the picture."""

from __future__ import annotations

import torch
from drawn_things import SIZE, area, disc

from stages.segment.hints.relaxed_cut import edge_weights, outline_weight, relaxed_cut


def test_a_cut_follows_the_edge_and_drops_specks() -> None:
    picture = torch.where(area(0, 72, 0, 48), 0.2, 0.8).expand(3, *SIZE)
    odds = torch.where(area(0, 72, 0, 44), 1.0, -1.0)
    odds[:, 44:52] = 0
    odds[20, 20] = -2
    found = relaxed_cut(odds, edge_weights(100 * picture), 0.5)
    assert torch.equal(found > 0.5, area(0, 72, 0, 48))


def test_an_outline_weighs_less_along_an_edge() -> None:
    picture = torch.where(disc(40, 36, 12), 90.0, 10.0).expand(3, *SIZE)
    weights = edge_weights(picture)
    along, across = (outline_weight(disc(40, 36, radius), weights) for radius in (12, 16))
    assert along < 0.1 < 1.0 < across < 1.1
    assert outline_weight(torch.zeros(SIZE, dtype=torch.bool), weights) == 1
