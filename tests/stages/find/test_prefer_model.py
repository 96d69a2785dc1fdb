"""A wipe is taken for a cover where its frames say so, and for nothing else where they do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from clips import drifting

from stages.find import prefer_model
from stages.find.composed import place
from stages.find.features import Array
from stages.find.placements import placement_between
from stages.find.prefer_model import better_placement
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds import TRANSITION_KINDS

BEFORE, AFTER, COUNT, SIZE = 6, 15, 22, (45, 80)
LEAST = 1e-4
"""What the wipe leaves: less than any cover does, as where dense motion carries its scenes."""

Step = tuple[float, float]
"""How far a scene moves in each frame, in pixels across and down."""

STILL = (0.0, 0.0)


def frames_of(
    seed: int, effect: str | None, kind: str = "cover", moves: tuple[Step, Step] = (STILL, STILL)
) -> Array:
    """Return frames ``(COUNT, H, W, 3)`` with an effect, or with a wipe from left to right.

    moves: of both scenes.
    """
    scenes = [
        drifting(number, COUNT, move, SIZE)
        for number, move in zip((2 * seed, 2 * seed + 1), moves, strict=True)
    ]
    frames = []
    for number, (one, other) in enumerate(zip(*scenes, strict=True)):
        part = min(1.0, max(0.0, (number - BEFORE) / (AFTER - BEFORE)))
        if effect:
            placer = TRANSITION_KINDS[kind].effects[effect]
            frames.append(place((one, other), placer(part, SIZE[0] / SIZE[1])))
        else:
            passed = torch.arange(SIZE[1]) < part * SIZE[1]
            frames.append(torch.where(passed, other, one))
    return np.asarray(torch.stack(frames).permute(0, 2, 3, 1).numpy())


def wipe() -> TransitionFit:
    mix = np.arange(1, AFTER - BEFORE) / (AFTER - BEFORE)
    return TransitionFit(BEFORE, AFTER, mix, "wipe", relative_error=LEAST)


@pytest.mark.parametrize(("seed", "effect"), [(1, "coverleft"), (2, "coverup"), (3, "coverdown")])
def test_a_cover_is_preferred_to_a_wipe_with_a_smaller_error(seed: int, effect: str) -> None:
    found = better_placement(frames_of(seed, effect), wipe(), (0, COUNT - 1))
    assert (found.kind, found.effect) == ("cover", effect) and found.relative_error > LEAST


@pytest.mark.parametrize("effect", ["revealleft", "revealright", "revealup", "revealdown"])
@pytest.mark.parametrize("seed", range(4))
def test_a_reveal_of_a_scene_that_pans_is_no_wipe(seed: int, effect: str) -> None:
    angle = 2.4 * seed + 0.7
    pan = (2 * math.cos(angle), 2 * math.sin(angle))
    frames = frames_of(seed, effect, "reveal", (STILL, pan))
    found = better_placement(frames, wipe(), (0, COUNT - 1))
    assert (found.kind, found.effect) == ("reveal", effect)


@pytest.mark.parametrize(("sides", "is_taken"), [((1, 8), False), ((BEFORE, AFTER), True)])
def test_a_reveal_replaces_the_wipe_whose_frames_it_explains(
    sides: tuple[int, int], is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, given = frames_of(3, "revealleft", "reveal"), wipe()
    reveal = placement_between(Stretch(frames, 0, COUNT - 1), *sides, "reveal", "revealleft")
    monkeypatch.setattr(prefer_model, "find_placement", lambda *_, **__: reveal)
    monkeypatch.setattr(prefer_model, "may_be_placed", lambda *_: False)
    assert better_placement(frames, given, (0, COUNT - 1)) is (reveal if is_taken else given)


@pytest.mark.parametrize("seed", range(6))
def test_a_wipe_between_pans_stays_one(seed: int) -> None:
    generator = np.random.default_rng(seed)
    pans = generator.uniform(-2, 2, (2, 2)).tolist()
    frames = frames_of(seed, None, moves=((pans[0][0], pans[0][1]), (pans[1][0], pans[1][1])))
    given = wipe()
    assert better_placement(frames, given, (0, COUNT - 1)) is given


@pytest.mark.parametrize("seed", range(3))
def test_a_wipe_stays_one(seed: int) -> None:
    given = wipe()
    assert better_placement(frames_of(seed, None), given, (0, COUNT - 1)) is given
