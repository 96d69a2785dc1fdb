"""Which matte is taken: the pattern where an edge is soft, single pixels where it is ragged."""

from __future__ import annotations

import torch

from stages.mixing.blend import blend
from stages.mixing.mixture import Mixture
from stages.transition.any_matte import fit_any_matte
from stages.transition.matte import SoftEdge

STEPS, SIZE = 7, (24, 40)
EVEN = (torch.arange(STEPS) + 1) / (STEPS + 1)


def test_a_ragged_edge_gets_single_pixels_and_a_soft_one_its_pattern() -> None:
    generator = torch.Generator().manual_seed(1)
    layers = tuple(torch.rand(STEPS, 3, *SIZE, generator=generator) for _ in range(2))
    pair = layers[0], layers[1]
    straight = torch.linspace(0, 1, SIZE[1]).expand(SIZE)
    ragged = 0.7 * straight + 0.3 * torch.rand(SIZE[0], 1, generator=generator)
    weight = torch.cat([torch.zeros(1), EVEN, torch.ones(1)]).view(-1, 1, 1, 1)
    for order, soft in ((straight, 0.4), (ragged, 1e-6)):
        progress = EVEN.view(-1, 1, 1, 1) * (1 + soft)
        true = ((progress - order) / soft).clamp(0, 1)
        inner = blend(*pair, true)
        frames = torch.cat([pair[0][:1], inner, pair[1][-1:]])
        mixture = Mixture(frames, weight, 1, STEPS)
        first = fit_any_matte(mixture, "wipe", pair, EVEN)
        # The first layers are only held in a run, so the pattern is tried in any case.
        assert isinstance(first[1], SoftEdge)
        matte, edge = fit_any_matte(mixture, "wipe", pair, EVEN, first)
        assert (edge is None) == (soft < 0.1)
        assert float((matte - true).abs().mean()) < 0.03
