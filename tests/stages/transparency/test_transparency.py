"""Tests on pictures and clips whose layers are known, and on any input."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from clips import psnr_of_all as psnr
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from stages.context import FORCED, FitSettings, Separation, SeparationContext
from stages.mixing.layer_sum import from_space, to_space
from stages.motion.flow import warp
from stages.transparency.clip import separate_clip
from stages.transparency.contrast import light_from_contrast
from stages.transparency.layer_order import ordered_as_before, small_frames
from stages.transparency.layer_pair import with_scaled_reflection
from stages.transparency.layers import mixed, separate, settle, survey
from stages.transparency.mixtures import find_ends, fit_line, unmix
from stages.transparency.mosaic import homography_of
from stages.transparency.mosaic_search import guess_motions
from stages.transparency.motion import at_size, distance, flow_of, two_motions
from stages.transparency.picture_guess import guess_layers, pane_light
from stages.transparency.plans import ClipPlan
from stages.transparency.separated_light import TransparencySurvey


def scene(seed: int, size: tuple[int, int] = (96, 128), sheets: int = 150) -> Tensor:
    """Make a picture ``(3, H, W)`` of overlapping sheets of paper, some of them rough."""
    draw = torch.Generator().manual_seed(seed)
    picture = torch.zeros(3, *size)
    for number in range(sheets):
        top, left, high, wide, rough = torch.rand(5, generator=draw).tolist()
        reach = max(0.06, 0.5 / (1 + number / 10))  # the large ones first
        rows = slice(int(top * size[0]), int((top + reach * (0.3 + high)) * size[0]) + 1)
        columns = slice(int(left * size[1]), int((left + reach * (0.3 + wide)) * size[1]) + 1)
        part = picture[:, rows, columns]
        part[:] = torch.rand(3, 1, 1, generator=draw) + (rough > 0.6) * 0.2 * (
            torch.rand(part.shape[1:], generator=draw) - 0.5
        )
    return picture.clamp(0, 1)


def rounded(picture: Tensor) -> Tensor:
    return (picture.clamp(0, 1) * 255).round() / 255


def aligned(guess: Tensor, truth: Tensor) -> float:
    """Return the PSNR after the best scale and offset, which a sum leaves open."""
    design = torch.stack([guess.flatten(), torch.ones(guess.numel())], 1).double()
    answer = torch.linalg.lstsq(design, truth.flatten().double()[:, None]).solution
    return psnr((design @ answer).view_as(truth).clamp(0, 1), truth.double())


def context(
    preset: str = "fast", max_seconds: float | None = None, **told: Any
) -> SeparationContext:
    settings = FitSettings(preset=preset, max_seconds=max_seconds)
    return SeparationContext(settings=settings, **told)


def taken_apart(frames: Tensor, told: SeparationContext) -> tuple[TransparencySurvey, Separation]:
    facts = survey(frames, told)
    return facts, separate(frames, facts, told)


def remixed(separation: Separation, frames: Tensor) -> float:
    """Return the worst frame's PSNR of the input, mixed from layers of 8 bits."""
    layers = {name: rounded(layer) for name, layer in separation.layers.items()}
    worst = math.inf
    for index, frame in enumerate(frames):
        one = {name: layer[min(index, len(layer) - 1)] for name, layer in layers.items()}
        worst = min(worst, psnr(mixed(one, separation.report, index), frame))
    return worst


def moving(
    seed: int, frames: int, velocity: tuple[float, float], size: tuple[int, int] = (90, 160)
) -> Tensor:
    """Make a picture that pans by ``velocity`` (x, y) pixels a frame, ``(T, 3, H, W)``."""
    large = scene(seed, (size[0] + 60, size[1] + 60), 250)[None]
    large = F.avg_pool2d(F.pad(large, (1, 1, 1, 1), mode="replicate"), 3, 1)
    shifts = torch.tensor([[velocity[0] * t, velocity[1] * t] for t in range(frames)]).view(
        -1, 2, 1, 1
    )
    seen = warp(large.expand(frames, -1, -1, -1), shifts.expand(-1, -1, *large.shape[-2:]))
    return seen[..., 30 : 30 + size[0], 30 : 30 + size[1]]


