"""Test that new hints correct an earlier matte, and leave the rest as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.hint_regions import HintRegion
from stages.segment.hints.correction import find_correction
from stages.segment.motion import find_motion

COUNT, SIZE = 7, (48, 80)
HINTED = 3
"""The frame with the hint."""
HALF = 12
"""Width in pixels of each half of the thing; its height is twice as much."""


class Scene:
    """A thing of two colours that moves over a textured ground, as its seed draws it.

    frames: ``(T, 3, H, W)``. halves: the mattes of its left and right half, ``(2, T, 1, H, W)``.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.speed, left, top = int(rng.integers(-2, 3)), int(rng.integers(20, 36)), 12
        texture = torch.from_numpy(rng.uniform(-0.04, 0.04, (3, *SIZE))).float()
        ground = torch.from_numpy(rng.uniform(0.15, 0.35, (3, 1, 1))).float() + texture
        colors = torch.from_numpy(rng.uniform(0.6, 0.9, (2, 3, 1, 1))).float()
        colors[1] = 1.5 - colors[0]
        self.halves = torch.zeros(2, COUNT, 1, *SIZE)
        frames = []
        for t in range(COUNT):
            frame = ground.clone()
            for half, color in enumerate(colors):
                begin = left + half * HALF + self.speed * t
                part = (..., slice(top, top + 2 * HALF), slice(begin, begin + HALF))
                frame[part] = color + texture[:, : 2 * HALF, :HALF]
                self.halves[half, t][part] = 1
            frames.append(frame)
        self.frames = torch.stack(frames).clamp(0, 1)

    @property
    def whole(self) -> Tensor:
        """Return the matte of both halves, ``(T, 1, H, W)``."""
        return self.halves.sum(0)

    def stroke(self, half: int) -> Tensor:
        """Return a stroke down the middle of a half in the hinted frame, ``(H, W)`` of bool."""
        rows, columns = self.halves[half, HINTED, 0].nonzero(as_tuple=True)
        middle = int(columns.float().mean())
        drawn = torch.zeros(SIZE, dtype=torch.bool)
        drawn[int(rows.min()) + 2 : int(rows.max()) - 1, middle : middle + 2] = True
        return drawn


def corrected(scene: Scene, earlier: Tensor, *regions: HintRegion, still: bool = False) -> Tensor:
    """Return the corrected matte ``(T, 1, H, W)``."""
    context = SeparationContext(
        FitSettings(), hint_regions=regions, earlier_matte=earlier, unordered=still
    )
    motion = None if still else find_motion(scene.frames)
    found = find_correction(scene.frames, motion, context)
    return found.drawn(scene.frames, scene.frames)


def overlap(found: Tensor, true: Tensor) -> Tensor:
    """Return the intersection over union in each frame, ``(T,)``."""
    found, true = found > 0.5, true > 0.5
    both, either = (each.sum((1, 2, 3)).float() for each in (found & true, found | true))
    return both / either.clamp_min(1)


@pytest.mark.parametrize("seed", range(3))
def test_a_missing_part_is_added_in_the_marked_frame_and_beside_it(seed: int) -> None:
    scene = Scene(seed)
    earlier = scene.halves[0]
    made = corrected(scene, earlier, HintRegion(scene.stroke(1), window_index=HINTED))
    assert float(overlap(earlier, scene.whole).max()) < 0.55
    assert float(overlap(made, scene.whole).min()) > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_what_is_no_foreground_is_taken_away(seed: int) -> None:
    scene = Scene(seed)
    region = HintRegion(scene.stroke(1), foreground=False, window_index=HINTED)
    made = corrected(scene, scene.whole, region)
    assert float(overlap(made, scene.halves[0]).min()) > 0.9


def test_everything_else_keeps_its_values() -> None:
    scene = Scene(5)
    earlier = 0.9 * scene.halves[0]
    # A faint corner that no hint is about, and that is no foreground at all.
    earlier[:, :, :6, :6] = 0.3
    made = corrected(scene, earlier, HintRegion(scene.stroke(1), window_index=HINTED))
    far = torch.ones_like(earlier, dtype=torch.bool)
    columns = scene.halves[1].amax((1, 2)).bool()
    for t in range(COUNT):
        place = columns[t].nonzero().flatten()
        far[t, :, 8:40, int(place.min()) - 5 : int(place.max()) + 6] = False
    assert torch.equal(made[far], earlier[far])


def test_a_hint_that_agrees_changes_nothing() -> None:
    scene = Scene(6)
    hint = HintRegion(scene.stroke(0), window_index=HINTED)
    assert torch.equal(corrected(scene, scene.whole, hint), scene.whole)


def test_a_hint_of_the_earlier_run_changes_nothing_but_is_kept() -> None:
    scene = Scene(7)
    old = HintRegion(scene.stroke(1), window_index=HINTED, earlier=True)
    assert torch.equal(corrected(scene, scene.halves[0], old), scene.halves[0])
    new = HintRegion(scene.stroke(0), foreground=False, window_index=HINTED)
    made = corrected(scene, scene.whole, old, new)
    assert bool((made[HINTED, 0][scene.stroke(1)] > 0.5).all())


def test_separate_pictures_are_corrected_one_by_one() -> None:
    scene = Scene(8)
    hint = HintRegion(scene.stroke(1), window_index=HINTED)
    made = overlap(corrected(scene, scene.halves[0], hint, still=True), scene.whole)
    assert float(made[HINTED]) > 0.9
    assert float(torch.cat([made[:HINTED], made[HINTED + 1 :]]).max()) < 0.55


def test_a_box_around_what_was_missed_finds_it() -> None:
    scene = Scene(9)
    rows, columns = scene.whole[HINTED, 0].nonzero(as_tuple=True)
    box = torch.zeros(SIZE, dtype=torch.bool)
    box[
        int(rows.min()) - 4 : int(rows.max()) + 5, int(columns.min()) - 5 : int(columns.max()) + 6
    ] = 1
    hint = HintRegion(box, window_index=HINTED, boxed=True)
    made = corrected(scene, torch.zeros_like(scene.whole), hint)
    assert float(overlap(made, scene.whole)[HINTED]) > 0.8
    # What the earlier run found outside of the box is another thing, which stays.
    earlier = torch.zeros_like(scene.whole)
    other = (torch.arange(SIZE[1]) < 8)[None] & ~box
    earlier[HINTED, 0] = other.float()
    made = corrected(scene, earlier, hint)
    assert bool((made[HINTED, 0] > 0.5)[other].all())
