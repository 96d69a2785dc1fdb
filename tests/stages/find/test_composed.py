"""What the search keeps or computes together is what it would compute one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clips import drifting

from stages.find.composed import composed_frames, place
from stages.find.track import CameraWarp, CleanMotions
from stages.find.wipes import fitted_times
from stages.kinds import TRANSITION_KINDS

EFFECTS = {
    effect: placer for kind in TRANSITION_KINDS.values() for effect, placer in kind.effects.items()
}
STEPS = 5


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("size", [(18, 32), (150, 120)])
def test_frames_composed_together_are_those_composed_alone(
    effect: str, size: tuple[int, int]
) -> None:
    torch.manual_seed(len(effect))
    scenes, aspect = (torch.rand(3, *size), torch.rand(3, *size)), size[0] / size[1]
    for _ in range(2):  # the second time the layout may be a kept one
        together = composed_frames(scenes, EFFECTS[effect], STEPS)
        for frame, progress in zip(together, np.linspace(0, 1, STEPS), strict=True):
            assert torch.equal(frame, place(scenes, EFFECTS[effect](float(progress), aspect)))


@pytest.mark.parametrize("blocks", [30, 31])
def test_models_fitted_together_are_those_fitted_alone(blocks: int) -> None:
    draw = np.random.default_rng(blocks)
    tables, times = draw.normal(size=(4, blocks, 3)), draw.normal(size=blocks)
    trust = draw.random(blocks) * (draw.random(blocks) < 0.8)
    terms, explained = fitted_times(tables, times, trust)
    for number, table in enumerate(tables):
        alone = fitted_times(table[None], times, trust)
        assert np.array_equal(alone[0][0], terms[number]) and alone[1][0] == explained[number]


def test_known_motions_of_clean_frames_change_nothing() -> None:
    frames = drifting(3, 24, (0.8, 0.3), (36, 64)).permute(0, 2, 3, 1).numpy()
    known = CleanMotions()
    for sides in ((8, 14), (8, 16), (6, 14)):
        reach = (0, len(frames) - 1)
        one, other = (
            CameraWarp(frames, sides, reach, lambda time, grid: 0.5, given)
            for given in (None, known)
        )
        for time in range(len(frames)):
            assert np.array_equal(one.outgoing_at(time), other.outgoing_at(time))
            assert np.array_equal(one.incoming_at(time), other.incoming_at(time))
