"""A film's picture is found between its bars, and its layers get the bars back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stages.context import FitSettings, Separation, SeparationContext
from stages.dark_bars import Border, BorderWatch, dark_border
from stages.hint_regions import HintRegion


def pictures(seed: int, count: int = 3) -> Tensor:
    """Return ``(count, 3, 48, 80)`` without a dark edge."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 10, generator=generator)
    return functional.interpolate(coarse, (48, 80), mode="bicubic").clamp(0, 1) * 0.6 + 0.3


def drawn_border(seed: int, least: int = 2) -> Border:
    """Return bars at two or four sides of the pictures, of ``least`` lines or more."""
    rng = np.random.default_rng(seed)
    top, left = int(rng.integers(least, least + 10)), int(rng.integers(least, least + 18))
    return [Border(top, top + 1), Border(0, 0, left, left), Border(top, top, left, left + 2)][
        int(rng.integers(3))
    ]


def with_bars(frames: Tensor, border: Border, level: float = 0.0) -> Tensor:
    """Return the frames with bars around them."""
    sides = (border.left, border.right, border.top, border.bottom)
    return functional.pad(frames, sides, value=level)


def watched(frames: Tensor, sample: Tensor) -> Border:
    """Return the border of all frames, as the pipeline finds it."""
    watch = BorderWatch()
    for frame in frames:
        watch.add(frame)
    return watch.border(sample)


@pytest.mark.parametrize("seed", range(12))
def test_the_picture_between_the_bars_is_found(seed: int) -> None:
    border = drawn_border(seed)
    frames = with_bars(pictures(seed), border, level=[0, 16 / 255][seed % 2])
    assert watched(frames, frames[::2]) == border
    assert torch.equal(border.cropped(frames), pictures(seed))


@pytest.mark.parametrize("seed", range(8))
def test_bars_of_a_compressed_picture_are_found(seed: int) -> None:
    border = drawn_border(seed, least=10)
    frame = with_bars(pictures(seed, 1), border)[0].permute(1, 2, 0).mul(255).byte().numpy()
    written = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    read = torch.from_numpy(cv2.imdecode(written, cv2.IMREAD_COLOR)).permute(2, 0, 1).float() / 255
    found = watched(read[None], read[None])
    assert bool(found)
    for side in ("top", "bottom", "left", "right"):
        assert abs(getattr(border, side) - getattr(found, side)) <= 1


def test_pictures_without_bars_have_none() -> None:
    frames = pictures(1)
    assert not watched(frames, frames)
    one_dark_edge = with_bars(frames, Border(bottom=9))
    assert dark_border(one_dark_edge) and not watched(one_dark_edge, one_dark_edge)
    black = torch.zeros(2, 3, 48, 80)
    assert not watched(black, black)


@pytest.mark.parametrize("seed", range(4))
def test_a_thing_on_black_is_no_picture_between_bars(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:90, 0:160]
    center, radius = rng.uniform([35, 60], [55, 100]), rng.uniform(15, 28)
    disc = np.hypot(rows - center[0], columns - center[1]) < radius
    frame = torch.from_numpy(disc).float().expand(1, 3, 90, 160) * 0.8
    frame[..., int(center[0]) :, int(center[1])] = 0.7
    assert not watched(frame, frame)


def test_one_frame_that_fills_the_frame_ends_the_bars() -> None:
    frames = with_bars(pictures(2), Border(6, 6))
    frames[1] = pictures(3, 1)[0].repeat(1, 2, 1)[:, :60]
    assert not watched(frames, frames[:1])
    frames[1] = 0
    assert watched(frames, frames[:1]) == Border(6, 6)


def test_layers_get_the_bars_back_and_mix_to_the_input() -> None:
    border = Border(5, 4, 7, 8)
    frames = with_bars(pictures(4), border, level=0.05)
    picture = border.cropped(frames)
    matte, light = torch.rand(3, 1, 48, 80), torch.rand(1, 3, 1, 1).expand(1, 3, 48, 80)
    inner = Separation({"background": picture, "matte": matte, "light": light})
    outer = border.separation_with_border(
        inner, {"background": "input", "matte": "none"}, frames
    ).layers
    assert torch.equal(outer["background"], frames)
    assert torch.equal(border.cropped(outer["matte"]), matte)
    assert float(outer["matte"].sum()) == pytest.approx(float(matte.sum()))
    assert torch.equal(outer["light"], light[..., :1, :1].expand(1, 3, *frames.shape[-2:]))
    assert torch.equal(border.with_border(matte, "all", frames)[..., 0, :], torch.ones(3, 1, 95))


def test_hints_and_earlier_layers_lose_the_bars() -> None:
    border = Border(6, 6)
    mask = torch.zeros(60, 80, dtype=torch.bool)
    mask[10:20, 30:40] = True
    in_the_bar = torch.zeros(60, 80, dtype=torch.bool)
    in_the_bar[:3] = True
    context = SeparationContext(
        FitSettings(),
        hint=mask[None, None].float(),
        hint_regions=(HintRegion(mask), HintRegion(in_the_bar, foreground=False)),
        before={"matte": torch.rand(2, 1, 60, 80)},
    )
    inner = border.cropped_context(context)
    (region,) = inner.hint_regions
    assert region.bounds == (4, 14, 30, 40)
    assert inner.hint is not None and inner.hint.shape[-2:] == (48, 80)
    assert inner.before["matte"].shape == (2, 1, 48, 80)
    assert inner.earlier_matte is None and inner.origin == (6, 0)
