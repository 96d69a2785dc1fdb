"""Test `segment` on synthetic clips with known layers, its parts, and any size and content."""

from __future__ import annotations

import pytest
import torch
from clips import drifting
from clips import psnr_of_all as psnr
from torch import Tensor

from stages.context import FitSettings, Separation, SeparationContext
from stages.push_pull import push_pull
from stages.segment.background import complete_background
from stages.segment.camera import camera_flow, fit_homographies, homography_flow
from stages.segment.generator_fit import neighbors
from stages.segment.layers import separate, settle
from stages.segment.log_odds import otsu
from stages.segment.motion import WindowMotion, find_motion, shown_motion
from stages.segment.odds_by_contrast import odds_by_contrast
from stages.segment.odds_by_speed import limited_by_shown_motion
from stages.segment.plate import find_plate
from stages.segment.survey import survey
from stages.segment.votes import local_vote

LITTLE = FitSettings(max_seconds=0.01)
"""The least work that a time budget can ask for."""


def take_apart(
    frames: Tensor, settings: FitSettings = LITTLE, hint: Tensor | None = None
) -> Separation:
    """Return what survey and separation make of ``frames`` (T, 3, H, W).

    hint: ``(1, 1, H, W)`` or ``(T, 1, H, W)`` in [0, 1].
    """
    context = SeparationContext(settings, hint=hint)
    return separate(frames, survey(frames, context), context)


def disc(
    frames: int,
    size: tuple[int, int],
    start: tuple[float, float],
    velocity: tuple[float, float],
    radius: float,
) -> Tensor:
    """Return a moving disc's matte ``(T, 1, H, W)``; start, velocity and radius are in pixels."""
    x, y = torch.arange(size[1]).float(), torch.arange(size[0]).float()[:, None]
    away = [
        ((x - start[0] - velocity[0] * t) ** 2 + (y - start[1] - velocity[1] * t) ** 2).sqrt()
        for t in range(frames)
    ]
    return (radius + 0.5 - torch.stack(away)[:, None]).clamp(0, 1)


