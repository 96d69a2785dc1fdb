"""A window is divided at its cuts, and no shot is separated by what another one shows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stages.context import FitSettings, SeparationContext
from stages.transparency.by_motion import separate_by_motion
from stages.transparency.cuts import split_at_cuts
from stages.transparency.separated_light import TransparencySurvey


def _shot(seed: int, count: int, speed: float) -> Tensor:
    """Return frames ``(T, 3, 48, 64)`` of a drawn scene under a camera that pans."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 8, 20, generator=random)
    wide = functional.interpolate(coarse, (48, 64 + 40 + round(speed * count)), mode="bicubic")
    begins = [round(speed * place) for place in range(count)]
    return torch.cat([wide[..., begin : begin + 64] for begin in begins]).clamp(0, 1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("speed", [0.0, 0.5, 1.0])
def test_a_window_is_divided_at_its_cuts_alone(seed: int, speed: float) -> None:
    first, second = _shot(seed, 12, speed), _shot(seed + 100, 9, speed)
    assert split_at_cuts(first) == [slice(0, 12)]
    assert split_at_cuts(torch.cat([first, second])) == [slice(0, 12), slice(12, 21)]


@pytest.mark.parametrize("seed", range(2))
def test_shots_without_a_pane_are_left_as_they_are_beside_a_cut(seed: int) -> None:
    frames = torch.cat([_shot(seed, 6, 1.0), _shot(seed + 100, 5, 1.0)])
    none = frames[:0, :, :1, :1]
    context = SeparationContext(FitSettings(preset="fast"))
    found = separate_by_motion(
        frames, frames, TransparencySurvey("gamma", False, none, none), context
    )
    assert found.figures["untouched"] == 1
    assert sorted(place for note in found.notes for place in note.places) == list(range(11))
    torch.testing.assert_close(sum(found.layers), frames, atol=1e-4, rtol=0)
