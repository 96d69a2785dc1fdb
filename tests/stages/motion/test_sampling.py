"""Interleaved samplings: together they make up the picture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stages.motion.flow import resize, warp
from stages.motion.sampling import InterleavedSampling


def random(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 7), (6, 8)])
@pytest.mark.parametrize("small", [True, False])
def test_samplings_make_up_the_whole_picture(
    size: tuple[int, int], small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has the right pixels of a picture, an enlarged one and a warped one."""
    if not small:
        monkeypatch.setattr("stages.motion.sampling.MAX_WHOLE_PIXELS", 0)
    picture = random(2, 3, *size)
    nodes = 4 * random(2, 2, -(-size[0] // 2), -(-size[1] // 2)) - 2
    numbers = torch.arange(size[0] * size[1], dtype=torch.float32).view(1, 1, *size)
    seen = []
    flow = resize(nodes, size)
    for number in range(InterleavedSampling.COUNT):
        sampling = InterleavedSampling(size, number, picture)
        seen += sampling.of(numbers).flatten().tolist()
        torch.testing.assert_close(sampling.resized(nodes), sampling.of(flow), atol=1e-4, rtol=0)
        warped = sampling.warp(picture, sampling.of(flow))
        torch.testing.assert_close(warped, sampling.of(warp(picture, flow)), atol=1e-4, rtol=0)
    assert set(seen) == set(range(size[0] * size[1]))
    # Each sampling of a small picture is all of it.
    assert len(seen) == (4 if small else 1) * size[0] * size[1] or (1 in size and not small)


def test_a_small_picture_has_one_sampling() -> None:
    """It is sampled whole, so the others would be the same."""
    assert len(InterleavedSampling.numbers((72, 128))) == 1
    assert len(InterleavedSampling.numbers((73, 128))) == InterleavedSampling.COUNT
