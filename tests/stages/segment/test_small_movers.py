"""Something small that crosses a fixed scene is found, and what flickers in its place is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.segment.plate import Plate
from stages.segment.small_movers import small_movers
from stages.segment.survey import survey

COUNT, HEIGHT, WIDTH = 16, 60, 106
SIDE = 4
"""Side of the small thing, in pixels."""
NOTHING = torch.zeros(COUNT, HEIGHT, WIDTH, dtype=torch.bool)


def _scene(seed: int) -> tuple[Tensor, Plate]:
    """Return noisy frames ``(T, 3, h, w)`` of a textured scene that stands still, and the scene."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 8, 14, generator=random)
    picture = 0.2 + 0.5 * torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear")
    noise = 0.01 * torch.randn(COUNT, 3, HEIGHT, WIDTH, generator=random)
    trusted = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    return (picture + noise).clamp(0, 1), Plate(picture[0], trusted)


def _squares(seed: int, *, crossing: bool) -> Tensor:
    """Return where a small square is, ``(T, h, w)`` of bool: on its way, or anywhere near a place.

    crossing: whether it moves on from frame to frame.
    """
    random = torch.Generator().manual_seed(seed)
    begin = torch.tensor([10.0, 10.0]) + 20 * torch.rand(2, generator=random)
    step = torch.tensor([1.0, 3.0]) * (0.5 + 0.5 * torch.rand(2, generator=random))
    mask = torch.zeros(COUNT, HEIGHT, WIDTH, dtype=torch.bool)
    for t in range(COUNT):
        shaken = begin + SIDE * torch.rand(2, generator=random)
        top, left = (begin + t * step if crossing else shaken).round().int().tolist()
        mask[t, top : top + SIDE, left : left + SIDE] = True
    return mask


@pytest.mark.parametrize("seed", range(6))
def test_what_crosses_is_found_and_nothing_else(seed: int) -> None:
    frames, plate = _scene(seed)
    true = _squares(seed, crossing=True)
    found = small_movers(torch.where(true[:, None], 0.95, frames), plate, NOTHING)
    overlap = (found & true).sum((1, 2)) / (found | true).sum((1, 2))
    # Differences are averaged over squares of three pixels, so spots are a pixel too large.
    assert float(overlap.min()) > 0.35
    assert bool((found & ~true).sum() < 2.5 * true.sum())


@pytest.mark.parametrize("seed", range(6))
def test_what_flickers_in_its_place_is_not_found(seed: int) -> None:
    frames, plate = _scene(seed)
    flicker = _squares(seed, crossing=False)
    shown = torch.where(flicker[:, None], 0.95, frames)
    assert not bool(small_movers(shown, plate, NOTHING).any())
    assert not bool(small_movers(frames, plate, NOTHING).any())


@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_in_some_frames_is_followed_and_no_other_thing(seed: int) -> None:
    frames, plate = _scene(seed)
    true = _squares(seed, crossing=True)
    other = true.roll(HEIGHT // 2, 1)
    shown = torch.where((true | other)[:, None], 0.95, frames)
    known = true.clone()
    known[COUNT // 2 :] = False
    found = small_movers(shown, plate, known)
    assert bool((found & true).flatten(1).any(1).all())
    assert not bool((found & other).any())


@pytest.mark.parametrize("seed", range(3))
def test_a_scene_with_something_small_that_moves_is_no_picture(seed: int) -> None:
    """Without it, the frames count as one picture: they differ by noise alone."""
    context = SeparationContext(FitSettings())
    frames, _ = _scene(seed)
    calm = (frames + 3 * frames.mean(0)) / 4
    assert survey(calm, context).still
    moving = torch.where(_squares(seed, crossing=True)[:, None], 0.95, calm)
    assert float((moving[-1] - moving[0]).abs().mean()) < 2 / 255
    assert not survey(moving, context).still


def test_weather_is_no_thing_and_takes_little_time() -> None:
    frames, plate = _scene(1)
    random = torch.Generator().manual_seed(1)
    flakes = torch.rand(COUNT, 1, HEIGHT // 2, WIDTH // 2, generator=random) < 0.08
    flakes = flakes.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert not bool(small_movers(torch.where(flakes, 0.95, frames), plate, NOTHING).any())
