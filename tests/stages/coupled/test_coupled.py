"""Coupled generators alone: shared layers, coupled noise, and losses that name what they hold."""

from __future__ import annotations

import pytest
import torch
from clips import moving
from torch import Tensor

from models.noise import keyed_noise
from stages.context import FitSettings, SeparationContext
from stages.coupled import haze, transparency, watermark
from stages.coupled.layers import STEPS, CoupledLayers, coupled_steps
from stages.mixing.haze import Haze
from stages.mixing.watermark_composite import WatermarkComposite
from stages.optim.fit import FitRun

CPU = torch.device("cpu")


def scene(seed: int, frames: int = 3) -> Tensor:
    return torch.from_numpy(moving(seed, frames, (32, 48))).permute(0, 3, 1, 2).float() / 255


def test_layers_share_a_generator_and_their_noise_is_coupled() -> None:
    module = CoupledLayers((3, 1), (4, 1), (32, 48), 2, CPU)
    picture, matte = module(torch.tensor([0, 3]))
    assert picture.shape == (2, 3, 32, 48) and matte.shape == (1, 1, 32, 48)
    codes = module.code_parameters()[0]
    assert torch.equal(codes, keyed_noise(4, 32, (2, 3), 2 * (2 * 2)))
    assert [each.shape[0] for each in module.render()] == [4, 1]


def test_a_preset_has_its_own_steps_and_a_budget_asks_the_clock() -> None:
    def refused(steps: int) -> None:
        raise AssertionError("nothing is measured")

    assert coupled_steps(refused, SeparationContext(FitSettings("coupled"))) == STEPS
    short = SeparationContext(FitSettings("coupled", max_seconds=1e-6))
    assert coupled_steps(lambda steps: None, short) == 1


@pytest.mark.slow
def test_haze_is_found_from_its_dark_channel() -> None:
    clear, airlight = scene(1), torch.full((1, 3, 1, 1), 0.9)
    clear = clear * (clear > clear.mean())
    frames = Haze(torch.full((3, 1, 1, 1), 0.6)).mix(airlight, clear)
    found = haze.fit_haze(frames, airlight, FitRun(120))
    assert found.shape == (3, 1, 32, 48) and 0.4 < float(found.mean()) < 0.85


@pytest.mark.slow
def test_layers_of_light_and_mixtures_are_explained() -> None:
    one, other = 0.6 * scene(1), 0.4 * scene(2)
    pair = transparency.fit_sum(one + other, FitRun(80))
    assert float((pair.first + pair.second - one - other).abs().mean()) < 0.1
    weights = torch.tensor([0.7, 0.4]).view(2, 1, 1, 1)
    mixtures = weights * scene(1, 1) + (1 - weights) * scene(2, 1)
    found = transparency.fit_mixtures(mixtures, FitRun(20))
    assert found.weights.shape == (2,) and float(found.weights.mean()) >= 0.5
    assert found.first.shape == (1, 3, 32, 48)


def test_a_mark_stays_inside_its_box() -> None:
    frames = scene(4)
    box = torch.zeros(1, 1, 32, 48)
    box[..., 8:20, 10:30] = 1
    marked = WatermarkComposite(0.5 * box).mix(frames, torch.ones(1, 3, 1, 1))
    clean, mark, matte = watermark.fit_watermark(marked, box, FitRun(60))
    assert (clean.shape, mark.shape) == ((3, 3, 32, 48), (1, 3, 32, 48))
    assert float((matte * (1 - box)).max()) == 0
    again = WatermarkComposite(matte).mix(clean, mark)
    assert float((again - marked).abs().mean()) < 0.1
