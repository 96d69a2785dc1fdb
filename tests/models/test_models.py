"""Networks, noise, curve and probe: shapes at any size, seeds, and numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from models.curve import MonotoneCurve
from models.generator import GeneratedLayer, Generator, code_size
from models.noise import CoupledNoise, keyed_noise, walking_noise
from models.precision import GAIN, probe
from models.skip import Skip

NARROW = (8, 8, 8, 8)
SIZES = [(1, 1), (3, 17), (33, 47), (48, 64)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_has_the_requested_size(size: tuple[int, int], dtype: torch.dtype) -> None:
    layer = GeneratedLayer(3, 2, size, seed=1, dtype=dtype, widths=NARROW)
    picture = layer(torch.tensor([1]))
    assert picture.shape == (1, 2, *size)
    assert picture.dtype == torch.float32
    assert float(picture.detach().min()) >= 0 and float(picture.detach().max()) <= 1
    picture.mean().backward()
    assert layer.noise.codes.grad is not None
    assert layer.render().shape == (3, 2, *size)


def test_the_decoder_has_the_size_that_was_measured() -> None:
    generator = Generator(3, (144, 256))
    # 32 codes; 128, 128, 128 and 96 channels; 12 outputs that the shuffle makes 3; filters of 3x3.
    # The batch norms add a scale and an offset per channel, the last convolution a bias.
    convolutions = 9 * (32 * 128 + 128 * 128 + 128 * 128 + 128 * 96 + 96 * 12) + 12
    assert sum(p.numel() for p in generator.parameters()) == convolutions + 2 * (
        128 + 128 + 128 + 96
    )
    assert code_size((144, 256)) == (9, 16)
    assert code_size((145, 1)) == (10, 2)


def test_a_gray_generator_starts_at_one_half() -> None:
    layer = GeneratedLayer(2, 1, (20, 20), seed=0, start_gray=True, widths=NARROW)
    torch.testing.assert_close(layer(torch.arange(2)), torch.full((2, 1, 20, 20), 0.5))


def test_the_same_seed_gives_the_same_layer_whatever_ran_before() -> None:
    torch.manual_seed(1)
    one = GeneratedLayer(2, 3, (20, 24), seed=7, widths=NARROW).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = GeneratedLayer(2, 3, (20, 24), seed=7, widths=NARROW).state_dict()
    other = GeneratedLayer(2, 3, (20, 24), seed=8, widths=NARROW).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["noise.codes"], other["noise.codes"])


@pytest.mark.parametrize("size", SIZES)
def test_the_published_network_takes_any_size(size: tuple[int, int]) -> None:
    noise = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(0))
    picture = Skip(2, 3)(noise)
    assert picture.shape == (1, 3, *size)
    assert bool(torch.isfinite(picture).all())


def test_keyed_noise_is_coupled_in_time() -> None:
    codes = keyed_noise(65, 8, (16, 16), seed=3)
    flat = codes.flatten(1)
    torch.testing.assert_close(flat.var(1), torch.ones(65), atol=0.1, rtol=0)

    def alike(distance: int) -> float:
        pairs = zip(flat[:-distance], flat[distance:], strict=True)
        return float(
            torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs]).mean()
        )

    # 0.7 of the variance stays. Of the rest a neighbour keeps cos(pi / 16), and a frame two keys
    # away keeps nothing.
    assert alike(1) == pytest.approx(0.7 + 0.3 * math.cos(math.pi / 16), abs=0.01)
    assert alike(16) == pytest.approx(0.7, abs=0.03)
    assert torch.equal(codes, keyed_noise(65, 8, (16, 16), seed=3))


def test_walking_noise_takes_small_steps() -> None:
    noise = walking_noise(5, 2, (8, 8), seed=0)
    assert noise.shape == (5, 2, 8, 8)
    assert float(noise[0].abs().max()) <= 0.05
    steps = noise.diff(dim=0)
    assert float(steps.min()) >= -1e-8 and float(steps.max()) <= 0.01
    assert walking_noise(1, 2, (8, 8), seed=0).shape == (1, 2, 8, 8)


def test_codes_are_parameters_only_if_learnable() -> None:
    assert len(list(CoupledNoise(2, 3, (2, 2), 0).parameters())) == 1
    fixed = CoupledNoise(2, 3, (2, 2), 0, learnable=False)
    assert not list(fixed.parameters()) and "codes" in fixed.state_dict()


def test_a_curve_starts_at_its_init_and_can_only_rise() -> None:
    given = torch.tensor([0.1, 0.25, 0.5, 0.9])
    curve = MonotoneCurve(given)
    torch.testing.assert_close(curve(), given, atol=1e-6, rtol=0)
    with torch.no_grad():
        curve.logits.add_(torch.randn(5, generator=torch.Generator().manual_seed(0)) * 3)
    moved = curve().detach()
    assert bool((moved.diff() > 0).all()) and float(moved[0]) > 0 and float(moved[-1]) < 1


def test_a_curve_may_start_flat_but_not_falling() -> None:
    flat = MonotoneCurve(torch.tensor([0.0, 0.5, 0.5, 1.0]))()
    torch.testing.assert_close(flat, torch.tensor([0.0, 0.5, 0.5, 1.0]), atol=5e-4, rtol=0)
    assert bool((flat.diff() > 0).all())
    with pytest.raises(ValueError, match="rising weights"):
        MonotoneCurve(torch.tensor([0.5, 0.4]))


def test_the_probe_measures_and_chooses() -> None:
    found = probe(torch.device("cpu"))
    assert found.float32 > 0
    assert (found.dtype == torch.bfloat16) == (found.bfloat16 > GAIN * found.float32)
    assert probe(torch.device("cpu")) is found
