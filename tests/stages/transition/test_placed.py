"""What leaves the picture is kept as it was last seen, what is to come as it is first seen."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from clips import drifting, psnr
from torch import Tensor

from stages.find.composed import place
from stages.kinds import TRANSITION_KINDS
from stages.media.clip import Frames
from stages.shots import Transition
from stages.transition.placed import separate_placed
from stages.transition.window import Window

CLEAN, STEPS, SIZE = 4, 8, (36, 64)
COUNT = STEPS + 2 * CLEAN


EFFECTS = [("push", "slideleft"), ("cover", "coverdown"), ("reveal", "revealright")]
Layers = dict[int, tuple[Tensor, Tensor]]
"""The outgoing and the incoming layer ``(3, H, W)`` of each mixed frame, from 0."""


def apart(scenes: list[Tensor], kind: str, effect: str, overlay: Tensor | None = None) -> Layers:
    """Return the layers of a transition between two scenes ``(COUNT, 3, H, W)``.

    overlay: values ``(3, H, W)`` that replace those of every frame where they are numbers.
    """
    placer = TRANSITION_KINDS[kind].effects[effect]
    progress = [(number + 1) / (STEPS + 1) for number in range(STEPS)]
    frames = torch.cat([scenes[0][: CLEAN + STEPS], scenes[1][CLEAN + STEPS :]])
    for number, part in enumerate(progress, CLEAN):
        placement = placer(part, SIZE[0] / SIZE[1])
        frames[number] = place((scenes[0][number], scenes[1][number]), placement)
    if overlay is not None:
        frames = torch.where(overlay.isnan(), frames, overlay)
    transition = Transition(
        CLEAN, CLEAN + STEPS - 1, kind, tuple(progress), "gamma", 0, 1, effect=effect
    )
    found: Layers = {}
    done: list[float] = []
    separate_placed(
        Window.of(Frames(frames, tuple(Fraction(number) for number in range(COUNT)))),
        transition,
        lambda part, note: done.append(part),
        lambda number, frame, layers, matte: found.update({number: layers}),
    )
    assert sorted(found) == list(range(STEPS)) and done == sorted(done) and done[-1] == 1
    return found


@pytest.mark.parametrize(("kind", "effect"), EFFECTS)
def test_hidden_parts_are_as_they_were_last_or_are_first_seen(kind: str, effect: str) -> None:
    # Both scenes become darker, a little in every frame.
    fading = torch.linspace(1.0, 0.7, COUNT).view(-1, 1, 1, 1)
    scenes = [drifting(seed, 1, (0, 0), SIZE) * fading for seed in (1, 2)]
    found = apart(scenes, kind, effect)
    for side, template in enumerate((CLEAN - 1, CLEAN + STEPS)):
        true = [scenes[side][CLEAN + number] for number in range(STEPS)]
        error = sum(float((found[k][side] - true[k]).abs().mean()) for k in range(STEPS))
        held = sum(float((scenes[side][template] - true[k]).abs().mean()) for k in range(STEPS))
        # Held frames in what is hidden leave 0.64 to 0.76 of it.
        assert error < 0.6 * held, (side, error, held)


@pytest.mark.parametrize(("kind", "effect"), EFFECTS)
def test_a_caption_and_black_bars_stay_in_their_place(kind: str, effect: str) -> None:
    overlay = torch.full((3, *SIZE), torch.nan)
    overlay[:, :4] = overlay[:, -4:] = 0
    overlay[:, 24:28, 20:44] = 1
    scenes = [drifting(seed, 1, (0, 0), SIZE).repeat(COUNT, 1, 1, 1) for seed in (1, 2)]
    true = [torch.where(overlay.isnan(), scene[0], overlay) for scene in scenes]
    for layers in apart(scenes, kind, effect, overlay).values():
        # Moved with the scenes, the bars and the caption leave 13 to 20 dB.
        assert all(psnr(layer, one) > 30 for layer, one in zip(layers, true, strict=True))


@pytest.mark.parametrize(("kind", "effect"), [("push", "slideup"), ("reveal", "revealleft")])
def test_a_camera_that_pans_along_is_told_from_the_transition(kind: str, effect: str) -> None:
    scenes = [drifting(1, COUNT, (-0.8, 0.4), SIZE), drifting(2, COUNT, (0.8, 0.4), SIZE)]
    found = apart(scenes, kind, effect)
    for side, template in enumerate((CLEAN - 1, CLEAN + STEPS)):
        true = scenes[side][CLEAN : CLEAN + STEPS]
        gains = [
            psnr(found[number][side], frame) - psnr(scenes[side][template], frame)
            for number, frame in enumerate(true)
        ]
        # Without a look at the edge between the scenes it is 0 to 6 dB for those that move along.
        assert sum(gains) / STEPS > 8, gains
