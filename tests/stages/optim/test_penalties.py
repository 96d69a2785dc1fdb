"""Penalties of flows: their formulas, and their gradients by finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stages.optim.penalties import (
    CHARBONNIER_SCALE,
    VARIATION_SCALE,
    charbonnier,
    smoothed_total_variation,
)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_charbonnier_penalty_follows_its_formula() -> None:
    wanted = (
        math.hypot(0.3, CHARBONNIER_SCALE) + math.hypot(0.0, CHARBONNIER_SCALE)
    ) / 2 - CHARBONNIER_SCALE
    assert float(charbonnier(torch.tensor([-0.3, 0.0]))) == pytest.approx(wanted)
    assert float(charbonnier(torch.zeros(4))) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(("dim", "order"), [(-1, 1), (-2, 1), (0, 1), (0, 2)])
def test_the_total_variation_is_the_mean_length_of_the_differences(dim: int, order: int) -> None:
    vectors = random(4, 2, 5, 6)
    changes = vectors.diff(order, dim)
    assert float(smoothed_total_variation(vectors, dim, order)) == pytest.approx(
        float((changes.square().sum(1) + VARIATION_SCALE**2).sqrt().mean())
    )


def test_too_few_vectors_have_no_variation() -> None:
    assert (
        float(smoothed_total_variation(random(2, 2, 3, 3), 0, order=2)) == 0
        and float(smoothed_total_variation(random(3, 2, 3, 1), -1)) == 0
    )


def test_gradients_are_those_of_the_values() -> None:
    vectors = random(4, 2, 3, 5).requires_grad_()
    assert torch.autograd.gradcheck(charbonnier, (vectors,))
    for dim, order in ((-1, 1), (-2, 1), (0, 2)):
        assert torch.autograd.gradcheck(
            lambda given, dim=dim, order=order: smoothed_total_variation(given, dim, order),
            (vectors,),
        )