@pytest.mark.parametrize("space", ["gamma", "linear"])
@pytest.mark.parametrize("weights", [(0.7, 0.35), (0.4, 0.6), (0.8, 0.55, 0.3)])
def test_mixtures_are_unmixed_with_unknown_weights(weights: tuple[float, ...], space: str) -> None:
    one, other = scene(1), scene(2)
    light = torch.stack(
        [w * to_space(one, space) + (1 - w) * to_space(other, space) for w in weights]
    )
    frames = rounded(from_space(light, space))
    facts, separation = taken_apart(frames, context(unordered=True))
    assert facts.mixtures and facts.space == space
    assert separation.shared == {"transmission", "reflection"}
    found = [separation.layers[role][0] for role in ("transmission", "reflection")]
    named = [
        min(aligned(found[0], first), aligned(found[1], second))
        for first, second in ((one, other), (other, one))
    ]
    assert max(named) > 30
    if sum(weights) > len(weights) / 2:
        assert named[0] > named[1]  # the layer with the larger weight
    assert remixed(separation, frames) > 45


def test_a_line_knows_its_ends_and_places() -> None:
    one, other = scene(3), scene(4)
    weights = torch.tensor([0.8, 0.5, 0.2])
    line = fit_line(weights.view(-1, 1, 1, 1) * one + (1 - weights.view(-1, 1, 1, 1)) * other)
    assert line.places == pytest.approx(torch.tensor([0.0, 0.5, 1.0]), abs=1e-4)
    assert line.residual < 1e-6 and line.fits
    torch.testing.assert_close(line.start, 0.8 * one + 0.2 * other, atol=1e-5, rtol=0)
    found = unmix(line, find_ends(line))
    assert found[2] == pytest.approx(weights, abs=0.03)


def test_moving_and_identical_pictures_are_not_mixtures() -> None:
    moved = moving(5, 3, (4.0, 1.0))
    assert not survey(moved, context(unordered=True)).mixtures
    assert not survey(moved[:2], context(unordered=True)).mixtures
    assert not survey(moved[:1].expand(2, -1, -1, -1), context(unordered=True)).mixtures


def test_four_corners_give_a_homography() -> None:
    corners = torch.tensor([[[3.0, 2.0], [63.0, 0.0], [0.0, 50.0], [70.0, 44.0]]])
    matrix = homography_of(corners, (40, 60))[0]
    rim = torch.tensor([[0.0, 0.0, 1.0], [60.0, 0.0, 1.0], [0.0, 40.0, 1.0], [60.0, 40.0, 1.0]])
    put = rim @ matrix.T
    torch.testing.assert_close(put[:, :2] / put[:, 2:], corners[0], atol=1e-3, rtol=0)


def test_both_motions_are_tracked_in_the_sum() -> None:
    clip = 0.6 * moving(8, 5, (2.0, 0.5)) + 0.4 * moving(9, 5, (-1.5, 1.0))
    found = two_motions(clip)
    steps = [-2.0, -0.5], [1.5, -1.0]
    for placed in (found.dominant, found.other):
        apart = [distance(placed[1], translation(*step), (90, 160)) for step in steps]
        assert min(apart) < 1
    assert distance(found.dominant[4], found.other[4], (90, 160)) > 5


def test_motions_scale_with_the_size_of_the_frames() -> None:
    placed = [np.eye(3), translation(3.0, -2.0)], [np.eye(3), translation(-1.0, 4.0)]
    one, other = at_size(placed, (90, 160), (180, 320))
    np.testing.assert_allclose(one[1], translation(6.0, -4.0))
    np.testing.assert_allclose(other[1], translation(-2.0, 8.0))
    back = at_size((one, other), (180, 320), (90, 160))
    np.testing.assert_allclose(back[0][1], placed[0][1])


def test_large_frames_are_tracked_in_small_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.transparency.mosaic_search.TRACKED", 90 * 160 // 2)
    clip = 0.6 * moving(8, 3, (2.0, 0.5)) + 0.4 * moving(9, 3, (-1.5, 1.0))
    guesses = guess_motions(clip)
    assert len(guesses) == 6
    steps = [-2.0, -0.5], [1.5, -1.0]
    for found in (guesses[0], guesses[3]):
        assert (
            max(
                min(distance(layer[1], translation(*step), (90, 160)) for layer in found)
                for step in steps
            )
            < 1.3
        )


def translation(x: float, y: float) -> NDArray[np.float64]:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def test_the_flow_of_a_translation_is_the_translation() -> None:
    placed = [np.eye(3), translation(3.0, -2.0)]
    flow = flow_of(placed, (0, 1), (8, 10))
    assert flow.shape == (2, 8, 10)
    torch.testing.assert_close(flow[:, 4, 4], torch.tensor([3.0, -2.0]))


@pytest.mark.slow
@pytest.mark.parametrize("space", ["linear", "gamma"])
def test_two_moving_layers_are_separated(space: str) -> None:
    # The dimmer layer is the reflection; the layers pan in different directions.
    behind, reflected = 0.7 * moving(8, 7, (2.0, 0.5)), 0.3 * moving(9, 7, (-1.5, 1.0))
    frames = rounded(from_space(behind + reflected, space))
    _, separation = taken_apart(frames, context(space=space))
    for role, true in (("transmission", behind), ("reflection", reflected)):
        found = to_space(separation.layers[role], space)
        assert aligned(found, true) > aligned(to_space(frames, space), true) + 5
        assert aligned(found, true) > 27
    assert remixed(separation, frames) > 40


