"""One place seen by a camera that turns, against two places and two views of one place."""

from __future__ import annotations

import numpy as np
import pytest
from find_clips import Stack, blocks, texture

from stages.find.features import OpticalFlow
from stages.find.same_place import compare_views, show_one_place
from stages.find.search import find

HEIGHT, WIDTH = 54, 96
TURN = 44


def turned(seed: int, places: np.ndarray) -> Stack:
    """Return the views ``(T, H, W, 3)`` at the columns ``places`` of a wide world."""
    world = texture(seed, HEIGHT, 240)
    return np.stack([world[:, int(x) : int(x) + WIDTH] for x in places])


@pytest.mark.parametrize("seed", range(3))
def test_views_of_one_place_are_matched_and_others_are_not(seed: int) -> None:
    one, other = turned(seed, np.array([20, 20 + TURN]))
    view = compare_views(OpticalFlow(), one, other)
    assert view.is_same_place
    assert view.right == pytest.approx(TURN, abs=2) and view.down == pytest.approx(0, abs=2)
    (elsewhere,) = turned(seed + 50, np.array([20]))
    assert not compare_views(OpticalFlow(), one, elsewhere).is_same_place
    for frame in (one, elsewhere):
        frame[:7] = frame[-7:] = 0
    assert not compare_views(OpticalFlow(), one, elsewhere).is_same_place


@pytest.mark.parametrize("seed", range(3))
def test_a_turn_is_told_from_a_dissolve_between_two_views_of_one_place(seed: int) -> None:
    weight = np.linspace(0, 1, 9)
    turn = turned(seed, np.round(20 + weight * TURN))
    dissolve = (1 - weight)[:, None, None, None] * turn[0] + weight[:, None, None, None] * turn[-1]
    assert show_one_place(OpticalFlow(), turn, 0, 8)
    assert not show_one_place(OpticalFlow(), dissolve.astype(np.float32), 0, 8)


def test_a_fast_turn_within_one_place_is_no_transition() -> None:
    way = np.concatenate([np.zeros(6), np.linspace(0, 1, 6), np.ones(6)])
    assert not find(blocks(turned(4, np.round(20 + way * TURN)))).transitions
