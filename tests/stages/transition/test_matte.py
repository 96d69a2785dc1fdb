"""Mattes whose edge is known: the fit finds them from the layers, to a hundredth."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from clips import drifting
from torch import Tensor

from stages.kinds import PATTERNS, kind_of_pattern
from stages.mixing.mixture import Mixture, mix
from stages.shots import Space
from stages.transition.matte import SoftEdge, _named_guess, fit_matte

PRE, STEPS, POST = 2, 9, 2
COUNT = PRE + STEPS + POST
INSIDE = slice(PRE, PRE + STEPS)
SIZE = (36, 64)


def order(shape: str, size: tuple[int, int] = SIZE) -> Tensor:
    """Return when each pixel changes, ``(H, W)``: 0 for the first, 1 for the last."""
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    place = {
        "right": x,
        "left": -x,
        "down": y,
        "slanted": x + 0.6 * y,
        "iris": torch.hypot(x - size[1] / 2, y - size[0] / 2),
        "iris in": -torch.hypot(x - size[1] / 2, y - size[0] / 2),
        "iris aside": torch.hypot(x - 0.6 * size[1], y - 0.45 * size[0]),
        "box": torch.maximum((x / size[1] - 0.5).abs(), (y / size[0] - 0.5).abs()),
        "doors": (x - size[1] / 2).abs(),
        "shutters": -(y - size[0] / 2).abs(),
        "corner": torch.maximum(x / size[1], y / size[0]),
        "other corner": torch.maximum(1 - x / size[1], y / size[0]),
        "clock": torch.atan2(x - size[1] / 2, size[0] / 2 - y) % (2 * torch.pi),
        "anticlockwise": -(torch.atan2(y - size[0] / 2, x - size[1] / 2) % (2 * torch.pi)),
    }[shape]
    return (place - place.min()) / (place.max() - place.min())


def matte_of(shape: str, soft: float, pace: float = 1.0, size: tuple[int, int] = SIZE) -> Tensor:
    """Return the true matte ``(STEPS, 1, H, W)``.

    soft: width of the edge as part of the whole way. pace: power of the progress.
    """
    progress = (((torch.arange(STEPS) + 1) / (STEPS + 1)) ** pace).view(-1, 1, 1, 1) * (1 + soft)
    return ((progress - order(shape, size)) / soft).clamp(0, 1)


def mixed(matte: Tensor, space: Space = "gamma") -> tuple[Mixture, tuple[Tensor, Tensor], Tensor]:
    """Return a mixture, its true layers, and the mean weights of its frames.

    The mixture has one weight for each whole frame, as the search gives it.
    """
    size = (matte.shape[-2], matte.shape[-1])
    a, b = drifting(1, COUNT, (0.5, 0.2), size), drifting(2, COUNT, (-0.5, 0.4), size)
    means = matte.mean((1, 2, 3))
    weight = torch.zeros(COUNT, 1, *size)
    weight[INSIDE], weight[PRE + STEPS :] = matte, 1
    frames = mix(a, b, weight, space)
    flat = weight.mean((2, 3), keepdim=True)
    return Mixture(frames, flat, PRE, PRE + STEPS - 1, space), (a[INSIDE], b[INSIDE]), means


@pytest.mark.usually(5)
@pytest.mark.parametrize(
    ("shape", "soft", "pace", "kind"),
    [
        ("right", 0.1, 1.0, "wipe"),
        ("left", 0.25, 1.0, "wipe"),
        ("down", 0.15, 1.4, "wipe"),
        ("slanted", 0.2, 1.0, "wipe"),
        ("iris", 0.2, 1.0, "iris"),
        ("iris in", 0.25, 1.0, "iris"),
        ("iris aside", 0.2, 1.0, "iris"),
        ("box", 0.2, 1.0, "iris"),
        ("doors", 0.1, 1.0, "wipe"),
        ("shutters", 0.2, 1.0, "wipe"),
        ("corner", 0.1, 1.0, "wipe"),
        ("other corner", 0.2, 1.0, "wipe"),
        ("clock", 0.1, 1.0, "wipe"),
        ("anticlockwise", 0.1, 1.0, "wipe"),
        ("right", 0.8, 1.0, "wipe"),
    ],
)
def test_a_known_edge_is_found(
    shape: str, soft: float, pace: float, kind: Literal["wipe", "iris"]
) -> None:
    matte = matte_of(shape, soft, pace)
    mixture, layers, means = mixed(matte)
    answer = fit_matte(mixture, layers, means)
    assert answer is not None
    found, edge = answer
    assert found.shape == matte.shape and kind_of_pattern(edge.pattern) == kind
    assert float(found.min()) >= 0 and float(found.max()) <= 1 and not found.requires_grad
    assert (found - matte).abs().mean() < 0.01
    # The mean weights alone, which the search gives, are far from it.
    assert (means.view(-1, 1, 1, 1) - matte).abs().mean() > 0.15


def test_a_wipe_mixed_in_light_is_found_too() -> None:
    matte = matte_of("right", 0.2)
    mixture, layers, means = mixed(matte, "linear")
    answer = fit_matte(mixture, layers, means)
    assert answer is not None and (answer[0] - matte).abs().mean() < 0.01


def test_approximate_layers_are_enough() -> None:
    matte = matte_of("slanted", 0.2)
    mixture, layers, means = mixed(matte)
    wrong = 0.1 * (torch.rand(layers[0].shape, generator=torch.Generator().manual_seed(0)) - 0.5)
    answer = fit_matte(mixture, (layers[0] + wrong, layers[1] - wrong), means)
    assert answer is not None and (answer[0] - matte).abs().mean() < 0.015


def test_the_fit_continues_from_an_earlier_edge() -> None:
    matte = matte_of("right", 0.2)
    mixture, layers, means = mixed(matte)
    first = fit_matte(mixture, layers, means)
    assert first is not None
    second = fit_matte(mixture, layers, means, first[1])
    assert second is not None and second[1] is first[1]
    assert (second[0] - matte).abs().mean() < 0.01


def test_the_same_input_gives_the_same_matte() -> None:
    given = mixed(matte_of("iris", 0.2))
    one, other = fit_matte(*given), fit_matte(*given)
    assert one is not None and other is not None and torch.equal(one[0], other[0])


def test_a_dissolve_has_no_edge() -> None:
    even = ((torch.arange(STEPS) + 1) / (STEPS + 1)).view(-1, 1, 1, 1).expand(STEPS, 1, *SIZE)
    assert fit_matte(*mixed(even)) is None


@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
def test_tiny_pictures_have_no_edge_or_a_finite_one(size: tuple[int, int]) -> None:
    mixture, layers, means = mixed(torch.full((STEPS, 1, *size), 0.5))
    answer = fit_matte(mixture, layers, means)
    assert answer is None or (
        answer[0].shape == (STEPS, 1, *size) and bool(torch.isfinite(answer[0]).all())
    )


def test_two_scenes_that_look_alike_show_no_edge() -> None:
    mixture, layers, means = mixed(matte_of("right", 0.2))
    assert fit_matte(mixture, (layers[0], layers[0]), means) is None


def test_an_edge_by_hand() -> None:
    """At x = -3/8, -1/8, 1/8 and 3/8 the matte is ``clip((edge - 2 x) / 0.5, 0, 1)``."""
    edge = SoftEdge("plane", (0.0, 2.0, 0.0), (0.0, 0.0), 1.0, torch.tensor([0.0, 0.5]), 0.5)
    matte = edge(4, 4)
    assert matte.shape == (2, 1, 4, 4)
    torch.testing.assert_close(matte[0, 0], torch.tensor([1.0, 0.5, 0.0, 0.0]).expand(4, 4))
    torch.testing.assert_close(matte[1, 0], torch.tensor([1.0, 1.0, 0.5, 0.0]).expand(4, 4))


def test_a_round_edge_by_hand() -> None:
    """Four pixels of a picture half as high as wide have the distances ``√(x² + y²)``."""
    edge = SoftEdge("circle", (0.0, 1.0), (0.25, 0.125), 0.5, torch.tensor([0.5]), 1.0)
    # The pixels are at (-1/4, -1/8), (1/4, -1/8), (-1/4, 1/8) and (1/4, 1/8).
    expected = torch.tensor([[0.559017, 0.25], [0.5, 0.0]])
    torch.testing.assert_close(edge.order(2, 2), expected, atol=2e-4, rtol=0)
    torch.testing.assert_close(edge(2, 2)[0, 0], (0.5 - expected).clamp(0, 1), atol=2e-4, rtol=0)


def test_a_leak_gives_a_clipped_edge_a_gradient() -> None:
    edge = SoftEdge("plane", (0.0, 1.0, 0.0), (0.0, 0.0), 1.0, torch.tensor([3.0]), 0.5)
    with torch.no_grad():
        assert edge(2, 2).max() == 1 < edge(2, 2, leak=0.02).min()
    torch.autograd.backward(edge(2, 2, leak=0.02).sum())
    assert edge.edge.grad is not None and float(edge.edge.grad) > 0


@pytest.mark.parametrize(
    "effect", ["wipeleft", "smoothdown", "circleopen", "vertclose", "wipebr", "diagtl", "hrslice"]
)
def test_a_name_gives_the_edge_of_that_name(effect: str) -> None:
    aspect = SIZE[0] / SIZE[1]
    edge = _named_guess(effect, aspect, STEPS)
    assert edge is not None and len(edge.edge) == STEPS
    slopes = tuple(edge.slope.tolist())
    assert PATTERNS[edge.pattern].effect(slopes, float(edge.soft.detach().exp()), aspect) == effect
    assert _named_guess("no such transition", aspect, STEPS) is None
    assert _named_guess(None, aspect, STEPS) is None


@pytest.mark.parametrize("straight", [True, False])
def test_the_other_ease_is_much_like_an_edge(straight: bool) -> None:
    edge = SoftEdge("plane", (0.0, 1.0, 0.0), (0, 0), 0.5, torch.linspace(-0.3, 0.8, 5), 0.3)
    with torch.no_grad():
        edge.ease.fill_(0.0 if straight else 1.0)
        before, after = edge(*SIZE), edge.with_other_ease()(*SIZE)
    assert float(edge.with_other_ease().ease.detach()) == (1.0 if straight else 0.0)
    assert 0 < float((after - before).abs().max()) < 0.1
