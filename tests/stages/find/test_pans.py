"""Fast pans against pushes, and transitions beside scenes that move fast."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from find_clips import Stack, blocks, mixed, shot, texture, weights

from stages.find.pans import best_shift, is_pan, is_pan_for_push, seam_contrast
from stages.find.search import find
from stages.kinds import TRANSITION_KINDS

HEIGHT, WIDTH = 54, 96


def panned(places: np.ndarray) -> Stack:
    """Return a window at the columns ``places`` of one wide world, ``(T, H, W, 3)``."""
    world = texture(9, HEIGHT, 400)
    return np.stack([world[:, int(x) : int(x) + WIDTH] for x in places])


def pushed(a: Stack, b: Stack, progress: np.ndarray) -> Stack:
    """Return the frames in which ``b`` pushes ``a`` out to the left."""
    places = np.round(progress * WIDTH).astype(int)
    return np.stack(
        [
            np.concatenate([one, other], 1)[:, x : x + WIDTH]
            for one, other, x in zip(a, b, places, strict=True)
        ]
    )


def test_the_best_shift_is_the_one_that_was_made() -> None:
    one, other = panned(np.array([100, 112]))
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (one, other)]
    alike, (down, right) = best_shift(grays[0], grays[1])
    assert alike == pytest.approx(1, abs=1e-4)
    assert (abs(int(down)), abs(int(right))) == (0, 12)


def test_a_straight_way_is_a_pan_and_a_still_or_a_mixed_clip_is_none() -> None:
    assert is_pan(panned(np.arange(100, 200, 14)))
    assert not is_pan(panned(np.full(8, 100)))
    assert not is_pan(panned(np.array([100, 120, 100, 120, 100])))
    assert not is_pan(mixed(shot(1, 30), shot(2, 30), 8, weights("linear", 12)))
    assert not is_pan(panned(np.array([100, 160])))


def test_a_push_has_a_seam_and_a_pan_has_none() -> None:
    placer = TRANSITION_KINDS["push"].effects["slideleft"]
    progress = np.linspace(0, 1, 9)
    placements = [placer(float(value), HEIGHT / WIDTH) for value in progress[1:-1]]
    still = [np.repeat(texture(seed, HEIGHT, WIDTH)[None], 9, 0) for seed in (1, 2)]
    push = pushed(still[0], still[1], progress)
    pan = panned(100 + np.round(progress * WIDTH))
    assert is_pan(push) and not is_pan_for_push(push, placements)
    assert is_pan_for_push(pan, placements)
    assert seam_contrast(push[1:-1], placements) > 2 * seam_contrast(pan[1:-1], placements)


@pytest.mark.usually(1)
@pytest.mark.parametrize("steps", [4, 7, 12])
def test_a_pan_from_one_still_view_to_the_next_is_not_taken_apart(steps: int) -> None:
    """It may be a boundary, so that two shots are never one, but no kind that is separated."""
    way = np.concatenate([np.zeros(22), np.linspace(0, 1, steps + 2), np.ones(22)])
    frames = panned(100 + np.round(way * WIDTH))
    assert not any(move.separable for move in find(blocks(frames)).transitions)


@pytest.mark.slow
def test_a_push_between_restless_shots_is_found() -> None:
    rng = np.random.default_rng(0)
    a, b = (shot(seed, 50, thing=False) for seed in (5, 6))
    a = np.clip(a + rng.normal(0, 0.06, a.shape), 0, 1).astype(np.float32)
    progress = np.clip((np.arange(50) - 14) / 20, 0, 1)
    (one,) = find(blocks(pushed(a, b, progress))).transitions
    assert (one.kind, one.effect) == ("push", "slideleft")
    assert abs(one.first_frame - 15) <= 1 and abs(one.last_frame - 33) <= 1


def test_a_dissolve_by_random_pixels_is_found_whole() -> None:
    a, b = (shot(seed, 50, size=(4 * HEIGHT, 4 * WIDTH), thing=False) for seed in (7, 8))
    own = np.random.default_rng(1).random((4 * HEIGHT, 4 * WIDTH, 1))
    progress = np.clip((np.arange(50) - 14) / 20, 0, 1)[:, None, None, None]
    frames = np.where(progress > own, b, a)
    small = np.stack(
        [cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for frame in frames]
    )
    (one,) = find(blocks(small)).transitions
    assert abs(one.first_frame - 15) <= 1 and abs(one.last_frame - 33) <= 1
