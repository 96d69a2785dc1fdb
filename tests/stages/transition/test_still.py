"""Scenes that stand still are taken as they are, and only if the mixed frames agree."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from clips import drifting, psnr
from torch import Tensor

from stages.context import FitSettings
from stages.media.clip import Frames
from stages.shots import Transition
from stages.transition.separate import separate_transition
from stages.transition.still import Pictures, explain_mixed_frames, still_pictures, weight_between
from stages.transition.window import Window

CLEAN = 8
MIXED = 6


def stills(seed: int) -> tuple[Tensor, Tensor]:
    """Return two pictures ``(1, 3, H, W)``."""
    return drifting(2 * seed, 1, (0, 0)), drifting(2 * seed + 1, 1, (0, 0))


def window_of(outgoing: Tensor, incoming: Tensor, weight: Tensor, noise: float = 0.0) -> Window:
    """Return a window in which two scenes are mixed with ``weight`` ``(MIXED, 1, h, w)``."""
    shape = (-1, 1, *weight.shape[-2:])
    before = torch.zeros(CLEAN, *weight.shape[1:])
    whole = torch.cat([before, weight, before + 1]).view(shape)
    count = len(whole)
    frames = torch.lerp(
        outgoing.expand(count, -1, -1, -1), incoming.expand(count, -1, -1, -1), whole
    )
    frames = frames + noise * torch.randn(frames.shape, generator=torch.Generator().manual_seed(3))
    return Window.of(Frames(frames.clamp(0, 1), tuple(Fraction(time) for time in range(count))))


def transition_of(kind: str, weight: Tensor, **more: Any) -> Transition:
    """Return the transition of :func:`window_of`."""
    mix = tuple(weight.mean((1, 2, 3)).tolist())
    return Transition(CLEAN, CLEAN + MIXED - 1, kind, mix, "gamma", 0, 1, **more)


def even() -> Tensor:
    """Return the weights of a linear dissolve, ``(MIXED, 1, 1, 1)``."""
    return (torch.arange(1, MIXED + 1) / (MIXED + 1)).view(-1, 1, 1, 1)


def stripes(size: tuple[int, int]) -> Tensor:
    """Return mattes ``(MIXED, 1, H, W)`` of bars that close from their own left sides."""
    place = (torch.arange(size[1]) % 16) / 16
    return (place < even()).float().expand(-1, 1, *size)


def separated(window: Window, transition: Transition) -> tuple[Tensor, Tensor, Any]:
    """Return both layers ``(MIXED, 3, H, W)`` and the result."""
    layers: list[tuple[Tensor, Tensor]] = []
    result = separate_transition(
        window,
        transition,
        settings=FitSettings(preset="fast"),
        progress=lambda done, note: None,
        put=lambda number, frame: layers.append((frame.outgoing, frame.incoming)),
    )
    outgoing, incoming = zip(*layers, strict=True)
    return torch.stack(outgoing), torch.stack(incoming), result


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", ["dissolve", "wipe"])
def test_still_scenes_come_out_as_they_are(kind: str, seed: int) -> None:
    one, other = stills(seed)
    weight = even() if kind == "dissolve" else stripes((one.shape[-2], one.shape[-1]))
    window = window_of(one, other, weight, noise=1 / 255)
    outgoing, incoming, result = separated(window, transition_of(kind, weight))
    assert psnr(outgoing, one.expand_as(outgoing)) > 50
    assert psnr(incoming, other.expand_as(incoming)) > 50
    assert result.report["explained"] == 1 and result.has_matte == (kind == "wipe")
    assert max(abs(a - float(b.mean())) for a, b in zip(result.mix, weight, strict=True)) < 0.02


def test_a_matte_is_found_pixel_by_pixel() -> None:
    one, other = stills(4)
    weight = stripes((one.shape[-2], one.shape[-1]))[3:4]
    found = weight_between(torch.lerp(one, other, weight), (one, other), radius=1)
    assert float((found - weight).abs().mean()) < 0.08


def test_what_a_mixed_frame_shows_besides_is_not_lost() -> None:
    one, other = stills(5)
    window = window_of(one, other, even())
    frames = next(iter(window.blocks(0, 2 * CLEAN + MIXED - 1))).pixels.clone()
    frames[CLEAN + 2, :, 4:12, 4:12] = 0
    changed = Window.of(Frames(frames, tuple(Fraction(time) for time in range(len(frames)))))
    outgoing, incoming, result = separated(changed, transition_of("dissolve", even()))
    spot = (slice(None), slice(6, 10), slice(6, 10))
    again = torch.lerp(outgoing[2][spot], incoming[2][spot], even()[2, 0])
    assert float(again.mean()) < 0.15


def explained(window: Window, transition: Transition, pictures: Pictures) -> bool:
    """Return whether both scenes stand still and explain the mixed frames."""
    outgoing, incoming = pictures
    if outgoing is None or incoming is None:
        return False
    return explain_mixed_frames(window, transition, (outgoing, incoming))


@pytest.mark.parametrize("side", [0, 1])
def test_a_moving_scene_is_not_still(side: int) -> None:
    count = 2 * CLEAN + MIXED
    scenes = [drifting(1, 1, (0, 0)).expand(count, -1, -1, -1), drifting(2, count, (1.5, 0))]
    one, other = scenes if side else reversed(scenes)
    window = window_of(one, other, even())
    transition = transition_of("dissolve", even())
    pictures = still_pictures(window, transition)
    assert not explained(window, transition, pictures)


def test_a_scene_that_begins_to_move_in_the_mixed_frames_is_not_still() -> None:
    count = 2 * CLEAN + MIXED
    one = drifting(1, 1, (0, 0)).repeat(count, 1, 1, 1)
    one[CLEAN:] = drifting(1, count - CLEAN + 1, (3, 1))[1:]
    window = window_of(one, drifting(2, 1, (0, 0)), even())
    transition = transition_of("dissolve", even())
    pictures = still_pictures(window, transition)
    assert not explained(window, transition, pictures)


def test_a_still_scene_beside_a_moving_one_is_known() -> None:
    count = 2 * CLEAN + MIXED
    still = drifting(1, 1, (0, 0))
    moving = drifting(2, count, (0.7, 0))
    outgoing, incoming, _ = separated(
        window_of(still, moving, even()), transition_of("dissolve", even())
    )
    assert psnr(outgoing, still.expand_as(outgoing)) > 50
    assert psnr(incoming, moving[CLEAN : CLEAN + MIXED]) > 25
