"""Which matte is taken: the pattern where an edge is soft, single pixels where it is ragged."""

from __future__ import annotations

import torch

from stages.mixing.blend import blend
from stages.mixing.mixture import Mixture
from stages.transition.any_matte import fit_any_matte, with_hard_edge
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


def test_a_hard_edge_is_found_to_the_pixel_and_a_soft_one_stays_soft() -> None:
    generator = torch.Generator().manual_seed(2)
    pair = tuple(torch.rand(STEPS, 3, *SIZE, generator=generator) for _ in range(2))
    layers = pair[0], pair[1]
    progress = EVEN.view(-1, 1, 1, 1)
    place = (torch.arange(SIZE[1]) + 0.5) / SIZE[1] - 0.5
    none = torch.zeros(1, 1, 1, 1)
    for width in (1e-6, 0.5):
        true = ((progress * (1 + width) - 0.5 - place) / width).clamp(0, 1).expand(-1, 1, *SIZE)
        inner = blend(*layers, true)
        frames = torch.cat([layers[0][:1], inner, layers[1][-1:]])
        weight = torch.cat([none, progress, none + 1])
        # The fitted edge lies three pixels off, and it is softer than the hard one.
        off = (EVEN * (1 + width) - 0.5) + 3 / SIZE[1]
        edge = SoftEdge("plane", (0.0, 1.0, 0.0), (0, 0), SIZE[0] / SIZE[1], off, width + 0.05)
        with torch.no_grad():
            fitted = edge(*SIZE)
        found = with_hard_edge(Mixture(frames, weight, 1, STEPS), edge, fitted, layers)
        assert torch.equal(found, true if width < 0.1 else fitted)
