"""Test the parts of the guided filter against their slow, obvious versions."""

from __future__ import annotations

import pytest
import torch

from stages.motion.flow import box
from stages.segment.guided_filter import solve_per_pixel, square_means


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_means_over_squares_equal_those_of_one_pass(radius: int) -> None:
    values = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(radius))
    assert torch.allclose(square_means(values, radius), box(values, radius), atol=1e-6)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_systems_of_any_rank_are_solve_per_pixel_as_a_library_does(rank: int) -> None:
    draw = torch.Generator().manual_seed(rank)
    ridge, right = 1e-3, torch.rand(1, 3, 4, 5, generator=draw)
    root = torch.rand(4, 5, 3, max(1, rank), generator=draw) * (rank > 0)
    full = root @ root.mT
    rows, columns = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 1, 2, 1, 2, 2])
    entries = full[..., rows, columns].permute(2, 0, 1)[None]
    wanted = torch.linalg.solve(
        (full + ridge * torch.eye(3)).double(), right[0].permute(1, 2, 0)[..., None].double()
    )
    found = solve_per_pixel(entries, ridge, right)[0].permute(1, 2, 0)[..., None].double()
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
