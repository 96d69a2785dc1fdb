"""The optical flow of the search."""

from __future__ import annotations

import numpy as np
import pytest
from find_clips import texture

from stages.find.optical_flow import motion_residual, optical_flow, warped

SIZES = (54, 96), (70, 90), (33, 50), (96, 54), (16, 40)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_flow_does_not_depend_on_the_ones_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [
        (texture(10 * seed + 2 * number, *size), texture(10 * seed + 2 * number + 1, *size))
        for number, size in enumerate(SIZES)
    ]
    flows = [optical_flow(*pair) for pair in pairs]
    for number in rng.integers(len(pairs), size=15):
        assert np.array_equal(optical_flow(*pairs[number]), flows[number])


def test_a_moved_picture_is_explained_by_its_flow() -> None:
    picture = texture(5, 60, 100)
    moved = np.roll(picture, (2, -3), (0, 1))
    flow = optical_flow(picture, moved)[10:-10, 10:-10]
    assert np.abs(np.median(flow, (0, 1)) - (-3, 2)).max() < 0.2
    assert motion_residual(picture, moved) < 0.5 * np.abs(picture - moved).mean()
    assert np.array_equal(warped(picture, np.zeros((60, 100, 2), np.float32)), picture)


def test_small_frames_do_not_move() -> None:
    one, other = texture(6, 15, 40), texture(7, 15, 40)
    assert not optical_flow(one, other).any()