def made(
    frames: int = 10, camera: tuple[float, float] = (0.0, 0.0), size: tuple[int, int] = (72, 96)
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a clip of a reddish disc that crosses a bluish texture, its background and its matte.

    camera: motion of the background in pixels a frame.
    """
    tint = torch.tensor([0.4, 0.7, 1.0]).view(1, 3, 1, 1)
    background = drifting(1, frames, camera, size) * tint
    velocity = (4.0, 0.5)
    foreground = 1 - drifting(2, frames, velocity, size) * tint
    matte = disc(frames, size, (28, 34), velocity, 13)
    return matte * foreground + (1 - matte) * background, background, matte


def overlap(found: Tensor, true: Tensor) -> float:
    """Return the mean intersection over union of two mattes, thresholded at 0.5."""
    one, other = found[:, 0] > 0.5, true[:, 0] > 0.5
    return float(((one & other).sum((1, 2)) / (one | other).sum((1, 2)).clamp_min(1)).mean())


def remix_psnr(frames: Tensor, layers: dict[str, Tensor]) -> float:
    """Return the PSNR in dB of what the layers, rounded to 8 bits, mix to against ``frames``."""
    foreground, background, matte = (
        (layers[name] * 255).round() / 255 for name in ("foreground", "background", "matte")
    )
    return psnr(matte * foreground + (1 - matte) * background, frames)


@pytest.mark.usually(1)
@pytest.mark.parametrize(
    ("camera", "least", "clean"), [((0.0, 0.0), 0.8, 32.0), ((-1.5, 0.5), 0.75, 26.0)]
)
def test_what_moves_against_the_camera_is_the_foreground(
    camera: tuple[float, float], least: float, clean: float
) -> None:
    frames, background, matte = made(camera=camera)
    layers = take_apart(frames).layers
    assert overlap(layers["matte"], matte) > least
    assert psnr(layers["background"], background) > clean > psnr(frames, background) + 8
    assert remix_psnr(frames, dict(layers)) > 40


@pytest.mark.slow
def test_a_slow_pan_over_a_smooth_place_is_no_fixed_camera() -> None:
    # Every frame and the slow disc agree with the median. Only the camera's motion is evidence.
    size, count = (72, 96), 12
    background = 0.5 + 0.12 * (drifting(1, count, (-0.5, 0.0), size) - 0.5)
    velocity = (0.4, 0.1)
    matte = disc(count, size, (40, 34), velocity, 14)
    frames = (
        matte * (0.5 + 0.3 * (drifting(2, count, velocity, size) - 0.5)) + (1 - matte) * background
    )
    facts = survey(frames, SeparationContext(LITTLE))
    assert find_plate(frames) is not None and facts.plate is None
    assert (
        survey(
            frames[:1].expand(count, -1, -1, -1) + 0.03 * torch.rand(count, 1, 1, 1),
            SeparationContext(LITTLE),
        ).plate
        is not None
    )
    assert overlap(separate(frames, facts, SeparationContext(LITTLE)).layers["matte"], matte) > 0.7


def test_flow_that_explains_nothing_is_not_believed() -> None:
    frames, _, matte = made(6, camera=(-1.0, 0.0))
    motion = find_motion(frames)
    shown = shown_motion(frames, motion)
    there, elsewhere = matte[:, 0] > 0.9, matte[:, 0] < 0.01
    assert (
        float(shown[there].median()) > 5 * float(shown[elsewhere].median())
        and float(shown.min()) >= 0
    )
    # Over a plain picture, the same flow is no evidence.
    plain = torch.full_like(frames, 0.4)
    assert float(shown_motion(plain, motion).max()) < 1e-4
    odds = torch.full_like(shown, 2.0)
    slow = torch.full_like(shown, 0.2)
    assert bool((limited_by_shown_motion(odds, torch.zeros_like(shown), slow) == 0).all())
    assert bool(
        (
            limited_by_shown_motion(odds, torch.full_like(shown, 0.05), 100 * slow)
            > limited_by_shown_motion(odds, torch.full_like(shown, 0.05), slow)
        ).all()
    )
    assert bool(
        (limited_by_shown_motion(odds, torch.where(there, 1.0, 0.0), slow)[there] > 1).all()
    )
    assert bool((limited_by_shown_motion(-odds, shown, slow) == -2).all())


@pytest.mark.slow
def test_who_comes_and_stays_is_no_background() -> None:
    frames, background, matte = made(16)
    still = 8  # from here on the disc rests
    frames[still:], matte[still:] = frames[still : still + 1], matte[still : still + 1]
    layers = take_apart(frames).layers
    assert overlap(layers["matte"][still:], matte[still:]) > 0.7
    assert psnr(layers["background"], background) > 27


def test_a_picture_gives_what_stands_out() -> None:
    frames, _, _ = made(1)
    matte = disc(1, (72, 96), (50, 36), (0, 0), 15)
    picture = matte * torch.tensor([0.9, 0.2, 0.1]).view(1, 3, 1, 1) + (1 - matte) * (
        0.5 + 0.2 * (made(1)[1] - 0.5)
    )
    layers = take_apart(picture).layers
    assert overlap(layers["matte"], matte) > 0.85
    assert float(layers["background"][0, 0].max()) < 0.75, (
        "the disc's red is still in the background"
    )
    assert remix_psnr(picture, dict(layers)) > 40


def test_a_hint_decides_between_two() -> None:
    size = (72, 96)
    left, right = disc(1, size, (28, 36), (0, 0), 13), disc(1, size, (70, 36), (0, 0), 13)
    red, green = (
        torch.tensor([0.9, 0.2, 0.1]).view(1, 3, 1, 1),
        torch.tensor([0.1, 0.8, 0.2]).view(1, 3, 1, 1),
    )
    picture = (
        left * red + right * green + (1 - left - right) * (0.4 + 0.1 * drifting(3, 1, (0, 0), size))
    )
    box = torch.zeros(1, 1, *size)
    box[..., 20:52, 54:86] = 1
    strokes = torch.zeros(1, 1, *size)
    strokes[..., 34:38, 64:77] = 1
    for hint in (box, strokes):
        assert overlap(take_apart(picture, hint=hint).layers["matte"], right) > 0.8


def test_a_window_without_motion_uses_what_the_whole_clip_shows() -> None:
    frames, background, matte = made(24)
    context = SeparationContext(LITTLE)
    resting = frames[12:13].expand(4, -1, -1, -1).clone()
    layers = separate(resting, survey(frames, context), context).layers
    assert overlap(layers["matte"], matte[12:13]) > 0.8
    assert psnr(layers["background"], background[:1]) > 23


def test_an_empty_window_stays_empty() -> None:
    frames, background, _ = made(12)
    context = SeparationContext(LITTLE)
    layers = separate(background[:4].clone(), survey(frames, context), context).layers
    assert float(layers["matte"].max()) < 0.5
    assert psnr(layers["background"], background[:4]) > 40


@pytest.mark.usually(4)
@pytest.mark.parametrize(
    ("size", "count", "content"),
    [
        ((1, 1), 1, "noise"),
        ((1, 1), 3, "noise"),
        ((2, 3), 2, "noise"),
        ((8, 8), 3, "black"),
        ((37, 53), 1, "noise"),
    ]
    + [((37, 53), 2, "noise"), ((37, 53), 3, "white"), ((37, 53), 1, "black")],
    ids=str,
)
def test_any_size_and_content(size: tuple[int, int], count: int, content: str) -> None:
    noise = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))
    frames = {"noise": noise, "black": torch.zeros_like(noise), "white": torch.ones_like(noise)}[
        content
    ]
    found = take_apart(frames)
    for name, channels in (("foreground", 3), ("background", 3), ("matte", 1)):
        layer = found.layers[name]
        assert layer.shape == (count, channels, *size)
        assert (
            bool(torch.isfinite(layer).all()) and 0 <= float(layer.min()) <= float(layer.max()) <= 1
        )
    assert remix_psnr(frames, dict(found.layers)) > 40
    assert found.report["reconstruction_psnr"] > 40


@pytest.mark.usefixtures("short_fits")
def test_same_seed_same_bytes() -> None:
    frames, _, _ = made(4)
    settings = FitSettings(preset="fast", seed=3)
    one, other = (take_apart(frames[:, :, 20:52, 10:58], settings).layers for _ in range(2))
    for name, layer in one.items():
        assert torch.equal(layer, other[name]), name


@pytest.mark.slow
def test_the_published_method_runs() -> None:
    frames, _, matte = made(3)
    found = take_apart(frames, FitSettings(preset="paper", max_seconds=0.01))
    assert remix_psnr(frames, dict(found.layers)) > 40
    assert found.layers["matte"].shape == matte.shape


def test_homographies_come_back_in_spite_of_a_foreground() -> None:
    true = torch.tensor(
        [[1.02, 0.01, 0.03], [-0.015, 0.99, -0.02], [0.01, 0.005, 1.0]], dtype=torch.float64
    )[None]
    flow = homography_flow(true, (60, 80))
    flow[:, :, 20:45, 25:60] += 5
    torch.testing.assert_close(fit_homographies(flow.float()), true, atol=2e-3, rtol=0)


def test_a_plain_shift_is_the_camera() -> None:
    flow = torch.tensor([3.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 30, 40).clone()
    torch.testing.assert_close(camera_flow(flow), flow, atol=1e-2, rtol=0)


def test_motion_is_what_is_left_of_the_camera() -> None:
    frames, _, matte = made(6, camera=(-1.5, 0.5))
    motion = find_motion(frames)
    inside, outside = disc(6, (72, 96), (28, 34), (4.0, 0.5), 9)[:, 0] > 0.5, matte[:, 0] == 0
    residual = motion.residual.permute(0, 2, 3, 1)
    assert (residual[inside].median(0).values - torch.tensor([5.5, 0.0])).norm() < 0.7
    assert float(motion.speed[outside].median()) < 0.3


def still_motion(frames: int, size: tuple[int, int]) -> WindowMotion:
    """Return the motion of a window in which nothing moves, with full trust."""
    flow, trust = torch.zeros(frames - 1, 2, *size), torch.ones(frames - 1, 1, *size)
    return WindowMotion(flow, flow, flow, flow, trust, trust, torch.zeros(frames, 2, *size))


def test_what_moved_once_is_remembered_both_ways() -> None:
    matte = torch.zeros(3, 1, 2, 2)
    matte[1, 0, 0, 0] = 1
    carried = still_motion(3, (2, 2)).largest_along_flow(matte)
    torch.testing.assert_close(carried[:, 0, 0, 0], torch.tensor([0.98, 1.0, 0.98]))
    assert float(carried[:, 0, 1, 1].max()) == 0


def test_hidden_pixels_are_looked_up_along_the_background() -> None:
    frames, background, matte = made(10, camera=(-2.0, 0.0))
    flow = torch.tensor([-2.0, 0.0]).view(1, 2, 1, 1).expand(9, 2, 72, 96)
    trust = torch.ones(9, 1, 72, 96)
    motion = WindowMotion(flow, -flow, flow, -flow, trust, trust, torch.zeros(10, 2, 72, 96))
    found, missing = complete_background(frames, matte, motion, None)
    seen = (matte > 0.5) & ~missing
    assert float(seen.sum() / (matte > 0.5).sum()) > 0.9
    assert psnr(found[seen.expand_as(found)], background[seen.expand_as(found)]) > 33


def test_unknown_values_come_from_around() -> None:
    values = torch.full((1, 1, 9, 7), 0.25)
    known = torch.ones_like(values, dtype=torch.bool)
    known[..., 2:6, 1:6] = False
    torch.testing.assert_close(push_pull(torch.where(known, values, 9.0), known), values)
    assert float(push_pull(values, torch.zeros_like(known)).abs().max()) == 0


def test_a_plate_needs_a_still_camera() -> None:
    assert find_plate(made(8, camera=(-3.0, 1.0))[0]) is None
    frames, background, _ = made(8)
    plate = find_plate(frames)
    assert plate is not None
    assert (
        psnr(
            plate.picture[plate.trusted.expand(3, -1, -1)],
            background[0][plate.trusted.expand(3, -1, -1)],
        )
        > 40
    )


def test_settled_layers_mix_to_the_input() -> None:
    generator = torch.Generator().manual_seed(0)
    frames, foreground, background, matte = (
        torch.rand(2, c, 8, 9, generator=generator) for c in (3, 3, 3, 1)
    )
    matte = matte.round()
    layers = settle(frames, {"foreground": foreground, "background": background, "matte": matte})
    torch.testing.assert_close(
        matte * layers["foreground"] + (1 - matte) * layers["background"], frames
    )


def test_otsu_parts_two_groups() -> None:
    threshold = otsu(torch.cat([torch.linspace(0, 1, 100), torch.linspace(5, 6, 50)]))
    assert 0.9 < threshold < 5.1


def test_close_pixels_of_one_color_decide_for_an_unsure_one() -> None:
    # The left half of the picture has a red foreground, the right half a red background.
    red, gray = torch.tensor([0.9, 0.2, 0.1]).view(3, 1, 1), torch.full((3, 1, 1), 0.5)
    frames = gray.expand(3, 60, 100).clone()
    frames[:, 20:40, 10:30] = frames[:, 20:40, 70:90] = red
    odds = torch.full((1, 60, 100), -3.0)
    odds[:, 20:40, 10:30] = 3.0
    odds[:, 28:32, 18:22] = odds[:, 28:32, 78:82] = 0.0
    found = local_vote(frames[None], odds)
    assert found.shape == odds.shape
    assert float(found[0, 30, 20]) > 1 and float(found[0, 30, 80]) < -1


def test_a_thin_limb_that_moves_has_flow_of_its_own() -> None:
    # The limb is six pixels wide. On frames of this size, DIS takes it for background and finds
    # half a pixel of motion.
    size, count, velocity = (72, 96), 4, (3.0, 0.0)
    background = drifting(1, count, (0.0, 0.0), size)
    foreground = drifting(2, count, velocity, size)
    limb = torch.zeros(count, 1, *size)
    for t in range(count):
        limb[t, :, 15:60, 40 + 3 * t : 46 + 3 * t] = 1
    speed = find_motion(limb * foreground + (1 - limb) * background).speed
    far = torch.ones_like(limb[0, 0], dtype=torch.bool)
    far[:, 30:65] = False
    assert float(speed[1][limb[1, 0] > 0].median()) > 1.2
    assert float(speed[1][far].median()) < 0.3


def test_a_plain_picture_has_no_foreground() -> None:
    assert float(odds_by_contrast(torch.full((1, 3, 12, 16), 0.5)).max()) < 0


def test_frames_are_drawn_in_pairs() -> None:
    drawn = neighbors(9, 6)(torch.Generator().manual_seed(0)).tolist()
    assert drawn == sorted(set(drawn)) and all(
        frame - 1 in drawn or frame + 1 in drawn for frame in drawn
    )
    assert neighbors(1, 6)(torch.Generator()).tolist() == [0]
