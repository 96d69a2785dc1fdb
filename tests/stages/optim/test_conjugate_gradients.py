"""Conjugate gradients against a direct solution."""

from __future__ import annotations

import pytest
import torch

from stages.optim.conjugate_gradients import conjugate_gradients


@pytest.mark.parametrize("seed", range(4))
def test_it_solves_a_drawn_system(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    size = int(torch.randint(2, 12, (), generator=draw))
    factor = torch.randn(size, size, dtype=torch.double, generator=draw)
    matrix = factor @ factor.T + torch.eye(size, dtype=torch.double)
    target, start = torch.randn(2, size, dtype=torch.double, generator=draw)
    found = conjugate_gradients(
        lambda x: matrix @ x, target, start, iterations=10 * size, tolerance=1e-24
    )
    torch.testing.assert_close(found, torch.linalg.solve(matrix, target))


def test_a_solution_is_returned_as_it_is() -> None:
    start = torch.tensor([1.0, 2.0])
    found = conjugate_gradients(lambda x: 2 * x, 2 * start, start, iterations=5, tolerance=1e-9)
    assert found is start
