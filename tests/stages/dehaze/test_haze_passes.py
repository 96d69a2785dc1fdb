"""The two published passes on haze: what the first gives to the second."""

from __future__ import annotations

from unittest import mock

import torch

from stages.context import FitSettings, SeparationContext
from stages.dehaze.networks_alone import published_airlight, published_transmission
from stages.published import haze


def test_the_first_pass_estimates_an_airlight_and_the_second_holds_it() -> None:
    frames = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(1))
    context = SeparationContext(FitSettings("paper", seed=5))
    light = torch.full((1, 3, 24, 32), 0.9)
    first = haze.HazeLayers(frames[:1], frames[:1, :1], light, haze.STEPS)
    with mock.patch.object(haze, "fit_haze", return_value=first) as fitted:
        found, steps = published_airlight(frames[:1], context)
    assert torch.equal(found, light) and steps == 4000
    assert fitted.call_args.kwargs["fixed"] is False and fitted.call_args.args[2].steps == 4000
    assert torch.equal(fitted.call_args.args[1], haze.dark_channel_airlight(frames[:1]))
    second = haze.HazeLayers(frames[:1], torch.full((1, 1, 24, 32), 0.6), light, haze.STEPS)
    with mock.patch.object(haze, "fit_haze", return_value=second) as fitted:
        drawn = published_transmission(frames, found, context)
    assert (drawn.steps, drawn.full_steps, fitted.call_count) == (4000, 4000, 2)
    for number, call in enumerate(fitted.call_args_list):
        assert torch.equal(call.args[0], frames[number : number + 1])
        assert torch.equal(call.args[1], light)
        assert call.kwargs["fixed"] is True and call.args[2].steps == 4000
