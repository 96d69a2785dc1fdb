"""Unrelated pictures are cleared of haze one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from haze_clips import faults, haze, scene, solve, veil

from stages.context import FitSettings, SeparationContext
from stages.dehaze.layers import separate, survey
from stages.dehaze.model import rounded


def test_unrelated_pictures_have_an_airlight_each() -> None:
    lights = torch.tensor([[0.95, 0.95, 0.95], [0.7, 0.7, 0.7]]).view(2, 3, 1, 1)
    frames = rounded(haze(scene(2, velocity=(20.0, 0.0)), veil(), lights))
    told = SeparationContext(FitSettings(preset="fast"), unordered=True)
    separated = separate(frames, survey(frames, told), told)
    assert not faults(frames, separated)
    assert torch.allclose(separated.layers["airlight"].mean((2, 3)), lights.flatten(1), atol=0.1)


@pytest.mark.parametrize(
    ("hazy_first", "preset"), [(True, "fast"), (True, "coupled"), (False, "fast")]
)
def test_clear_pictures_among_unrelated_ones_are_left(hazy_first: bool, preset: str) -> None:
    clear = scene(seed=4)
    hazy = rounded(haze(scene(seed=5), veil(), torch.full((1, 3, 1, 1), 0.9)))
    frames = torch.cat([hazy, clear] if hazy_first else [clear, hazy])
    place = 1 if hazy_first else 0
    told = SeparationContext(FitSettings(preset, max_seconds=2.0), unordered=True)
    separated = separate(frames, survey(frames, told), told)
    assert not faults(frames, separated)
    assert torch.equal(separated.layers["clear"][place], frames[place])
    assert not torch.equal(separated.layers["clear"][1 - place], frames[1 - place])
    forced = solve(frames, replace(told, force=True))
    assert not torch.equal(forced.layers["clear"][place], frames[place])
