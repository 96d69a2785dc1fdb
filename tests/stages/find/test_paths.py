"""Scenes that move as a whole while their cameras pan, too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clips import drifting
from find_clips import Stack

from stages.find.composed import errors_of_moving_scenes, layout_of, place
from stages.find.features import channels_first
from stages.find.optical_flow import warped
from stages.find.paths import PathProblem, best_path
from stages.find.placements import find_placement
from stages.find.stretch import Stretch
from stages.find.track import Cameras, Grid
from stages.kinds import TRANSITION_KINDS
from stages.kinds.base import Placer

SIZE = (54, 96)
CLEAN, STEPS = 10, 14
SPEED = 1.2  # pixels by which each camera pans in a frame
EFFECTS: dict[tuple[str, str], Placer] = {
    (kind.name, effect): placer
    for kind in TRANSITION_KINDS.values()
    if not kind.found_around_fade
    for effect, placer in kind.effects.items()
}


def panned(name: tuple[str, str], seed: int) -> Stack:
    """Return a transition between two textures over which cameras pan in drawn directions."""
    draw = np.random.default_rng([seed, *name[1].encode()])
    count = 2 * CLEAN + STEPS
    one, other = (
        drifting(
            int(draw.integers(1000)), count, (SPEED * np.cos(angle), SPEED * np.sin(angle)), SIZE
        )
        for angle in draw.uniform(0, 2 * np.pi, 2)
    )
    frames = []
    for time in range(count):
        progress = float(np.clip((time - CLEAN + 1) / (STEPS + 1), 0, 1))
        frames.append(place((one[time], other[time]), EFFECTS[name](progress, SIZE[0] / SIZE[1])))
    return torch.stack(frames).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("seed", range(1))
@pytest.mark.parametrize("name", EFFECTS)
def test_scenes_that_move_are_found_while_their_cameras_pan(
    name: tuple[str, str], seed: int
) -> None:
    frames = panned(name, seed)
    stretch = Stretch(frames, 0, len(frames) - 1)
    found = find_placement(stretch, CLEAN - 1, CLEAN + STEPS, two_shots=True)
    assert found is not None
    assert (found.kind, found.effect) == name
    assert abs(found.before - (CLEAN - 1)) <= 1
    assert abs(found.after - (CLEAN + STEPS)) <= 1


def test_a_pan_that_gets_faster_is_no_transition() -> None:
    frames = drifting(3, 120, (0.4, 0.0), SIZE).permute(0, 2, 3, 1).numpy()
    ways = np.cumsum([*[1] * CLEAN, *[4] * STEPS, *[1] * CLEAN])
    pan = frames[ways]
    assert find_placement(Stretch(pan, 0, len(pan) - 1), CLEAN - 1, CLEAN + STEPS) is None


def test_cameras_need_clean_frames_to_be_followed() -> None:
    frames = panned(("cover", "coverleft"), 0)
    sides = CLEAN - 1, CLEAN + STEPS
    assert Stretch(frames, 0, len(frames) - 1).cameras(*sides) is not None
    assert Stretch(frames, CLEAN - 2, len(frames) - 1).cameras(*sides) is None
    still = np.repeat(frames[:1], len(frames), 0)
    assert Stretch(still, 0, len(frames) - 1).cameras(*sides) is None


@pytest.mark.parametrize("name", EFFECTS)
def test_errors_are_those_of_scenes_that_were_moved_on(name: tuple[str, str]) -> None:
    frames = panned(name, 0)
    speed = np.array([0.02, 0, 0, 0.01, 0, 0])
    problem = PathProblem(frames, (9, 24), (12, 18), Cameras(speed, -speed))
    errors = errors_of_moving_scenes(
        problem.inner, problem.scenes, layout_of(EFFECTS[name], *SIZE, 5), problem.scene_shifts()
    )
    grid = Grid.of(*SIZE)
    for row, time in enumerate(problem.times):
        scenes = [
            channels_first(warped(frames[side], grid.flow(motion * (time - side))))
            for side, motion in ((9, speed), (24, -speed))
        ]
        for column, progress in enumerate(np.linspace(0, 1, 5)):
            placement = EFFECTS[name](float(progress), SIZE[0] / SIZE[1])
            alone = (place((scenes[0], scenes[1]), placement) - problem.inner[row]).square().mean()
            assert float(errors[row, column]) == pytest.approx(float(alone), rel=0.3, abs=2e-3)
    # Errors forgive small ways, so the ways are looked at, too. Motions are in half widths, and
    # ``grid_sample`` counts half heights downwards.
    for (side, motion), ways in zip(
        ((9, speed), (24, -speed)), problem.scene_shifts(), strict=True
    ):
        for time, (across, down) in zip(problem.times, ways.tolist(), strict=True):
            assert across == pytest.approx(motion[0] * (time - side))
            assert down == pytest.approx(motion[3] * (time - side) * SIZE[1] / SIZE[0])


@pytest.mark.parametrize("name", [("push", "slideup"), ("cover", "coverleft")])
def test_the_path_of_still_scenes_is_the_drawn_one(name: tuple[str, str]) -> None:
    scenes = [drifting(seed, 1, (0, 0), SIZE)[0] for seed in (5, 6)]
    progress = np.linspace(0, 1, STEPS + 2)
    frames = [
        place((scenes[0], scenes[1]), EFFECTS[name](float(part), SIZE[0] / SIZE[1]))
        for part in progress
    ]
    stack = torch.stack(frames).permute(0, 2, 3, 1).numpy()
    path = best_path(PathProblem(stack, (0, STEPS + 1), tuple(range(1, STEPS + 1))), EFFECTS)
    assert (path.kind, path.effect) == name
    assert np.abs(path.progress - progress[1:-1]).max() < 0.03
