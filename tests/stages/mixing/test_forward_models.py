"""The contract of every forward model, whatever its equation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stages.mixing.encoded_dissolve import EncodedDissolve
from stages.mixing.forward_model import ForwardModel
from stages.mixing.haze import Haze
from stages.mixing.layer_sum import LayerSum, from_space, to_space
from stages.mixing.light_dissolve import LightDissolve
from stages.mixing.matte_composite import MatteComposite
from stages.mixing.watermark_composite import WatermarkComposite
from stages.shots import Space

SHAPE = (2, 3, 6, 8)
WEIGHTED: dict[str, Callable[[Tensor], ForwardModel]] = {
    "encoded dissolve": EncodedDissolve,
    "light dissolve": LightDissolve,
    "matte composite": MatteComposite,
    "haze": Haze,
    "watermark composite": WatermarkComposite,
}
"""The models with a weight, which is that of the second layer."""

MODELS: dict[str, Callable[[Tensor], ForwardModel]] = WEIGHTED | {"layer sum": lambda _: LayerSum()}

each_weighted = pytest.mark.parametrize("make", WEIGHTED.values(), ids=WEIGHTED.keys())
each = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


def random(*shape: int, seed: int, low: float = 0.1, high: float = 0.9) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, generator=generator)


def layers() -> tuple[Tensor, Tensor]:
    """Two layers whose sum stays in [0, 1], so that every model may mix them."""
    return random(*SHAPE, seed=1, high=0.5), random(*SHAPE, seed=2, high=0.5)


def matte() -> Tensor:
    return random(2, 1, 6, 8, seed=3)


@each_weighted
def test_weight_0_gives_the_first_layer_and_weight_1_the_second(
    make: Callable[[Tensor], ForwardModel],
) -> None:
    first, second = layers()
    for weight, layer in ((0.0, first), (1.0, second)):
        mixed = make(torch.full((2, 1, 1, 1), weight)).mix(first, second)
        torch.testing.assert_close(mixed, layer, atol=1e-6, rtol=0)


@each_weighted
def test_swapping_the_layers_swaps_the_weights(make: Callable[[Tensor], ForwardModel]) -> None:
    first, second = layers()
    mixed = make(matte()).mix(first, second)
    torch.testing.assert_close(mixed, make(1 - matte()).mix(second, first), atol=1e-6, rtol=0)


def test_a_sum_does_not_depend_on_the_order_of_its_layers() -> None:
    first, second = layers()
    assert torch.equal(LayerSum().mix(first, second), LayerSum().mix(second, first))


@each
def test_a_residual_is_the_frame_less_the_mixture(make: Callable[[Tensor], ForwardModel]) -> None:
    first, second = layers()
    frame = random(*SHAPE, seed=4)
    model = make(matte())
    expected = frame - model.mix(first, second)
    torch.testing.assert_close(model.residual(frame, first, second), expected, atol=1e-6, rtol=0)


@each
def test_layers_with_their_residual_distributed_mix_to_the_frame(
    make: Callable[[Tensor], ForwardModel],
) -> None:
    first, second = layers()
    model = make(matte())
    frame = (model.mix(first, second) + random(*SHAPE, seed=5, low=-0.05, high=0.05)).clamp_min(0.1)
    found = first, second
    # Mixing in light is not linear; each further step brings it nearer.
    for _ in range(4):
        found = model.distribute_residual(frame, *found)
    torch.testing.assert_close(model.mix(*found), frame, atol=1e-4, rtol=0)


@each
def test_layers_that_mix_to_the_frame_stay(make: Callable[[Tensor], ForwardModel]) -> None:
    first, second = layers()
    model = make(matte())
    found = model.distribute_residual(model.mix(first, second), first, second)
    for layer, given in zip(found, (first, second), strict=True):
        torch.testing.assert_close(layer, given, atol=1e-5, rtol=0)


@each
def test_reconciled_layers_stay_in_range(make: Callable[[Tensor], ForwardModel]) -> None:
    first, second = layers()
    for layer in make(matte()).reconcile(random(*SHAPE, seed=6, low=0, high=1), first, second):
        assert float(layer.min()) >= 0 and float(layer.max()) <= 1


def test_mixtures_by_hand() -> None:
    def full(value: float) -> Tensor:
        return torch.full((1, 3, 1, 1), value)

    weight = torch.full((1, 1, 1, 1), 0.25)
    for make, expected in (
        (EncodedDissolve, 0.3),
        (MatteComposite, 0.3),
        (Haze, 0.3),
        (WatermarkComposite, 0.3),
        (LightDissolve, 0.355873),  # (0.75 * 0.2 ^ 2.2 + 0.25 * 0.6 ^ 2.2) ^ (1 / 2.2)
    ):
        mixed = make(weight).mix(full(0.2), full(0.6))
        torch.testing.assert_close(mixed, full(expected), atol=1e-5, rtol=0)
    torch.testing.assert_close(LayerSum().mix(full(0.2), full(0.6)), full(0.8))


def test_a_matte_composite_moves_the_layer_that_shows_more() -> None:
    """``m / (m² + (1 - m)²)`` of the residual: at 0.8 the foreground gets 0.8 / 0.68 of it."""
    model = MatteComposite(torch.tensor(0.8))
    one = torch.zeros(1, 3, 1, 1)
    background, foreground = model.distribute_residual(one + 0.34, one, one)
    assert float(foreground.mean()) == pytest.approx(0.34 * 0.8 / 0.68)
    assert float(background.mean()) == pytest.approx(0.34 * 0.2 / 0.68)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [EncodedDissolve, LightDissolve, MatteComposite])
def test_any_frame_is_a_mixture_of_layers_in_range(
    make: Callable[[Tensor], ForwardModel], seed: int
) -> None:
    """Also where the weight is 0 or 1, or next to it, and where layers and frame are far apart."""
    shape = (2, 3, 16, 24)
    weight = random(2, 1, 16, 24, seed=seed, low=-0.5, high=1.5).clamp(0, 1)
    weight[:, :, :2] = random(2, 1, 2, 24, seed=seed + 10, low=0, high=3e-6)
    weight[:, :, 2:4] = 1 - weight[:, :, :2]
    first, second, frame = (
        random(*shape, seed=seed + shift, low=-0.3, high=1.3) for shift in (20, 30, 40)
    )
    frame = frame.clamp(0, 1)
    model = make(weight)
    found = model.reconcile(frame, first, second)
    torch.testing.assert_close(model.mix(*found), frame, atol=1 / 255, rtol=0)
    for layer, given, share in zip(found, (first, second), (1 - weight, weight), strict=True):
        assert float(layer.min()) >= 0 and float(layer.max()) <= 1
        hidden = (share == 0).expand_as(layer)
        torch.testing.assert_close(layer[hidden], given[hidden].clamp(0, 1), atol=1e-6, rtol=0)


def test_haze_leaves_the_airlight_alone() -> None:
    airlight = torch.full((1, 3, 1, 1), 0.9)
    frame = torch.full((1, 3, 2, 2), 0.6)
    kept, clear = Haze(torch.tensor(0.5)).distribute_residual(frame, airlight, frame)
    assert torch.equal(kept, airlight)
    torch.testing.assert_close(clear, torch.full((1, 3, 2, 2), 0.3))


def test_an_unmarked_pixel_is_the_frame_to_the_bit() -> None:
    model = WatermarkComposite(torch.zeros(1, 1, 6, 8))
    frame = random(*SHAPE, seed=7)
    clean, _ = model.distribute_residual(frame, *layers())
    assert torch.equal(clean, frame)


def test_an_opaque_mark_is_not_amplified_without_bound() -> None:
    model = WatermarkComposite(torch.ones(1, 1, 1, 1), most_opaque=0.9)
    frame = torch.full((1, 3, 1, 1), 0.6)
    clean, _ = model.distribute_residual(frame, frame, torch.full((1, 3, 1, 1), 0.5))
    assert float(clean.mean()) == pytest.approx(1.0)  # (0.6 - 0.5) / 0.1


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.2), (0.5, 0.25), (1.0, 0.3)])
def test_a_reflection_gets_its_share_of_what_is_missing(share: float, expected: float) -> None:
    frame = torch.full((1, 3, 1, 1), 0.6)
    first, second = torch.full((1, 3, 1, 1), 0.3), torch.full((1, 3, 1, 1), 0.2)
    transmission, reflection = LayerSum(share).distribute_residual(frame, first, second)
    assert float(reflection.mean()) == pytest.approx(expected)
    assert float(transmission.mean()) == pytest.approx(0.6 - expected)


def test_a_reflection_never_exceeds_the_frame() -> None:
    frame = torch.full((1, 3, 1, 1), 0.1)
    found = LayerSum().distribute_residual(frame, frame, torch.full((1, 3, 1, 1), 0.7))
    assert float(found[0].abs().max()) == 0 and torch.equal(found[1], frame)


@pytest.mark.parametrize("space", ["gamma", "linear"])
def test_values_come_back_from_the_space_in_which_layers_add(space: Space) -> None:
    frame = random(*SHAPE, seed=8)
    there = to_space(frame, space)
    assert torch.equal(there, frame) == (space == "gamma")
    torch.testing.assert_close(from_space(there, space), frame, atol=1e-6, rtol=0)
