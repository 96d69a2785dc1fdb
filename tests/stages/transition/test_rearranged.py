"""Still pictures are held if the frames show them in pieces, and only then."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
import torch
from clips import drifting, psnr
from torch import Tensor

from stages.context import FitSettings
from stages.find.composed import place
from stages.kinds import TRANSITION_KINDS
from stages.media.clip import Frames
from stages.shots import Transition
from stages.transition.rearranged import Pieces, compare_pieces
from stages.transition.separate import separate_transition
from stages.transition.separated_frame import SeparatedFrame
from stages.transition.window import Window

CLEAN, STEPS, SIZE = 6, 8, (48, 64)
COUNT = 2 * CLEAN + STEPS
PUSHES = [
    ("push", "slideleft"),
    ("push", "slidedown"),
    ("reveal", "revealup"),
    ("cover", "coverright"),
]


def placed(outgoing: Tensor, incoming: Tensor, kind: str, effect: str) -> Window:
    """Return a clip in which two scenes, ``(COUNT, 3, H, W)``, change as wholes."""
    frames = torch.cat([outgoing[: CLEAN + STEPS], incoming[CLEAN + STEPS :]])
    placer = TRANSITION_KINDS[kind].effects[effect]
    for number, progress in enumerate(progresses(), CLEAN):
        placement = placer(progress, SIZE[0] / SIZE[1])
        frames[number] = place((outgoing[number], incoming[number]), placement)
    return Window.of(Frames(frames, tuple(Fraction(number) for number in range(COUNT))))


def progresses() -> tuple[float, ...]:
    return tuple((number + 1) / (STEPS + 1) for number in range(STEPS))


def called(kind: str, effect: str | None) -> Transition:
    """Return the transition of :func:`placed` under any name."""
    return Transition(CLEAN, CLEAN + STEPS - 1, kind, progresses(), "gamma", 0, 1, effect=effect)


def still(seed: int) -> Tensor:
    return drifting(seed, 1, (0, 0), SIZE).repeat(COUNT, 1, 1, 1)


def pieces(window: Window, transition: Transition, scenes: tuple[Tensor, Tensor]) -> Pieces:
    return compare_pieces(window, transition, (scenes[0][:1], scenes[1][-1:]))


def separated(window: Window, transition: Transition) -> list[SeparatedFrame]:
    frames: list[SeparatedFrame] = []
    separate_transition(
        window,
        transition,
        settings=FitSettings(preset="fast"),
        progress=lambda done, note: None,
        put=lambda number, frame: frames.append(frame),
    )
    return frames


@pytest.mark.parametrize("seed", range(2))
def test_pictures_that_move_in_another_way_than_was_found_are_held(seed: int) -> None:
    draw = random.Random(seed)
    true, name = draw.sample(PUSHES, 2)
    scenes = still(draw.randrange(1000)), still(draw.randrange(1000))
    window = placed(*scenes, *true)
    assert not pieces(window, called(*true), scenes).are_rearranged, true
    for wrong in (name, ("wipe", None)):
        transition = called(*wrong)
        assert pieces(window, transition, scenes).are_rearranged, (true, wrong)
        layers = separated(window, transition)
        assert len(layers) == STEPS
        for layer in layers:
            assert layer.matte is None
            assert psnr(layer.outgoing, scenes[0][0]) > 50
            assert psnr(layer.incoming, scenes[1][0]) > 50


@pytest.mark.parametrize("seed", range(2))
def test_a_scene_that_begins_to_move_is_not_held(seed: int) -> None:
    draw = random.Random(seed)
    scenes = still(draw.randrange(1000)), still(draw.randrange(1000))
    thing = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(seed))
    for number in range(CLEAN, CLEAN + STEPS):
        left = 4 * (number - CLEAN)
        scenes[1][number, :, 16:32, left : left + 16] = thing
    for true in draw.sample(PUSHES, 2):
        assert not pieces(placed(*scenes, *true), called(*true), scenes).are_rearranged, true
