"""A wipe is taken for a cover where its frames say so, and for nothing else where they do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clips import drifting

from stages.find.features import Array
from stages.find.placements import place
from stages.find.prefer_model import better_placement
from stages.find.stretch import TransitionFit
from stages.kinds import TRANSITION_KINDS

BEFORE, AFTER, COUNT, SIZE = 6, 15, 22, (45, 80)
LEAST = 1e-4
"""What the wipe leaves: less than any cover does, as where dense motion carries its scenes."""


def frames_of(seed: int, effect: str | None) -> Array:
    """Return frames ``(COUNT, H, W, 3)`` with a cover, or with a wipe from left to right."""
    one, other = (drifting(number, 1, (0, 0), SIZE)[0] for number in (2 * seed, 2 * seed + 1))
    frames = []
    for number in range(COUNT):
        part = min(1.0, max(0.0, (number - BEFORE) / (AFTER - BEFORE)))
        if effect:
            placer = TRANSITION_KINDS["cover"].effects[effect]
            frames.append(place((one, other), placer(part, SIZE[0] / SIZE[1])))
        else:
            passed = torch.arange(SIZE[1]) < part * SIZE[1]
            frames.append(torch.where(passed, other, one))
    return np.asarray(torch.stack(frames).permute(0, 2, 3, 1).numpy())


def wipe() -> TransitionFit:
    mix = np.arange(1, AFTER - BEFORE) / (AFTER - BEFORE)
    return TransitionFit(BEFORE, AFTER, mix, "wipe", left=LEAST)


@pytest.mark.parametrize(("seed", "effect"), [(1, "coverleft"), (2, "coverup"), (3, "coverdown")])
def test_a_cover_is_preferred_to_a_wipe_with_a_smaller_error(seed: int, effect: str) -> None:
    found = better_placement(frames_of(seed, effect), wipe(), (0, COUNT - 1))
    assert (found.kind, found.effect) == ("cover", effect) and found.left > LEAST


@pytest.mark.parametrize("seed", range(3))
def test_a_wipe_stays_one(seed: int) -> None:
    given = wipe()
    assert better_placement(frames_of(seed, None), given, (0, COUNT - 1)) is given
