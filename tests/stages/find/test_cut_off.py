"""Transitions that overlap, and clips that begin or end inside one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from find_clips import blocks, shot
from odd_effects import Picture, scene
from xfade_cases import PHOTOGRAPHS

from stages.find.search import find

CLEAN = 26
"""Clean frames at both ends of a clip."""


def textures(seed: int, count: int) -> list[Picture]:
    """Return three drawn scenes of textures, each with a thing that moves."""
    rng = np.random.default_rng(seed)
    pans = rng.uniform(-0.5, 0.5, (3, 2))
    return [shot(10 * seed + n, count, pan=(pan[0], pan[1])) for n, pan in enumerate(pans)]


def photographs(seed: int, count: int) -> list[Picture]:
    """Return what drawn cameras see of three photographs."""
    rng = np.random.default_rng(seed)
    return [scene(rng, count, name) for name in rng.permutation(PHOTOGRAPHS)[:3].tolist()]


def dissolved(one: Picture, other: Picture, first: int, steps: int) -> Picture:
    """Return a scene that dissolves to another one in ``steps`` frames from ``first`` on."""
    weight = np.clip((np.arange(len(one)) - first + 1) / (steps + 1), 0, 1)[:, None, None, None]
    return np.asarray((1 - weight) * one + weight * other, np.float32)


def as_bytes(frames: Picture) -> Picture:
    return np.asarray(np.round(255 * frames) / 255, np.float32)


def found_in(frames: Picture) -> list[tuple[int, int]]:
    """Return the first and last frames of all transitions that the search finds."""
    analysis = find(blocks(as_bytes(frames)))
    return [(event.first_frame, event.last_frame) for event in analysis.transitions]


@pytest.mark.parametrize("scenes", [textures, photographs])
def test_both_of_two_overlapping_transitions_are_found(
    scenes: Callable[[int, int], list[Picture]],
) -> None:
    """The second begins four frames before the first has ended."""
    first, steps, common = CLEAN, 16, 4
    right = 0
    second = first + steps - common
    for seed in range(2):
        one, other, third = scenes(seed, second + steps + CLEAN)
        frames = dissolved(dissolved(one, other, first, steps), third, second, steps)
        found = found_in(frames)
        ends = found[0][0], found[-1][1]
        true = first, second + steps - 1
        right += len(found) == 2 and np.abs(np.subtract(ends, true)).max() < 3
    assert right >= 1


@pytest.mark.parametrize("scenes", [textures, photographs])
@pytest.mark.parametrize("at_end", [False, True])
def test_a_clip_that_was_cut_inside_a_transition_has_two_scenes(
    scenes: Callable[[int, int], list[Picture]], at_end: bool
) -> None:
    """A third of a dissolve is missing at its beginning, or at its end."""
    steps, missing = 20, 6
    for seed in range(2):
        one, other, _ = scenes(seed, steps + CLEAN)
        frames = dissolved(one, other, 0, steps)[missing:]
        true = 1, steps - missing - 1
        if at_end:
            frames = frames[::-1]
            true = len(frames) - 1 - true[1], len(frames) - 1 - true[0]
        found = found_in(frames)
        assert len(found) == 1
        assert np.abs(np.subtract(found[0], true)).max() < 3


@pytest.mark.parametrize("scenes", [textures, photographs])
def test_nothing_is_added_to_a_single_dissolve(
    scenes: Callable[[int, int], list[Picture]],
) -> None:
    one, other, _ = scenes(7, 2 * CLEAN + 12)
    assert found_in(dissolved(one, other, CLEAN, 12)) == [(CLEAN, CLEAN + 11)]


@pytest.mark.parametrize("scenes", [textures, photographs])
@pytest.mark.parametrize("at_end", [False, True])
def test_a_change_of_light_at_an_end_is_no_transition(
    scenes: Callable[[int, int], list[Picture]], at_end: bool
) -> None:
    """The picture becomes twice as bright, with another tint, in 20 frames."""
    shown = scenes(3, 20 + CLEAN)[0]
    progress = np.clip(np.arange(len(shown)) / 20, 0, 1)[:, None, None, None]
    lit = shown * (0.5 + 0.5 * progress * np.array([1, 0.95, 0.9]))
    assert not found_in(np.asarray(lit[::-1] if at_end else lit, np.float32))
