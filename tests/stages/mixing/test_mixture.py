"""Mixtures: numbers worked out by hand, and slow references of how a residual is distributed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.mixing.mixture import DISSOLVES, Mixture, Side, mix, project, shrink
from stages.shots import Space

SPACES = pytest.mark.parametrize("space", ["gamma", "linear"])


def random(*shape: int, seed: int = 0) -> Tensor:
    """Return random values in [0.05, 0.95]."""
    return 0.05 + 0.9 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def ramp(count: int, first: int, last: int) -> Tensor:
    return ((torch.arange(count) - first + 1) / (last - first + 2)).clamp(0, 1).view(-1, 1, 1, 1)


@pytest.fixture
def dissolved() -> Callable[..., tuple[Mixture, Tensor, Tensor]]:
    """Return a function that mixes two random layers over 5 frames, 1 to 3 of them mixed.

    It returns the mixture and both layers.
    """

    def make(space: Space, locked: Side | None = None) -> tuple[Mixture, Tensor, Tensor]:
        a, b = random(5, 3, 6, 8, seed=1), random(5, 3, 6, 8, seed=2)
        color = torch.tensor([0.1, 0.2, 0.7])
        if locked == "outgoing":
            a = color.view(1, 3, 1, 1).expand_as(a)
        elif locked == "incoming":
            b = color.view(1, 3, 1, 1).expand_as(b)
        weight = ramp(5, 1, 3)
        side = color if locked else None
        return Mixture(mix(a, b, weight, space), weight, 1, 3, space, locked, side), a, b

    return make


@pytest.mark.parametrize(
    ("space", "a", "b", "weight", "expected"),
    [
        ("gamma", 0.2, 0.6, 0.25, 0.3),
        ("gamma", 1.0, 0.0, 0.9, 0.1),
        ("linear", 0.0, 1.0, 0.5, 0.729740),  # 0.5 ^ (1 / 2.2)
        ("linear", 1.0, 0.5, 0.25, 0.905806),  # (0.75 + 0.25 * 0.217638) ^ (1 / 2.2)
        ("linear", 0.4, 0.4, 0.3, 0.4),
    ],
)
def test_mixtures_by_hand(space: Space, a: float, b: float, weight: float, expected: float) -> None:
    mixed = mix(
        torch.full((1, 3, 2, 2), a), torch.full((1, 3, 2, 2), b), torch.tensor(weight), space
    )
    torch.testing.assert_close(mixed, torch.full((1, 3, 2, 2), expected), atol=2e-6, rtol=0)


@SPACES
def test_weight_0_gives_one_layer_and_weight_1_the_other(space: Space) -> None:
    a, b = random(2, 3, 4, 5, seed=1), random(2, 3, 4, 5, seed=2)
    torch.testing.assert_close(mix(a, b, torch.zeros(2, 1, 1, 1), space), a, atol=1e-6, rtol=0)
    torch.testing.assert_close(mix(a, b, torch.ones(2, 1, 1, 1), space), b, atol=1e-6, rtol=0)


@SPACES
def test_a_matte_mixes_each_place_with_its_own_weight(space: Space) -> None:
    a, b = random(2, 3, 4, 6, seed=1), random(2, 3, 4, 6, seed=2)
    matte = torch.zeros(2, 1, 4, 6)
    matte[..., 3:] = 1
    mixed = mix(a, b, matte, space)
    torch.testing.assert_close(mixed[..., :3], a[..., :3], atol=1e-6, rtol=0)
    torch.testing.assert_close(mixed[..., 3:], b[..., 3:], atol=1e-6, rtol=0)


@SPACES
def test_swapping_the_layers_swaps_the_weights(space: Space) -> None:
    a, b, frame = (random(2, 3, 4, 5, seed=seed) for seed in (1, 2, 3))
    weight = torch.tensor([0.2, 0.7]).view(2, 1, 1, 1)
    torch.testing.assert_close(mix(a, b, weight, space), mix(b, a, 1 - weight, space))
    model = DISSOLVES[space](weight, (1.0, 5.0), 50.0)
    swapped = DISSOLVES[space](1 - weight, (5.0, 1.0), 50.0)
    alpha, beta = model.slopes(a, b, frame)
    torch.testing.assert_close((beta, alpha), swapped.slopes(b, a, frame))
    one, other = model.distribute_residual(frame, a, b)
    torch.testing.assert_close((other, one), swapped.distribute_residual(frame, b, a))


@SPACES
def test_slopes_are_the_mixtures_derivatives(space: Space) -> None:
    a, b = (random(2, 3, 4, 5, seed=seed).requires_grad_() for seed in (1, 2))
    weight = torch.tensor([0.2, 0.7]).view(2, 1, 1, 1)
    mixed = mix(a, b, weight, space)
    expected = torch.autograd.grad(mixed.sum(), [a, b])
    found = DISSOLVES[space](weight).slopes(a.detach(), b.detach(), mixed.detach())
    for slope, derivative in zip(found, expected, strict=True):
        torch.testing.assert_close(slope.expand_as(derivative), derivative, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("trust", "data", "expected"),
    [
        ((1.0, 1.0), 1e6, (0.7, 0.7)),
        ((1e6, 1.0), 1e6, (0.5, 0.9)),
        ((3.0, 1.0), 1e6, (0.6, 0.8)),
        ((1.0, 1.0), 1.0, (0.566667, 0.566667)),  # 0.5 + 0.5 * 0.2 / (1 + 0.25 + 0.25)
        ((1.0, 1.0), 0.0, (0.5, 0.5)),
    ],
)
def test_a_residual_is_distributed_by_trust(
    trust: tuple[float, float], data: float, expected: tuple[float, float]
) -> None:
    """Two layers at 0.5 in a half-and-half mixture that shows 0.7."""
    half = torch.full((1, 3, 1, 1), 0.5)
    model = DISSOLVES["gamma"](torch.tensor(0.5), trust, data)
    found = model.distribute_residual(torch.full((1, 3, 1, 1), 0.7), half, half)
    assert [float(layer.mean()) for layer in found] == pytest.approx(expected, abs=1e-4)


def test_the_distributed_residual_is_the_least_squares_answer() -> None:
    """The three squares of the docstring, solved by NumPy for each value."""
    a, b, frame, trust = (random(1, 3, 2, 2, seed=seed) for seed in (1, 2, 3, 4))
    weight, data = 0.3, 20.0
    model = DISSOLVES["gamma"](torch.tensor(weight), (trust, 2.0), data)
    found = model.distribute_residual(frame, a, b)
    for place in np.ndindex(1, 3, 2, 2):
        roots = np.sqrt([data, float(trust[place]), 2.0])
        rows = roots[:, None] * np.array([[1 - weight, weight], [1, 0], [0, 1]])
        wanted = roots * np.array([float(frame[place]), float(a[place]), float(b[place])])
        expected = np.linalg.lstsq(rows, wanted, rcond=None)[0]
        assert [float(found[0][place]), float(found[1][place])] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("space", "tolerance"), [("gamma", 1e-5), ("linear", 1e-2)])
def test_projected_layers_mix_back_to_the_frame(
    dissolved: Callable[..., tuple[Mixture, Tensor, Tensor]], space: Space, tolerance: float
) -> None:
    mixture, a, b = dissolved(space)
    wrong = [(layer[1:4] + 0.1 * random(3, 3, 6, 8, seed=9)).clamp(0, 1) for layer in (a, b)]
    frames, weight = mixture.frames[mixture.mixed], mixture.weight[mixture.mixed]
    assert (mix(wrong[0], wrong[1], weight, space) - frames).abs().max() > 0.05
    assert (mix(*project(mixture, *wrong), weight, space) - frames).abs().max() < tolerance


@SPACES
def test_layers_that_mix_to_the_frame_stay(
    dissolved: Callable[..., tuple[Mixture, Tensor, Tensor]], space: Space
) -> None:
    mixture, a, b = dissolved(space)
    torch.testing.assert_close(
        project(mixture, a[1:4], b[1:4]), (a[1:4], b[1:4]), atol=1e-5, rtol=0
    )


@SPACES
@pytest.mark.parametrize("locked", ["outgoing", "incoming"])
def test_a_locked_color_stays(
    dissolved: Callable[..., tuple[Mixture, Tensor, Tensor]], space: Space, locked: str
) -> None:
    mixture, a, b = dissolved(space, locked)
    given = (
        (a[1:4], random(3, 3, 6, 8, seed=7))
        if locked == "outgoing"
        else (random(3, 3, 6, 8, seed=7), b[1:4])
    )
    found = project(mixture, *given, steps=8)
    plain, other = (0, 1) if locked == "outgoing" else (1, 0)
    torch.testing.assert_close(found[plain], given[plain], atol=1e-5, rtol=0)
    # With one side known, so is the other: projected again and again it becomes the truth.
    for _ in range(30):
        found = project(mixture, *found, steps=8)
    torch.testing.assert_close(found[other], (a, b)[other][1:4], atol=1e-3, rtol=0)


def test_a_faint_scene_takes_only_what_exceeds_the_inputs_own_error() -> None:
    """Over black at weights 0.5 and 0.01: a real difference is followed, rounding is not."""
    black, truth = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
    weight = torch.tensor([0.5, 0.01]).view(2, 1, 1, 1)
    frames = weight * truth + torch.tensor([0.0, 0.004]).view(2, 1, 1, 1)
    mixture = Mixture(frames, weight, 0, 1, "gamma", "outgoing", torch.zeros(3))
    _, found = project(mixture, black, truth - 0.2)
    half, faint = found.mean((1, 2, 3)).tolist()
    # By w² / (w² + 0.08²) of the differences 0.2 and 0.6: by 0.195 and 0.009.
    assert half == pytest.approx(0.3 + 0.2 * 0.25 / 0.2564, abs=1e-3)
    assert faint == pytest.approx(0.3 + 0.6 * 1e-4 / 0.0065, abs=1e-3)


@pytest.mark.parametrize("shape", [(5,), (4, 1, 1, 1), (5, 3, 1, 1), (5, 1, 6, 1), (5, 1, 8, 6)])
def test_a_weight_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not fit frames"):
        Mixture(torch.zeros(5, 3, 6, 8), torch.zeros(shape), 1, 3)


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (3, 2), (2, 5)])
def test_mixed_frames_outside_the_window_are_refused(first: int, last: int) -> None:
    with pytest.raises(
        ValueError, match=f"mixed frames {first} to {last} lie outside a window of 5"
    ):
        Mixture(torch.zeros(5, 3, 6, 8), torch.zeros(5, 1, 1, 1), first, last)


def test_a_mixture_knows_where_each_scene_is_visible_and_clean() -> None:
    mixture = Mixture(torch.zeros(6, 3, 6, 8), torch.zeros(6, 1, 1, 1), 2, 3)
    assert mixture.count == 2 and mixture.size == (6, 8)
    assert list(mixture.visible("outgoing")) == [0, 1, 2, 3]
    assert list(mixture.visible("incoming")) == [2, 3, 4, 5]
    assert list(mixture.clean("outgoing")) == [0, 1] and list(mixture.clean("incoming")) == [4, 5]
    assert mixture.template("outgoing") == 1 and mixture.template("incoming") == 4
    without = Mixture(torch.zeros(2, 3, 6, 8), torch.zeros(2, 1, 1, 1), 0, 1)
    assert without.template("outgoing") == 0 and without.template("incoming") == 1


def test_layers_over_the_window_are_the_input_around_the_mixed_frames() -> None:
    mixture = Mixture(random(5, 3, 6, 8), torch.zeros(5, 1, 1, 1), 1, 3)
    layers = torch.zeros(3, 3, 6, 8), torch.ones(3, 3, 6, 8)
    over = mixture.over_window(layers)
    for scene, layer, back in zip(over, layers, mixture.of_mixed(over), strict=True):
        assert torch.equal(scene[1:4], layer) and torch.equal(back, layer)
        assert torch.equal(scene[0], mixture.frames[0])
        assert torch.equal(scene[4], mixture.frames[4])


def test_only_a_locked_side_has_a_color() -> None:
    color = torch.tensor([0.1, 0.2, 0.7])
    black = torch.zeros(5, 3, 6, 8), torch.zeros(5, 1, 1, 1)
    mixture = Mixture(*black, 1, 3, "gamma", "incoming", color)
    plain = mixture.plain("incoming")
    assert plain is not None and torch.equal(plain.flatten(), color)
    assert mixture.plain("outgoing") is None and Mixture(*black, 1, 3).plain("incoming") is None


def test_a_mixture_knows_its_mixed_frames_and_whether_it_has_a_matte() -> None:
    plain = Mixture(torch.zeros(5, 3, 6, 8), torch.zeros(5, 1, 1, 1), 1, 3)
    assert list(range(5))[plain.mixed] == [1, 2, 3]
    assert (
        not plain.has_matte
        and Mixture(torch.zeros(5, 3, 6, 8), torch.zeros(5, 1, 6, 8), 1, 3).has_matte
    )


def test_shrinking_takes_means_of_areas() -> None:
    frames, matte = random(3, 3, 8, 12, seed=1), random(3, 1, 8, 12, seed=2)
    small = shrink(Mixture(frames, matte, 1, 1), 24)
    assert small.frames.shape == (3, 3, 4, 6) and small.weight.shape == (3, 1, 4, 6)
    torch.testing.assert_close(small.frames[1, 2, 3, 5], frames[1, 2, 6:8, 10:12].mean())
    torch.testing.assert_close(small.weight[2, 0, 1, 0], matte[2, 0, 2:4, 0:2].mean())
    assert (small.first, small.last) == (1, 1)


def test_shrinking_leaves_a_weight_for_the_whole_picture_alone() -> None:
    mixture = Mixture(random(3, 3, 8, 12), ramp(3, 1, 1), 1, 1)
    assert torch.equal(shrink(mixture, 24).weight, mixture.weight)


@pytest.mark.parametrize("pixels", [96, 100, 10_000])
def test_small_frames_are_not_shrunk(pixels: int) -> None:
    mixture = Mixture(random(3, 3, 8, 12), ramp(3, 1, 1), 1, 1)
    assert shrink(mixture, pixels) is mixture


def test_no_side_shrinks_to_nothing() -> None:
    assert shrink(Mixture(random(3, 3, 2, 400), ramp(3, 1, 1), 1, 1), 8).frames.shape == (
        3,
        3,
        1,
        40,
    )
