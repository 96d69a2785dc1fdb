"""Mattes of single pixels: with true layers the weights are right, whatever their order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stages.mixing.blend import blend
from stages.mixing.forward_model import Pair
from stages.mixing.pixel_matte import (
    PixelEvidence,
    finer_weight,
    neighborhood,
    pixel_matte,
    rising_weights,
)

STEPS, SIZE = 9, (20, 32)


def scenes(seed: int = 1) -> Pair:
    """Return two random scenes ``(STEPS, 3, H, W)``."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.rand(STEPS, 3, *SIZE, generator=generator) for _ in range(2))
    return first, second


def order(shape: str) -> Tensor:
    """Return when each pixel changes, ``(H, W)``: 0 for the first, 1 for the last."""
    generator = torch.Generator().manual_seed(2)
    along = torch.linspace(0, 1, SIZE[1]).expand(SIZE)
    own = torch.rand(SIZE, generator=generator)
    return {
        "random": own,
        "straight": along,
        "ragged rows": 0.7 * along + 0.3 * own[:, :1],
    }[shape]


def matte_of(shape: str, soft: float) -> Tensor:
    """Return the true matte ``(STEPS, 1, H, W)``, with edges of width ``soft``."""
    progress = ((torch.arange(STEPS) + 1) / (STEPS + 1)).view(-1, 1, 1, 1) * (1 + soft)
    return ((progress - order(shape)) / soft).clamp(0, 1)


EVEN = (torch.arange(STEPS) + 1) / (STEPS + 1)


@pytest.mark.parametrize("shape", ["random", "straight", "ragged rows"])
@pytest.mark.parametrize("soft", [1e-6, 0.4])
def test_a_matte_is_found_from_its_scenes(shape: str, soft: float) -> None:
    layers, true = scenes(), matte_of(shape, soft)
    found = pixel_matte(blend(*layers, true), layers, EVEN)
    assert float((found - true).abs().mean()) < 0.03
    assert (found[1:] >= found[:-1] - 1e-6).all()
    if soft < 0.1 and shape != "ragged rows":
        assert torch.equal(found, true)


@pytest.mark.parametrize(
    ("shape", "radii"), [("random", (0, 0)), ("ragged rows", (0, 2)), ("straight", (2, 0))]
)
def test_neighbors_are_asked_where_they_change_together(shape: str, radii: tuple[int, int]) -> None:
    layers = scenes()
    frames = blend(*layers, matte_of(shape, 0.02))
    assert neighborhood(PixelEvidence.of(frames, layers, EVEN)) == radii


def test_rising_weights_are_the_isotonic_regression() -> None:
    """Weighted means of blocks that would fall, computed by hand."""
    values = torch.tensor([0.1, 0.5, 0.3, 0.9]).view(4, 1, 1, 1)
    weights = torch.tensor([1.0, 3.0, 1.0, 2.0]).view(4, 1, 1, 1)
    found = rising_weights(values * weights, weights).flatten()
    assert torch.allclose(found, torch.tensor([0.1, 0.45, 0.45, 0.9]))


def test_pixels_of_one_scene_alone_are_told_from_a_mixture() -> None:
    first, second = (scene[:1] for scene in scenes())
    expected = torch.full((1, 1, *SIZE), 0.5)
    own = (order("random") < 0.5).float().view(1, 1, *SIZE)
    assert torch.equal(finer_weight(blend(first, second, own), (first, second), expected), own)
    even = blend(first, second, expected)
    assert torch.equal(finer_weight(even, (first, second), expected), expected)
