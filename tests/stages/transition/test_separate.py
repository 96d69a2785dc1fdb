"""Separating whole transitions of small clips with known layers: every kind and every size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from clips import Apart, apart, dissolve, drifting, moving, opened, pixels, psnr
from torch import Tensor

import stages.transition.plan
from stages.context import FitSettings
from stages.media.clip import Frames
from stages.mixing.mixture import mix
from stages.shots import Kind, Space, Transition
from stages.transition.plan import Plan
from stages.transition.reconcile import trust_of

PRE, STEPS, POST = 4, 6, 4
SIZE = (36, 48)
MOTION = Plan(pixels=960 * 540, levels=((4, 40), (2, 40), (1, 30)), turns=1)


@pytest.fixture(autouse=True)
def tiny_plans() -> Iterator[None]:
    """Use plans of a second: motion, two rounds with ties, networks, a small picture, no motion."""
    with pytest.MonkeyPatch.context() as patch:
        # The networks run wherever a plan has them, however much motion explains.
        patch.setattr("stages.transition.alternate.MOTION_SUFFICES", 2.0)
        plans = {
            "motion": MOTION,
            "rounds": replace(MOTION, ties=((2, 10), (1, 10)), rounds=2),
            "networks": replace(MOTION, fit_steps=3),
            "small": replace(MOTION, pixels=SIZE[0] * SIZE[1] // 4),
            "paper": Plan(pixels=960 * 540, levels=(), turns=0, paper_steps=2),
            "coupled": Plan(pixels=960 * 540, levels=(), turns=0, coupled_steps=6),
        }
        patch.setattr(stages.transition.plan, "PLANS", plans)
        yield


def window_of(frames: Tensor, first: int = 0) -> Frames:
    """Return frames ``(N, 3, H, W)`` rounded to 8 bits, as a reader gives them."""
    return Frames(
        (frames * 255).round() / 255,
        tuple(Fraction(index, 25) for index in range(len(frames))),
        first,
    )


def scenes(size: tuple[int, int] = SIZE, count: int = PRE + STEPS + POST) -> tuple[Tensor, Tensor]:
    """Return two synthetic scenes ``(count, 3, H, W)``."""
    big = max(size[0], 48), max(size[1], 64)
    one, other = (
        pixels(moving(seed, count, big))[..., : size[0], : size[1]].contiguous() for seed in (1, 4)
    )
    return one, other


def ramp(pre: int = PRE, steps: int = STEPS, post: int = POST) -> Tensor:
    """Return the weights of a linear transition, ``(N, 1, 1, 1)``."""
    return (
        ((torch.arange(pre + steps + post) - pre + 1) / (steps + 1)).clamp(0, 1).view(-1, 1, 1, 1)
    )


def transition_of(
    weight: Tensor,
    kind: Kind = "dissolve",
    space: Space = "gamma",
    first: int = 0,
    color: str | None = None,
) -> Transition:
    """Return what the search would find for a transition with weights ``(N, 1, h, w)``."""
    means = weight.mean((1, 2, 3))
    inside = [index for index, mean in enumerate(means.tolist()) if 0 < mean < 1]
    share = tuple(float(means[index]) for index in inside)
    return Transition(first + inside[0], first + inside[-1], kind, share, space, 0, 1, color)


def separated(
    window: Frames, transition: Transition, preset: str = "motion", seed: int = 0
) -> Apart:
    return apart(window, transition, settings=FitSettings(preset, seed))


def check_sound(result: Apart, window: Frames, transition: Transition, least: float = 40.0) -> None:
    """Assert what holds for every result: shapes, range, and layers that mix to the input."""
    count, size = len(transition), window.pixels.shape[2:]
    for layer in (result.outgoing, result.incoming):
        assert layer.shape == (count, 3, *size) and layer.dtype == torch.float32
        assert torch.isfinite(layer).all() and float(layer.min()) >= 0 and float(layer.max()) <= 1
    assert len(result.mix) == count and all(0 <= weight <= 1 for weight in result.mix)
    weight = torch.tensor(result.mix).view(-1, 1, 1, 1) if result.matte is None else result.matte
    at = transition.first_frame - window.first
    again = mix(result.outgoing, result.incoming, weight, result.space)
    assert psnr(again, window.pixels[at : at + count]) >= least
    assert result.report["reconstruction_psnr"] >= least
    assert all(value == value for value in result.report.values())
    assert all(spent >= 0 for spent in result.seconds.values())


def gain(
    result: Apart, truth: tuple[Tensor, Tensor], mixed: Tensor, first: int = PRE
) -> tuple[float, float]:
    """Return the layers' mean PSNR, and that of the better of held clean frames and mixture."""
    inside = slice(first, first + len(result.outgoing))
    a, b = truth[0][inside], truth[1][inside]
    reached = (psnr(result.outgoing, a) + psnr(result.incoming, b)) / 2
    held = (psnr(mixed[first - 1].expand_as(a), a) + psnr(mixed[inside.stop].expand_as(b), b)) / 2
    return reached, max(held, (psnr(mixed[inside], a) + psnr(mixed[inside], b)) / 2)