def test_all_windows_call_the_same_layer_transmission() -> None:
    one, other = 0.5 * moving(10, 6, (2.0, 0.0)), 0.4 * moving(11, 6, (-1.5, 1.0))
    frames = one + other
    known = small_frames(frames)[::3], small_frames(one)[::3]
    for found in ((one, other), (other, one)):
        torch.testing.assert_close(
            ordered_as_before(frames[2:], (found[0][2:], found[1][2:]), *known)[0], one[2:]
        )
    # Without common frames the names stay.
    torch.testing.assert_close(
        ordered_as_before(frames[4:5], (other[4:5], one[4:5]), *known)[0], other[4:5]
    )


def gravel(seed: int, size: tuple[int, int] = (120, 160)) -> Tensor:
    """Make the light of stones in sun and shade, black in between, ``(1, 3, H, W)``."""
    draw = torch.Generator().manual_seed(seed)
    stones = F.avg_pool2d(torch.rand(1, 1, size[0] + 2, size[1] + 2, generator=draw), 3, 1)
    stones = ((stones - 0.3) / 0.4).clamp(0, 1) ** 2
    shade = 0.3 + 0.7 * F.interpolate(
        torch.rand(1, 1, 4, 5, generator=draw), size, mode="bicubic"
    ).clamp(0, 1)
    return 0.5 * stones * shade * torch.tensor([1.0, 0.9, 0.7]).view(1, 3, 1, 1)


@pytest.mark.slow
def test_light_on_a_pane_is_found_from_texture_contrast() -> None:
    ground = gravel(21)
    veil = torch.zeros_like(ground)
    veil[..., 20:90, 90:150] = torch.tensor([0.12, 0.14, 0.2]).view(1, 3, 1, 1)
    found = light_from_contrast(ground + veil)
    inside, outside = found[..., 30:80, 100:140].mean(), found[..., :, :80].mean()
    assert 0.08 < inside < 0.2 and outside < 0.03
    assert light_from_contrast(ground).mean() < 0.02
    taken = guess_layers(ground + veil)
    seen = aligned((ground + veil) ** (1 / 2.2), ground ** (1 / 2.2))
    assert aligned(taken[0] ** (1 / 2.2), ground ** (1 / 2.2)) > seen + 0.3
    assert (
        aligned(taken[1] ** (1 / 2.2), veil ** (1 / 2.2))
        > aligned((ground + veil) ** (1 / 2.2), veil ** (1 / 2.2)) + 1
    )


def test_light_that_lifts_black_is_removed() -> None:
    ground = gravel(22)
    pane = torch.tensor([0.06, 0.05, 0.03]).view(1, 3, 1, 1) * torch.linspace(0.7, 1.3, 160)
    found = pane_light(ground + pane)
    assert 0.4 < float(found.mean() / pane.mean()) < 1.5
    assert found[:, 0].mean() > 1.2 * found[:, 2].mean()  # its colour
    transmission = guess_layers(ground + pane)[0]
    assert (
        psnr(transmission ** (1 / 2.2), ground ** (1 / 2.2))
        > psnr((ground + pane) ** (1 / 2.2), ground ** (1 / 2.2)) + 2
    )


@pytest.mark.slow
def test_a_picture_without_a_pane_hardly_changes() -> None:
    for picture in (gravel(23), scene(24)[None] ** 2.2):
        assert pane_light(picture).max() == 0
        assert psnr(guess_layers(picture)[0] ** (1 / 2.2), picture ** (1 / 2.2)) > 32


def test_a_single_picture_passes_through_unless_a_guess_is_wanted() -> None:
    picture = rounded(
        (gravel(22, (60, 80)) + torch.tensor([0.06, 0.05, 0.03]).view(1, 3, 1, 1)) ** (1 / 2.2)
    )
    _, kept = taken_apart(picture, context())
    assert torch.equal(rounded(kept.layers["transmission"]), picture)
    (note,) = kept.notes
    assert note.text.startswith("no reflection is believed") and note.places == (0,)
    assert remixed(kept, picture) > 45
    found = [
        taken_apart(picture, context(strength=strength))[1] for strength in (0.0, 1.0, 1.5, 2.0)
    ]
    forced = taken_apart(picture, context(force=True))[1]
    assert forced.notes[0].text == FORCED
    assert torch.equal(forced.layers["reflection"], found[-1].layers["reflection"])
    shares = [float(each.layers["reflection"].mean()) for each in found]
    assert shares[0] == shares[1] < shares[2] < shares[3]
    most = found[-1]
    assert (
        psnr(
            to_space(most.layers["transmission"], "linear"),
            guess_layers(to_space(picture, "linear"))[0],
        )
        > 60
    )


