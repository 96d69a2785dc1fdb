"""Dissolves of blurred scenes: told by missing detail, and undone as far as they show."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from clips import apart
from torch import Tensor

from stages.context import FitSettings
from stages.kinds import FILTERS
from stages.media.clip import Frames
from stages.mixing.filtering import filtered_mix
from stages.mixing.forward_model import Pair
from stages.mixing.psnr import psnr
from stages.shots import Transition
from stages.transition.filtered import (
    coarse_error_gain,
    filter_in,
    separate_filtered,
    variance_left,
)
from stages.transition.window import Window

SIZE = (40, 60)
CLEAN, MIXED = 4, 7
COUNT = 2 * CLEAN + MIXED


def scene(seed: int, slope: float = 0.1) -> Tensor:
    """Return a sharp picture whose brightness drifts by ``2 * slope``, ``(COUNT, 3, H, W)``."""
    picture = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(seed))
    drift = torch.linspace(-slope, slope, COUNT).view(-1, 1, 1, 1)
    return 0.2 + 0.6 * picture + drift


def transition() -> Transition:
    """Return the dissolve that the search would find."""
    mix = tuple((number + 1) / (MIXED + 1) for number in range(MIXED))
    return Transition(CLEAN, CLEAN + MIXED - 1, "dissolve", mix, outgoing=0, incoming=1)


def window(name: str | None) -> tuple[Window, Pair]:
    """Return a clip with one of FFmpeg's blurs, or a plain dissolve, and its scenes."""
    first, second = scene(1), scene(2, -0.1)
    frames = [*first[:CLEAN]]
    for number, weight in enumerate(transition().mix, CLEAN):
        sides = first[number], second[number]
        apply = FILTERS[name] if name else lambda picture, _: picture
        frames.append(filtered_mix(apply, sides, weight))
    pixels = torch.stack([*frames, *second[CLEAN + MIXED :]])
    times = tuple(Fraction(number, 25) for number in range(COUNT))
    return Window.of(Frames(pixels, times)), (first, second)


@pytest.mark.parametrize("name", [*FILTERS, None])
def test_a_filter_is_told_by_the_detail_that_is_missing(name: str | None) -> None:
    assert filter_in(window(name)[0], transition()) == name


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_is_told_in_a_film_with_bars(name: str) -> None:
    """FFmpeg's blocks count from the corner of the whole frame, so the bars take part in them."""
    first, second = (scene(seed, 0.0)[:, :, 5:-5] for seed in (1, 2))
    sides = [torch.nn.functional.pad(side, (0, 0, 5, 5)) for side in (first, second)]
    frames = sides[0].clone()
    frames[CLEAN + MIXED :] = sides[1][CLEAN + MIXED :]
    for number, weight in enumerate(transition().mix, CLEAN):
        frames[number] = filtered_mix(FILTERS[name], (sides[0][number], sides[1][number]), weight)
    times = tuple(Fraction(number, 25) for number in range(COUNT))
    assert apart(Frames(frames, times), transition(), settings=FitSettings("fast")).filter == name


@pytest.mark.parametrize("name", FILTERS)
def test_coarse_errors_of_held_frames_are_put_right(name: str) -> None:
    clip, scenes = window(name)
    layers: list[Pair] = []
    move = Transition(**{**vars(transition()), "kind": "blur", "effect": name})
    done = separate_filtered(
        clip, move, lambda *_: None, lambda _n, _f, pair, _m: layers.append(pair)
    )
    mixed = slice(CLEAN, CLEAN + MIXED)
    for side, held in ((0, CLEAN - 1), (1, CLEAN + MIXED)):
        found = torch.stack([pair[side] for pair in layers])
        true = scenes[side][mixed]
        assert psnr(found, true) > psnr(scenes[side][held].expand_as(true), true) + 1
    assert done.mix == pytest.approx(move.mix, abs=0.05)


def test_an_error_that_says_nothing_of_others_is_worth_nothing() -> None:
    clean = torch.zeros(3, *SIZE)
    assert coarse_error_gain(FILTERS["hblur"], 0.5, clean, torch.empty(0, 3, *SIZE)) == 0
    assert coarse_error_gain(
        FILTERS["hblur"], 0.5, clean, torch.ones(1, 3, *SIZE)
    ) == pytest.approx(1)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_leaves_an_even_picture_alone_and_is_gone_at_both_ends(name: str) -> None:
    picture = scene(3)[0]
    assert torch.allclose(FILTERS[name](torch.full_like(picture, 0.3), 0.5), torch.tensor(0.3))
    for progress in (0.0, 1.0):
        assert torch.allclose(FILTERS[name](picture, progress), picture, atol=1e-5)
        assert variance_left(FILTERS[name], progress, picture) == pytest.approx(1)
    assert variance_left(FILTERS[name], 0.5, picture) < 0.5
    assert float(FILTERS[name](picture, 0.5).var()) <= float(picture.var()) * 1.1