@pytest.mark.parametrize("preset", ["motion", "rounds"])
def test_a_dissolve_is_separated(preset: str) -> None:
    a, b = moving(1, PRE + STEPS + POST, SIZE), moving(4, PRE + STEPS + POST, SIZE)
    mixed, weight = dissolve(a, b, PRE, STEPS)
    window = window_of(pixels(mixed))
    transition = transition_of(torch.from_numpy(weight).float().view(-1, 1, 1, 1))
    result = separated(window, transition, preset)
    check_sound(result, window, transition)
    reached, easy = gain(result, (pixels(a), pixels(b)), window.pixels)
    assert reached > 31 and reached > easy + 6, (reached, easy)
    assert result.matte is None and result.mix == pytest.approx(transition.mix)
    assert {"plan", "motion", "sweeps", "finish"} <= set(result.seconds)
    assert ("ties" in result.seconds) == (preset == "rounds")
    assert 0.5 < result.report["trust"] <= 1
    assert result.report["turns"] == (2 if preset == "rounds" else 1)
    assert (result.report["work_height"], result.report["work_width"]) == SIZE


def test_a_dissolve_in_linear_light_is_separated() -> None:
    a, b = scenes()
    window = window_of(mix(a, b, ramp(), "linear"))
    transition = transition_of(ramp(), space="linear")
    result = separated(window, transition)
    check_sound(result, window, transition)
    reached, easy = gain(result, (a, b), window.pixels)
    assert result.space == "linear" and reached > 30 and reached > easy + 6, (reached, easy)


@pytest.mark.usually(1)
@pytest.mark.parametrize("kind", ["wipe", "iris"])
def test_a_wipe_or_an_iris_comes_with_its_matte(kind: Kind) -> None:
    size = (36, 64)
    a, b = drifting(1, 14, (0.5, 0.2), size), drifting(2, 14, (-0.4, 0.3), size)
    y, x = torch.meshgrid(
        (torch.arange(36) - 17.5) / 64, (torch.arange(64) - 31.5) / 64, indexing="ij"
    )
    place = x + 0.5 if kind == "wipe" else torch.hypot(x, y) / 0.58
    matte = ((ramp() * 1.25 - place) / 0.25).clamp(0, 1)
    window = window_of(mix(a, b, matte, "gamma"))
    transition = transition_of(matte, kind)
    result = separated(window, transition)
    check_sound(result, window, transition)
    at = transition.first_frame
    inside = slice(at, at + len(transition))
    assert result.matte is not None and (result.matte - matte[inside]).abs().mean() < 0.03
    assert result.mix == pytest.approx([float(part.mean()) for part in result.matte])
    reached, easy = gain(result, (a, b), window.pixels, at)
    assert reached > easy + 6, (reached, easy)


