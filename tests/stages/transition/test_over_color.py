"""A scene that lies over one colour: what it shows of itself is taken out of the frame."""

from __future__ import annotations

import pytest
import torch
from clips import drifting

from stages.transition.over_color import over_one_color

SIZE = (36, 64)


@pytest.mark.parametrize("weight", [0.1, 0.4, 0.9])
def test_a_scene_is_as_exact_as_its_weight_allows(weight: float) -> None:
    before, now = drifting(5, 2, (1.0, 0.5), SIZE)
    color = torch.tensor([0.7, 0.2, 0.4]).view(3, 1, 1)
    frame = (1 - weight) * color + weight * now
    found = over_one_color(frame, before, weight)
    error, held = (float((part - now).square().mean()) for part in (found, before))
    assert error < held * (0.08 / weight) ** 2


def test_a_frame_without_the_scene_changes_nothing() -> None:
    (scene,) = drifting(5, 1, (0, 0), SIZE)
    frame = torch.full_like(scene, 0.3)
    assert torch.equal(over_one_color(frame, scene, 0.0), scene)


@pytest.mark.parametrize("weight", [0.8, 0.95, 0.99])
def test_light_that_changes_over_a_whole_scene_is_not_all_taken_for_the_color(
    weight: float,
) -> None:
    (scene,) = drifting(5, 1, (0, 0), SIZE)
    scene = 0.2 + 0.6 * scene
    color, brighter = 0.5, scene + 0.15
    frame = (1 - weight) * color + weight * brighter
    found = over_one_color(frame, scene, weight)
    # The colour may be as bright as white: it is unknown by a half.
    assert float((found - brighter).abs().max()) < 0.6 * (1 - weight) / weight + 0.01
