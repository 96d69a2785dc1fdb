"""One place seen by a camera that turns, against two places and two views of one place."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from compare_revisions import wipe
from find_clips import Stack, blocks, mattes, mixed, shot, texture

from stages.find.boundaries import BoundarySearch
from stages.find.boundary_kinds import ALONE_EXPLAINED, boundary_by_model
from stages.find.correlation import NccCache
from stages.find.edge_fit import pattern_between
from stages.find.same_place import compare_views, show_one_place
from stages.find.search import find
from stages.find.stretch import Stretch
from stages.find.windows import CleanWindow

HEIGHT, WIDTH = 54, 96
SMALL = (36, 64)
TURN = 44
FAR_TURN = 76


def turned(seed: int, places: npt.NDArray[np.float64]) -> Stack:
    """Return the views ``(T, H, W, 3)`` at the columns ``places`` of a wide world."""
    world = texture(seed, HEIGHT, 240)
    return np.stack([world[:, round(x) : round(x) + WIDTH] for x in places])


def dissolved(one: Stack, other: Stack, count: int) -> Stack:
    """Return ``count`` frames from one picture to another, both included."""
    weight = np.linspace(0, 1, count)[:, None, None, None]
    return np.asarray((1 - weight) * one + weight * other, np.float32)


def wiped(seed: int, incoming_pan: tuple[float, float]) -> Stack:
    """Return two panning shots; the second replaces the first in the frames 12 to 23."""
    one = shot(seed, 36, SMALL, pan=(0.0, 1.0), thing=False)
    other = shot(seed + 40, 36, SMALL, pan=incoming_pan, thing=False)
    return mixed(one, other, 12, mattes("right", 12, SMALL, 0.02))


@pytest.mark.parametrize("seed", range(3))
def test_views_of_one_place_are_matched_and_others_are_not(seed: int) -> None:
    one, other = turned(seed, np.array([20.0, 20 + TURN]))
    view = compare_views(one, other)
    assert view.is_same_place
    assert view.right == pytest.approx(TURN, abs=2) and view.down == pytest.approx(0, abs=2)
    (elsewhere,) = turned(seed + 50, np.array([20.0]))
    assert not compare_views(one, elsewhere).is_same_place
    for frame in (one, elsewhere):
        frame[:7] = frame[-7:] = 0
    assert not compare_views(one, elsewhere).is_same_place


@pytest.mark.parametrize("distance", [TURN, FAR_TURN])
@pytest.mark.parametrize("seed", range(2))
def test_a_turn_is_told_from_a_dissolve_between_its_ends(seed: int, distance: int) -> None:
    turn = turned(seed, np.linspace(20, 20 + distance, 9))
    dissolve = dissolved(turn[0], turn[-1], 9)
    assert show_one_place(turn, (0, 8), (0, 8))
    assert not show_one_place(dissolve, (0, 8), (0, 8))


@pytest.mark.parametrize("seed", range(2))
def test_a_push_is_no_turn(seed: int) -> None:
    world = np.concatenate([texture(seed, HEIGHT, WIDTH), texture(seed + 50, HEIGHT, WIDTH)], 1)
    push = np.stack([world[:, 12 * t : 12 * t + WIDTH] for t in range(9)])
    assert not show_one_place(push, (0, 8), (0, 8))


@pytest.mark.parametrize("sides", [(11, 24), (11, 17), (15, 20), (18, 24)])
def test_no_part_of_a_wipe_shows_one_place(sides: tuple[int, int]) -> None:
    frames = wiped(3, (1.0, 0.0))
    assert not show_one_place(frames, sides, (0, 35))


@pytest.mark.slow
def test_a_fast_turn_within_one_place_is_no_transition() -> None:
    way = np.concatenate([np.zeros(4), np.linspace(0, 1, 6), np.ones(4)])
    assert not find(blocks(turned(4, 20 + way * TURN))).transitions


@pytest.mark.slow
def test_a_wipe_between_two_pans_is_one_wipe() -> None:
    (found,) = find(blocks(wipe().astype(np.float32))).transitions
    assert (found.first_frame, found.last_frame) == (10, 19)
    assert found.effect == "wiperight"


def test_the_pattern_of_a_wipe_to_a_fast_pan_proves_a_boundary() -> None:
    found = boundary_by_model(wiped(5, (3.0, 0.0)), CleanWindow(11, 24, 0, 35))
    assert found is not None
    assert abs(found.first - 12) <= 1 and abs(found.last - 23) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_a_turn_has_no_pattern(seed: int) -> None:
    turn = Stretch(turned(seed, np.linspace(20, 20 + FAR_TURN, 14)), 0, 13)
    assert pattern_between(turn, 0, 13, least=ALONE_EXPLAINED) is None


def test_a_side_that_moves_fast_is_like_itself() -> None:
    outgoing = turned(6, np.linspace(0, 90, 10))
    frames = np.concatenate([outgoing, np.repeat(turned(7, np.array([20.0])), 10, 0)])
    search = BoundarySearch(NccCache(list(frames)), frames)
    assert search.has_unrelated_ends(CleanWindow(9, 13, 0, 19))
    assert not search.has_unrelated_ends(CleanWindow(5, 9, 0, 19))


@pytest.mark.parametrize("seed", range(6))
def test_scenes_of_other_colors_are_no_place_however_alike_their_detail(seed: int) -> None:
    """Out of focus there is little detail, and it is alike at some shift by chance."""
    draw = np.random.default_rng(seed)
    detail = cv2.GaussianBlur(draw.random((90, 160, 1), np.float32), (0, 0), 2)[..., None] - 0.5
    colors = [
        cv2.resize(draw.random((2, 3, 3), np.float32), (160, 90), interpolation=cv2.INTER_LINEAR)
        for _ in range(2)
    ]
    one, other = ((0.2 + 0.6 * color + detail).clip(0, 1) for color in colors)
    same = (0.2 + 0.6 * colors[0] + np.roll(detail, 12, 1)).clip(0, 1)
    assert not compare_views(one, other).is_same_place
    assert compare_views(one, same).is_same_place
