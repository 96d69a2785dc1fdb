"""A real GPU: every task runs on it, and its layers are as near to the truth as the CPU's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from clips import dissolve, moving, psnr
from drifting_scenes import INSIDE, mixed, scenes

from pipeline import separate
from stages.context import FitSettings
from stages.motion.carry import carry
from stages.shots import Space
from stages.transition.alternate import Reporting, alternate
from stages.transition.plan import PLANS

pytestmark = pytest.mark.gpu

GPU, CPU = torch.device("cuda"), torch.device("cpu")
STEPS = 8


def test_the_motion_is_that_of_the_cpu() -> None:
    """Sums in another order: nearly the same flows, and layers that differ by less than a level."""
    mixture = mixed(*scenes())
    levels = ((4, 10), (2, 10), (1, 10))
    expected = carry(mixture, levels)
    found = carry(mixture.to(GPU), levels)
    for layer, wanted in zip(found.layers, expected.layers, strict=True):
        assert layer.device.type == "cuda"
        assert psnr(layer.cpu(), wanted) > 40


@pytest.mark.parametrize("space", ["gamma", "linear"])
def test_a_dissolve_comes_apart_as_well_as_on_the_cpu(space: Space) -> None:
    true = scenes()
    mixture = replace(mixed(*true), space=space)
    reached = {}
    for device in (CPU, GPU):
        settings = FitSettings(device=device)
        reporting = Reporting(lambda done, note: None, {})
        layers = alternate(mixture, "dissolve", PLANS["fast"], settings, reporting).layers
        assert layers[0].device == CPU
        reached[device] = [
            psnr(layer, truth[INSIDE]) for layer, truth in zip(layers, true, strict=True)
        ]
    assert reached[GPU] == pytest.approx(reached[CPU], abs=0.5)


@pytest.mark.parametrize("preset", ["fast", "balanced", "paper", "coupled"])
def test_a_run_on_it_undoes_a_transition(preset: str) -> None:
    one, other = moving(1, 8 + STEPS + 8), moving(2, 8 + STEPS + 8)
    clip, _ = dissolve(one, other, 8, STEPS)
    given: dict[str, Any] = {"preset": preset, "device": "cuda", "max_seconds": 8}
    with separate(clip, "transition", transition=[(8, 7 + STEPS)], **given) as made:
        assert made.manifest["report"]["device"] == "cuda"
        assert [layer["role"] for layer in made.manifest["layers"]].count("scene") == 2


@pytest.mark.parametrize("task", ["segment", "dehaze", "watermark", "transparency"])
@pytest.mark.parametrize("preset", ["fast", "coupled"])
def test_every_task_runs_on_it(task: str, preset: str) -> None:
    clip = moving(3, 6)
    hint = np.zeros(clip.shape[1:3], np.uint8)
    hint[8:24, 10:30] = 255
    given: dict[str, Any] = {"hint": hint} if task in ("segment", "watermark") else {}
    # The search for a mark and for motion works on the CPU, so the default methods may not use it.
    with separate(clip, task, preset=preset, device="cuda", max_seconds=5, **given) as made:
        assert made.manifest["layers"] and made.manifest["report"]["device"] == "cuda"
