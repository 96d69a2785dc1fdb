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
from stages.find.unexplained import Verdict, judged, misfit, verdict_of
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
    held, doubtful = judged(frames, found_as("dissolve", shorter=5), (0, len(frames) - 1))
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