@pytest.mark.usually(3)
@pytest.mark.parametrize("color", ["#000000", "#ffffff", "#c03020"])
@pytest.mark.parametrize("to_color", [False, True])
def test_a_fade_gives_the_color_and_the_scene(color: str, to_color: bool) -> None:
    scene = scenes()[0] * 0.9 + 0.05
    rgb = (
        torch.tensor([int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        .view(1, 3, 1, 1)
        .expand_as(scene)
    )
    pair = (scene, rgb) if to_color else (rgb, scene)
    window = window_of(mix(*pair, ramp(), "gamma"))
    transition = replace(
        transition_of(ramp(), "fade", color=color),
        outgoing=0 if to_color else None,
        incoming=None if to_color else 0,
    )
    result = separated(window, transition)
    check_sound(result, window, transition)
    plain, layer = (
        (result.incoming, result.outgoing) if to_color else (result.outgoing, result.incoming)
    )
    torch.testing.assert_close(plain, rgb[PRE : PRE + STEPS], atol=1e-4, rtol=0)
    # With a known colour the scene is known, except for the rounding to 8 bits.
    assert psnr(layer, scene[PRE : PRE + STEPS]) > 40


@pytest.mark.usually(2)
@pytest.mark.parametrize("preset", ["motion", "rounds"])
@pytest.mark.parametrize("steps", [1, 2])
def test_one_and_two_mixed_frames(steps: int, preset: str) -> None:
    a, b = scenes(count=PRE + steps + POST)
    weight = ramp(steps=steps)
    window = window_of(mix(a, b, weight, "gamma"))
    result = separated(window, transition_of(weight), preset)
    check_sound(result, window, transition_of(weight))
    reached, easy = gain(result, (a, b), window.pixels)
    assert reached > easy + 4, (reached, easy)


@pytest.mark.usually(6)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (13, 17), (16, 31)])
@pytest.mark.parametrize(
    ("kind", "preset"), [("dissolve", "motion"), ("wipe", "motion"), ("dissolve", "rounds")]
)
def test_every_size_works(size: tuple[int, int], kind: Kind, preset: str) -> None:
    weight = ramp()
    window = window_of(mix(*scenes(size), weight, "gamma"))
    check_sound(
        separated(window, transition_of(weight, kind), preset), window, transition_of(weight, kind)
    )


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("space", "preset"),
    [("gamma", "motion"), ("linear", "motion"), ("gamma", "rounds"), ("linear", "rounds")],
)
def test_a_clip_of_one_color_stays_that_color(level: float, space: Space, preset: str) -> None:
    window = window_of(torch.full((PRE + STEPS + POST, 3, 17, 20), level))
    transition = transition_of(ramp(), space=space)
    result = separated(window, transition, preset)
    check_sound(result, window, transition)
    for layer in (result.outgoing, result.incoming):
        torch.testing.assert_close(layer, window.pixels[PRE : PRE + STEPS], atol=5e-3, rtol=0)


@pytest.mark.usually(3)
@pytest.mark.parametrize("preset", ["motion", "rounds", "networks", "paper", "coupled"])
def test_the_same_seed_gives_the_same_bytes(preset: str) -> None:
    window = window_of(mix(*scenes((24, 32)), ramp(), "gamma"))
    one, other = (separated(window, transition_of(ramp()), preset, seed=3) for _ in range(2))
    check_sound(one, window, transition_of(ramp()))
    assert torch.equal(one.outgoing, other.outgoing) and torch.equal(one.incoming, other.incoming)
    assert one.mix == other.mix and one.report == other.report
    assert ("networks" in one.seconds) == (preset in ("networks", "paper", "coupled"))


def test_a_smaller_working_size_is_finished_at_full_size() -> None:
    a, b = scenes()
    window = window_of(mix(a, b, ramp(), "gamma"))
    full, small = (
        separated(window, transition_of(ramp()), preset) for preset in ("motion", "small")
    )
    check_sound(small, window, transition_of(ramp()))
    assert (small.report["work_height"], small.report["work_width"]) == (18, 24)
    (reached, easy), (best, _) = (
        gain(small, (a, b), window.pixels),
        gain(full, (a, b), window.pixels),
    )
    assert reached > easy + 4 and reached > best - 4, (reached, best, easy)
    # It has the detail of the full size: more than an enlarged answer could have.
    coarse = torch.nn.functional.interpolate(
        torch.nn.functional.avg_pool2d(a[PRE : PRE + STEPS], 2), SIZE, mode="bilinear"
    )
    assert psnr(small.outgoing, a[PRE : PRE + STEPS]) > psnr(coarse, a[PRE : PRE + STEPS]) - 3


@pytest.mark.parametrize("preset", ["motion", "rounds"])
def test_no_clean_frames_at_either_side(preset: str) -> None:
    window = window_of(mix(*scenes(), ramp(), "gamma")[PRE : PRE + STEPS])
    transition = Transition(
        0, STEPS - 1, "dissolve", tuple(ramp()[PRE : PRE + STEPS].flatten().tolist()), "gamma", 0, 1
    )
    check_sound(separated(window, transition, preset), window, transition)


def test_a_window_is_numbered_as_in_its_clip() -> None:
    frames = mix(*scenes((24, 32)), ramp(), "gamma")
    plain = separated(window_of(frames), transition_of(ramp()))
    later = separated(window_of(frames, 100), transition_of(ramp(), first=100))
    assert torch.equal(plain.outgoing, later.outgoing) and torch.equal(
        plain.incoming, later.incoming
    )
    # The input's frames come with the layers, and do not change while more of them come.
    assert torch.equal(plain.frames, window_of(frames).pixels[PRE : PRE + STEPS]) and torch.equal(
        later.frames, plain.frames
    )