def test_the_strength_scales_reflections_of_clips_but_not_of_mixtures() -> None:
    light = torch.full((2, 3, 4, 5), 0.5)
    layers = light - 0.2, torch.full_like(light, 0.2)
    for strength, expected in ((0.0, 0.0), (0.5, 0.1), (1.0, 0.2), (2.0, 0.4), (3.0, 0.5)):
        transmission, reflection = with_scaled_reflection(layers, light, strength)
        torch.testing.assert_close(reflection, torch.full_like(light, expected))
        torch.testing.assert_close(transmission + reflection, light)
    pair = torch.stack([w * scene(1) + (1 - w) * scene(2) for w in (0.7, 0.35)])
    (note,) = taken_apart(rounded(pair), context(unordered=True, strength=2.0))[1].notes
    assert note.text.startswith("{strength} has no meaning for mixtures")


SIZES = [(1, 1, 1), (1, 37, 53), (2, 1, 1), (2, 37, 53), (3, 5, 200), (1, 2, 3)]


@pytest.mark.parametrize("unordered", [False, True])
@pytest.mark.parametrize("shape", SIZES)
def test_layers_of_any_size_and_length_mix_to_the_input(
    shape: tuple[int, int, int], unordered: bool
) -> None:
    count, height, width = shape
    frames = rounded(
        torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))
    )
    _holds(frames, context(unordered=unordered))


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_layers_of_constant_input_mix_to_it(count: int, value: float) -> None:
    for unordered in (False, True):
        _holds(torch.full((count, 3, 24, 40), value), context(unordered=unordered))


@pytest.mark.usually(1)
@pytest.mark.parametrize("count, unordered", [(1, False), (3, False), (2, True)])
def test_layers_of_the_published_method_mix_to_the_input(count: int, unordered: bool) -> None:
    frames = rounded(torch.stack([scene(seed, (32, 48)) for seed in range(count)]))
    told = SeparationContext(
        settings=FitSettings(preset="paper", max_seconds=0.5), unordered=unordered, space="gamma"
    )
    facts, separation = taken_apart(frames, told)
    assert facts.space == "gamma"
    if not facts.mixtures:
        assert remixed(separation, frames) > 40


def _holds(frames: Tensor, told: SeparationContext) -> None:
    _, separation = taken_apart(frames, told)
    assert set(separation.layers) == {"transmission", "reflection"}
    for name, layer in separation.layers.items():
        assert layer.shape == (
            1 if name in separation.shared else len(frames),
            3,
            *frames.shape[-2:],
        )
        assert layer.isfinite().all() and layer.min() >= 0 and layer.max() <= 1
    assert all(math.isfinite(value) for value in separation.report.values())
    assert remixed(separation, frames) > 40


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes() -> None:
    clip = rounded(
        0.7 * moving(14, 3, (2.0, 0.5), (40, 64)) + 0.3 * moving(15, 3, (-1.0, 1.0), (40, 64))
    )
    for frames in (clip, clip[:1]):
        first, second = (taken_apart(frames, context())[1].layers for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_settled_layers_add_up() -> None:
    frames = rounded(moving(16, 2, (1.0, 0.0), (24, 32)))
    facts = TransparencySurvey("linear", False, frames[:0], frames[:0])
    layers = {"transmission": 0.5 * frames, "reflection": 0.4 * frames}
    settled = settle(frames, layers, facts)
    torch.testing.assert_close(settled["reflection"], layers["reflection"], atol=1e-5, rtol=0)
    torch.testing.assert_close(mixed(settled, {"space": 1.0}), frames, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_budget_gives_a_plan_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    # Time that other programs take does not count.
    monkeypatch.setattr("time.monotonic", time.process_time)
    size = (45, 80)
    clip = rounded(0.7 * moving(17, 4, (2.0, 0.5), size) + 0.3 * moving(18, 4, (-1.0, 1.0), size))
    _, separation = taken_apart(clip, context(preset="best", max_seconds=1.0))
    assert separation.seconds["motion"] < 15


def test_a_plan_without_turns_still_adds_up() -> None:
    light = 0.7 * moving(19, 4, (2.0, 0.5), (40, 64)) + 0.3 * moving(20, 4, (-1.0, 1.0), (40, 64))
    layers = separate_clip(light, ClipPlan(20 * 32, 20 * 32, 5, 0, True), lambda done: None)
    torch.testing.assert_close(layers[0] + layers[1], light)
