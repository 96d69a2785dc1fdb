"""What no model explains is not taken apart, and what one explains is."""

from __future__ import annotations

import numpy as np
import pytest
from find_clips import blocks
from odd_effects import (
    CLEAN,
    Effect,
    clip,
    crash_zoom,
    dissolve,
    doors,
    iris,
    light_leak,
    swirl,
    wipe,
)

from stages.find.search import find
from stages.find.stretch import TransitionFit
from stages.find.unexplained import Verdict, held_if_unexplained, misfit, reach_between, verdict_of
from stages.kinds import OTHER

STEPS = 14
KINDS: dict[Effect, str] = {dissolve: "dissolve", wipe: "wipe", iris: "iris"}


def found_as(kind: str, shorter: int = 0) -> TransitionFit:
    """Return a transition in all frames of a clip's effect but some at both ends."""
    before, after = CLEAN - 1 + shorter, CLEAN + STEPS - shorter
    mix = np.arange(1, after - before) / (after - before)
    return TransitionFit(before, after, mix, kind)


def verdict(seed: int, effect: Effect, kind: str, shorter: int = 0) -> Verdict:
    frames = clip(seed, effect, STEPS)
    left = misfit(frames, found_as(kind, shorter), (0, len(frames) - 1))
    assert left is not None
    return verdict_of(left, kind)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("effect", KINDS)
def test_the_right_model_explains_its_frames(seed: int, effect: Effect) -> None:
    assert verdict(seed, effect, KINDS[effect]) is Verdict.EXPLAINED


@pytest.mark.parametrize(
    ("effect", "kind"), [(swirl, "dissolve"), (doors, "wipe"), (light_leak, "wipe")]
)
def test_no_model_explains_an_odd_effect(effect: Effect, kind: str) -> None:
    """Where the scenes move fast or look alike, an effect may not show."""
    verdicts = [verdict(seed, effect, kind) for seed in range(4)]
    assert verdicts.count(Verdict.UNEXPLAINED) >= 2


@pytest.mark.parametrize("seed", range(2))
def test_the_middle_of_an_effect_is_not_taken_for_all_of_it(seed: int) -> None:
    frames = clip(seed, crash_zoom, STEPS)
    held, doubtful = held_if_unexplained(
        frames, found_as("dissolve", shorter=5), (0, len(frames) - 1)
    )
    assert held.kind == OTHER and not doubtful
    assert held.before < CLEAN + 4 or held.after > CLEAN + STEPS - 5
    assert len(held.mix) == held.after - held.before - 1


@pytest.mark.parametrize("effect", [swirl, dissolve, wipe])
def test_the_search_holds_what_it_cannot_explain(effect: Effect) -> None:
    (found,) = find(blocks(clip(5, effect, STEPS))).transitions
    expected = KINDS.get(effect, OTHER)
    assert (found.kind, found.doubtful) == (expected, False)


def test_small_frames_tell_nothing() -> None:
    frames = clip(1, swirl, STEPS)[:, :12, :12]
    assert misfit(frames, found_as("dissolve"), (0, len(frames) - 1)) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("away", [1, 2, 4])
def test_a_flash_beside_a_dissolve_takes_it_no_frame(seed: int, away: int) -> None:
    frames = clip(seed, dissolve, STEPS)
    flashed = CLEAN + STEPS + away
    frames[flashed] = np.minimum(frames[flashed] + np.float32(0.3), 1)
    held, _ = held_if_unexplained(frames, found_as("dissolve"), (0, len(frames) - 1))
    assert (held.kind, held.before, held.after) == ("dissolve", CLEAN - 1, CLEAN + STEPS)


def test_a_transition_reaches_to_what_ends_its_shots() -> None:
    found = found_as("dissolve")
    before, after, count = found.before, found.after, found.after + 30
    itself = (before + 1, after - 1)
    assert reach_between([itself], found, count) == (0, count - 1)
    cut, span = (after + 8, after + 7), (before - 6, before - 3)
    assert reach_between([itself, cut, span], found, count) == (before - 2, after + 7)
