"""Finding the frames between which scenes move as a whole, from frames far outside of them."""

from __future__ import annotations

import numpy as np
import pytest
from find_clips import Stack, shot, texture

from stages.find.placements import MOST_ERROR, find_placement
from stages.find.quick_look import narrowed
from stages.find.stretch import Stretch

HEIGHT, WIDTH = 54, 96
CLEAN, STEPS = 14, 16
SPEED = 3  # pixels a frame of the outgoing camera


def pushed(seed: int) -> Stack:
    """Return a push upwards to a still picture from a camera that pans until the push begins."""
    wide = texture(seed, HEIGHT, WIDTH + SPEED * CLEAN)
    still = texture(seed + 100, HEIGHT, WIDTH)
    frames = []
    for time in range(2 * CLEAN + STEPS):
        moved = wide[:, SPEED * min(time, CLEAN) :][:, :WIDTH]
        progress = np.clip((time - CLEAN + 1) / (STEPS + 1), 0, 1)
        rows = round(float(progress) * HEIGHT)
        frames.append(np.concatenate([moved[rows:], still[:rows]]))
    return np.stack(frames).astype(np.float32)


@pytest.mark.parametrize("seed", range(6))
def test_a_push_is_found_from_far_outside(seed: int) -> None:
    frames = pushed(seed)
    stretch = Stretch(frames, 0, len(frames) - 1)
    inner = narrowed(stretch, 0, len(frames) - 1)
    assert inner is not None and inner[1] - inner[0] < len(frames) - 1
    found = find_placement(stretch, *inner, MOST_ERROR)
    assert found is not None
    assert (found.kind, found.effect) == ("push", "slideup")
    assert abs(found.before - (CLEAN - 1)) <= 1
    assert abs(found.after - (CLEAN + STEPS)) <= 1


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_found_in_one_shot(seed: int) -> None:
    frames = shot(seed, 2 * CLEAN + STEPS)
    stretch = Stretch(frames, 0, len(frames) - 1)
    inner = narrowed(stretch, 0, len(frames) - 1)
    assert inner is None or find_placement(stretch, *inner, MOST_ERROR) is None
