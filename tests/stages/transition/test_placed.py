"""What leaves the picture is kept as it was last seen, what is to come as it is first seen."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from clips import drifting
from torch import Tensor

from stages.find.placements import place
from stages.kinds import TRANSITION_KINDS
from stages.media.clip import Frames
from stages.shots import Transition
from stages.transition.placed import separate_placed
from stages.transition.window import Window

CLEAN, STEPS, SIZE = 4, 8, (36, 64)
COUNT = STEPS + 2 * CLEAN


@pytest.mark.parametrize(
    ("kind", "effect"), [("push", "slideleft"), ("cover", "coverdown"), ("reveal", "revealright")]
)
def test_hidden_parts_are_as_they_were_last_or_are_first_seen(kind: str, effect: str) -> None:
    # Both scenes become darker, a little in every frame.
    fading = torch.linspace(1.0, 0.7, COUNT).view(-1, 1, 1, 1)
    scenes = [drifting(seed, 1, (0, 0), SIZE) * fading for seed in (1, 2)]
    placer = TRANSITION_KINDS[kind].effects[effect]
    aspect = SIZE[0] / SIZE[1]
    progress = [(number + 1) / (STEPS + 1) for number in range(STEPS)]
    frames = torch.cat([scenes[0][: CLEAN + STEPS], scenes[1][CLEAN + STEPS :]])
    for number, part in enumerate(progress, CLEAN):
        frames[number] = place((scenes[0][number], scenes[1][number]), placer(part, aspect))
    times = tuple(Fraction(number) for number in range(COUNT))
    transition = Transition(
        CLEAN, CLEAN + STEPS - 1, kind, tuple(progress), "gamma", 0, 1, effect=effect
    )
    found: dict[int, tuple[Tensor, Tensor]] = {}
    done: list[float] = []
    separate_placed(
        Window.of(Frames(frames, times)),
        transition,
        lambda part, note: done.append(part),
        lambda number, frame, layers, matte: found.update({number: layers}),
    )
    assert sorted(found) == list(range(STEPS)) and done == sorted(done) and done[-1] == 1
    for side, template in enumerate((CLEAN - 1, CLEAN + STEPS)):
        true = [scenes[side][CLEAN + number] for number in range(STEPS)]
        error = sum(float((found[k][side] - true[k]).abs().mean()) for k in range(STEPS))
        held = sum(float((scenes[side][template] - true[k]).abs().mean()) for k in range(STEPS))
        # Held frames in what is hidden leave 0.64 to 0.76 of it.
        assert error < 0.6 * held, (side, error, held)