@pytest.mark.usually(2)
@pytest.mark.parametrize("preset", ["motion", "rounds", "networks", "paper", "coupled"])
def test_progress_rises_and_names_the_stage(preset: str) -> None:
    heard: list[tuple[float, str]] = []
    window = window_of(mix(*scenes((24, 32)), ramp(), "gamma"))
    settings = FitSettings(preset)
    apart(
        window,
        transition_of(ramp()),
        settings=settings,
        progress=lambda done, note: heard.append((done, note)),
    )
    done = [share for share, _ in heard]
    assert done == sorted(done) and done[0] == 0 and 0.9 < done[-1] <= 1
    notes = {note for _, note in heard}
    assert "full size" in notes
    assert ("networks" in notes) == (preset in ("networks", "coupled"))
    assert ("published networks" in notes) == (preset == "paper")


@pytest.mark.parametrize("space", ["gamma", "linear"])
def test_coupled_generators_alone_take_a_dissolve(space: Space) -> None:
    window = window_of(mix(*scenes(), ramp(), space))
    transition = transition_of(ramp(), space=space)
    result = separated(window, transition, "coupled")
    check_sound(result, window, transition)
    assert result.matte is None and result.report["fit_steps"] == 6
    assert set(result.seconds) == {"plan", "networks", "finish"}


def test_coupled_generators_alone_draw_the_matte_of_a_wipe() -> None:
    weight = (ramp() * 2 - torch.linspace(0, 1, SIZE[1]).view(1, 1, 1, -1)).clamp(0, 1)
    window = window_of(mix(*scenes(), weight, "gamma"))
    transition = transition_of(weight, "wipe")
    result = separated(window, transition, "coupled")
    check_sound(result, window, transition)
    assert result.matte is not None and result.matte.shape[-2:] == SIZE


def test_an_opened_mixture_has_the_searchs_weights() -> None:
    window = window_of(torch.zeros(6, 3, 4, 5), 10)
    mixture = opened(
        window, Transition(12, 14, "fade", (0.2, 0.5, 0.9), "linear", None, 0, "#ff8000")
    )
    torch.testing.assert_close(mixture.weight.flatten(), torch.tensor([0, 0, 0.2, 0.5, 0.9, 1]))
    assert (mixture.first, mixture.last, mixture.space, mixture.locked) == (
        2,
        4,
        "linear",
        "outgoing",
    )
    assert mixture.color is not None
    torch.testing.assert_close(mixture.color, torch.tensor([1, 128 / 255, 0]))


def test_trust_is_one_half_where_the_residual_is_the_noise() -> None:
    """``1 / (1 + e / 0.015²)``: 1 without residual, 1/2 at 0.015, 1/5 at 0.03."""
    frames = mix(*scenes(), ramp(), "gamma")
    mixture = opened(window_of(frames), transition_of(ramp()))
    mixed = mixture.frames[mixture.mixed]
    for off, expected in ((0.0, 1.0), (0.015, 0.5), (0.03, 0.2)):
        trust = trust_of(mixture, (mixed + off, mixed + off))
        torch.testing.assert_close(
            trust, torch.full((STEPS, 1, *SIZE), expected), atol=1e-3, rtol=0
        )


def test_trust_falls_only_near_the_residual() -> None:
    mixture = opened(window_of(mix(*scenes(), ramp(), "gamma")), transition_of(ramp()))
    wrong = mixture.frames[mixture.mixed].clone()
    wrong[:, :, 10:14, 10:14] += 0.2
    trust = trust_of(mixture, (wrong, wrong))
    assert trust[:, 0, 10:14, 10:14].max() < 0.1 and trust[:, 0, :, 24:].min() > 0.999


def test_the_networks_are_left_out_where_motion_explains_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    window = window_of(mix(*scenes((24, 32)), ramp(), "gamma"))
    trusted = separated(window, transition_of(ramp()), "networks").report["trust"]
    for threshold, run in ((trusted - 0.01, False), (trusted + 0.01, True)):
        monkeypatch.setattr("stages.transition.alternate.MOTION_SUFFICES", threshold)
        assert ("networks" in separated(window, transition_of(ramp()), "networks").seconds) == run
