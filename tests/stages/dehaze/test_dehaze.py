"""Tests on made haze, whose clear picture, transmission and airlight are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from clips import psnr
from haze_clips import SIZE, context, faults, haze, scene, solve, veil
from torch import Tensor

from stages.context import FORCED, Separation
from stages.dehaze.airlight import blue_sky, find_airlight
from stages.dehaze.field import find_field
from stages.dehaze.floors import find_floors
from stages.dehaze.layers import _at_full_size, consistent_layers, separate, settle, survey
from stages.dehaze.model import (
    dark_bound,
    guided,
    least_transmission,
    over_picture,
    rounded,
)
from stages.dehaze.veil import envelope, find_ties, transmission_of
from stages.dehaze.veil_color import veil_color


def test_black_meets_the_bound_and_nothing_lies_below_it() -> None:
    light, t = torch.full((1, 3, 1, 1), 0.9), veil()
    clear = scene()
    bound = dark_bound(haze(clear, t, light), light)
    assert bool((bound <= t + 1e-5).all())
    black = clear.amin(1, keepdim=True) == 0
    assert torch.allclose(bound[black], t[black], atol=1e-5)


def test_the_guided_filter_keeps_an_affine_function_of_the_guide() -> None:
    guide = scene()
    signal = 0.3 * guide[:, :1] - 0.2 * guide[:, 1:2] + 0.4
    assert torch.allclose(guided(guide, signal, guide, 4, 1e-8), signal, atol=2e-3)
    flat = torch.full_like(signal, 0.5)
    assert torch.allclose(guided(guide, flat, guide, 4, 1e-3), flat, atol=1e-5)


def test_the_envelope_finds_the_transmission_and_ignores_a_white_wall() -> None:
    clear, t, light = scene(), veil(), torch.ones(1, 3, 1, 1)
    clear[..., 20:50, 30:60] = 0.9
    hazy = haze(clear, t, light)
    found = torch.nn.functional.interpolate(
        transmission_of(envelope(hazy, light), 0.0), size=SIZE, mode="bilinear"
    )
    assert float((found - t).abs().mean()) < 0.06
    assert float((found - t)[..., 25:45, 35:55].abs().mean()) < 0.1


@pytest.mark.parametrize("light", [(1.0, 1.0, 1.0), (0.8, 0.8, 0.8)])
def test_the_airlight_is_found_without_an_opaque_place(light: tuple[float, ...]) -> None:
    # Some of the scene is white, as in any picture with a highlight.
    found, _ = find_airlight(haze(scene(), veil(), torch.tensor(light).view(1, 3, 1, 1)), 0.03)
    assert torch.allclose(found.flatten(), torch.tensor(light), atol=0.06)


def test_a_colored_sky_gives_the_airlight_its_color() -> None:
    light = torch.tensor([0.85, 0.78, 0.65])
    t = veil().clone()
    t[..., : SIZE[0] // 3, :] = 0
    found, seen = find_airlight(haze(scene() * 0.9, t, light.view(1, 3, 1, 1)), 0.03)
    assert torch.allclose(found.flatten(), light, atol=0.05)
    assert seen > 0.5


def test_a_blue_sky_is_neither_a_gray_one_nor_a_blue_thing_below() -> None:
    picture = scene()
    assert blue_sky(picture) < 0.05
    for color, place, least, most in (
        ((0.5, 0.6, 0.75), slice(0, 24), 0.9, 1.0),
        ((0.7, 0.7, 0.7), slice(0, 24), 0.0, 0.05),
        ((0.5, 0.6, 0.75), slice(40, 64), 0.0, 0.05),
    ):
        seen = picture.clone()
        seen[:, :, place] = torch.tensor(color).view(1, 3, 1, 1)
        assert least <= blue_sky(seen) <= most


def uneven(kind: str, size: tuple[int, int] = SIZE) -> Tensor:
    """Make an airlight ``(1, 3, H, W)`` that varies slowly.

    kind: 15 % from left to right, a glow around a lamp, or another tint on each side.
    """
    x, y = (
        torch.linspace(0, 1, size[1]).expand(size),
        torch.linspace(0, 1, size[0])[:, None].expand(size),
    )
    if kind == "tint":
        return torch.stack([0.85 + 0.1 * x, 0.87 + 0 * x, 0.95 - 0.1 * x])[None]
    light = {
        "even": 0.9 + 0 * x,
        "across": 0.9 - 0.135 * x,
        "glow": 0.675 + 0.225 * torch.exp(-((x - 0.3) ** 2 + (y - 0.1) ** 2) / 0.08),
    }
    return light[kind].expand(1, 3, *size)


def below_a_sky() -> Tensor:
    t = veil().clone()
    t[..., : SIZE[0] // 3, :] = 0
    return t


@pytest.mark.parametrize(
    ("kind", "sky", "part", "gain"),
    [
        ("glow", True, 0.4, 1.0),
        ("across", False, 0.2, 0.5),
        ("tint", False, 0.3, 1.0),
    ],
)
def test_a_field_fits_a_varying_airlight_better_than_one_color(
    kind: str, sky: bool, part: float, gain: float
) -> None:
    # At most `part` of the error of one colour is left; the clear picture gains `gain` dB.
    light, t, clear = uneven(kind), below_a_sky() if sky else veil(), scene()
    hazy = rounded(haze(clear, t, light))
    # All haze is removed, whatever the evidence, because airlights are compared.
    facts, told = replace(survey(hazy, context()), sure=1.0), context()
    assert facts.airlight is not None and facts.airlight.shape[-1] > 1
    one = replace(facts, airlight=rounded(find_airlight(hazy, 0.03)[0]))
    field, const = (separate(hazy, which, told).layers for which in (facts, one))
    wrong, before = (
        float((layers["airlight"] / light - 1).abs().mean()) for layers in (field, const)
    )
    assert wrong < part * before
    below = slice(SIZE[0] // 3 if sky else 0, None)  # the sky shows nothing of it
    assert (
        psnr(field["clear"][:, :, below], clear[:, :, below])
        > psnr(const["clear"][:, :, below], clear[:, :, below]) + gain
    )
    assert not faults(hazy, separate(hazy, facts, told))


@pytest.mark.parametrize("sky", [True, False])
def test_one_color_stays_one_color(sky: bool) -> None:
    found = survey(
        rounded(haze(scene(), below_a_sky() if sky else veil(), uneven("even"))), context()
    ).airlight
    assert found is not None and float(found.amax((2, 3)).div(found.amin((2, 3))).max()) < 1.02
    assert torch.allclose(found.mean((2, 3)), torch.tensor(0.9), atol=0.02)


def test_a_wall_and_a_tiny_picture_make_no_field() -> None:
    one = torch.full((1, 3, 1, 1), 0.9)
    wall = scene()
    wall[..., :40, :60] = uneven("across")[..., :40, :60]
    assert torch.equal(find_field(wall, one, 0.03, in_view=0.0), one)
    assert find_field(wall, one, 0.03, in_view=1.0).shape[-1] > 1
    assert torch.equal(find_field(wall[..., :12, :12], one, 0.03, in_view=1.0), one)


def test_a_field_is_smooth_and_one_color_is_left_alone() -> None:
    one = torch.full((1, 3, 1, 1), 0.8)
    assert torch.equal(over_picture(one, SIZE), one)
    field = torch.linspace(0.6, 0.9, 24).view(1, 1, 4, 6).expand(1, 3, 4, 6)
    wide = over_picture(field, SIZE)
    assert wide.shape == (1, 3, *SIZE) and float(wide.min()) > 0.55 and float(wide.max()) < 0.95
    assert float(wide.diff(dim=-1).abs().max()) < 0.01


def test_a_clip_has_one_field() -> None:
    light = uneven("across")
    frames = rounded(haze(scene(5), below_a_sky(), light))
    facts = survey(frames, context())
    separated = separate(frames, facts, context())
    assert separated.shared == {"airlight"} and separated.layers["airlight"].shape == (1, 3, *SIZE)
    assert not faults(frames, separated)
    faded = dict(separated.layers) | {
        "transmission": (separated.layers["transmission"] + 0.1).clamp(max=1)
    }
    assert not faults(frames, Separation(settle(frames, faded, facts)))


def test_layers_of_a_picture() -> None:
    clear, t, light = scene(), veil(), torch.full((1, 3, 1, 1), 0.95)
    hazy = rounded(haze(clear, t, light))
    separated = solve(hazy)
    assert psnr(separated.layers["clear"], clear) > 22 > psnr(hazy, clear) + 6
    assert psnr(separated.layers["transmission"], t) > 22
    assert separated.report["reconstruction_psnr"] > 45


def test_a_clear_picture_passes_through_with_a_note() -> None:
    clear = rounded(scene())
    facts = survey(clear, context())
    separated = separate(clear, facts, context())
    assert facts.sure == 0 and torch.equal(separated.layers["clear"], clear)
    (note,) = separated.notes
    assert note.text.startswith("no haze found") and note.places == (0,)
    assert not faults(clear, separated)


def test_a_bright_wall_and_a_sky_are_not_haze() -> None:
    picture = scene()
    picture[..., :24, :] = torch.tensor([0.7, 0.8, 0.95]).view(1, 3, 1, 1)
    picture[..., 30:60, 40:80] = 0.9
    assert survey(rounded(picture), context()).sure == 0


@pytest.mark.slow
def test_evidence_grows_with_the_haze_without_a_jump() -> None:
    light = torch.full((1, 3, 1, 1), 0.95)
    found = [
        survey(rounded(haze(scene(), veil() ** depth, light)), context()).sure
        for depth in torch.linspace(0, 1.4, 29).tolist()
    ]
    assert found[0] == 0 and found[-1] == 1 and 0 < found[14] < 1
    assert all(-0.02 <= after - before < 0.4 for before, after in pairwise(found))


def test_the_strength_scales_what_is_removed() -> None:
    hazy, clear = rounded(haze(scene(), veil(), torch.full((1, 3, 1, 1), 0.95))), rounded(scene())
    found = [
        solve(hazy, replace(context(), strength=strength)) for strength in (0.0, 0.5, 1.0, 2.0)
    ]
    assert torch.equal(found[0].layers["clear"], hazy) and "{strength} 0" in found[0].notes[0].text
    through = [float(each.layers["transmission"].mean()) for each in found]
    assert through == sorted(through, reverse=True) and len(set(through)) == 4
    for each in found:
        assert not faults(hazy, each)
    more = solve(clear, replace(context(), strength=2.0))
    assert not more.notes and not torch.equal(more.layers["clear"], clear)
    forced = solve(clear, replace(context(), force=True))
    assert forced.notes[0].text == FORCED
    assert torch.equal(forced.layers["clear"], more.layers["clear"])


def test_a_blue_veil_colors_the_airlight_and_a_brown_ground_does_not() -> None:
    blue, white = torch.tensor([0.8, 0.88, 1.0]).view(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    found = veil_color(find_floors(rounded(haze(scene(), veil() ** 2, blue)), white), white)
    assert float((found - blue).abs().max()) < 0.3 * float((white - blue).abs().max())
    brown = scene() * torch.tensor([0.9, 0.7, 0.4]).view(1, 3, 1, 1) + torch.tensor(
        [0.1, 0.07, 0.03]
    ).view(1, 3, 1, 1)
    assert torch.equal(veil_color(find_floors(rounded(brown), white), white), white)


def test_a_clip_does_not_flicker() -> None:
    clear, light = scene(8), torch.full((1, 3, 1, 1), 0.95)
    separated = solve(rounded(haze(clear, veil(), light)))
    found = separated.layers["clear"]
    assert psnr(found, clear) > 22
    change = (found.mean((1, 2, 3)) - clear.mean((1, 2, 3))).diff()
    assert float(change.abs().max()) < 0.01
    assert float(separated.layers["transmission"].diff(dim=0).abs().mean()) < 0.02
    assert separated.shared == {"airlight"}


def test_ties_hold_consecutive_frames_together() -> None:
    clear, light = scene(4), torch.ones(1, 3, 1, 1)
    hazy = haze(clear, veil(), light)
    # One frame differs from its neighbours.
    hazy[2] = 0.2 + 0.8 * hazy[2]
    spread = [
        float(envelope(hazy, light, ties)[:, 0].mean((1, 2)).std())
        for ties in (None, find_ties(hazy))
    ]
    assert spread[1] < 0.6 * spread[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (5, 3), (37, 53)])
@pytest.mark.parametrize("count", [1, 2])
def test_any_size_and_length(size: tuple[int, int], count: int) -> None:
    frames = rounded(torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1)))
    assert not faults(frames, solve(frames))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_frames(value: float) -> None:
    frames = torch.full((2, 3, 24, 32), value)
    assert not faults(frames, solve(frames))


@pytest.mark.parametrize("preset", ["fast", "balanced", "best", "paper"])
def test_presets_and_budgets(preset: str) -> None:
    frames = rounded(haze(scene(2, (32, 40)), veil((32, 40)), torch.full((1, 3, 1, 1), 0.9)))
    assert not faults(frames, solve(frames, context(preset, seconds=1.0)))


def test_the_same_seed_gives_the_same_bytes() -> None:
    frames = rounded(haze(scene(2), veil(), torch.full((1, 3, 1, 1), 0.9)))
    one, two = solve(frames), solve(frames)
    assert all(torch.equal(one.layers[name], two.layers[name]) for name in one.layers)


def test_layers_between_two_windows_mix_to_the_input_again() -> None:
    frames = rounded(haze(scene(), veil(), torch.full((1, 3, 1, 1), 0.9)))
    facts = survey(frames, context())
    layers = dict(separate(frames, facts, context()).layers)
    faded = layers | {
        "transmission": (layers["transmission"] + 0.1).clamp(max=1),
        "clear": layers["clear"] * 0.9,
    }
    assert not faults(frames, Separation(settle(frames, faded, facts)))


def test_a_transmission_is_raised_rather_than_the_picture_clipped() -> None:
    frames, light = scene(), torch.full((1, 3, 1, 1), 0.9)
    t, clear = consistent_layers(frames, torch.full((1, 1, *SIZE), 0.1), light)
    assert bool((t >= least_transmission(frames, light) - 1e-5).all())
    assert psnr(haze(clear, t, light), frames) > 59


def test_the_published_transmission_is_drawn_onto_edges_with_a_radius_of_50() -> None:
    frame = scene(size=(144, 192))
    small, thick = frame[..., ::2, ::2], veil((72, 96), near=0.2, far=0.02)
    found = _at_full_size(small, thick, frame, published=True)
    published = guided(small, thick, frame, 50, 1e-4).clamp(0.1, 1)
    assert torch.equal(found, published) and float(found.min()) == pytest.approx(0.1)
    assert not torch.allclose(found, guided(small, thick, frame, 25, 1e-4).clamp(0.1, 1))
    assert not torch.allclose(found, _at_full_size(small, thick, frame, published=False))
