"""What a frame hides of a scene: the clean frame, moved by the camera if the rest speaks for it."""

from __future__ import annotations

import numpy as np
import torch
from clips import drifting
from torch import Tensor

from stages.find.track import STILL
from stages.transition.hidden import ShownScene, camera_motions, moved_on

SIZE = (54, 96)
FRAMES = 12
PAN = (0.7, 0.3)
RIM = 12  # pixels from the border, beyond which the clean frame does not reach


def strips(count: int) -> Tensor:
    """Return what a push to the left shows of its outgoing scene: less and less, from the right."""
    shown = torch.zeros(count, 1, *SIZE, dtype=torch.bool)
    for number in range(count):
        shown[number, ..., round(SIZE[1] * (number + 1) / (count + 1)) :] = True
    return shown


def of(clip: Tensor, shown: Tensor) -> ShownScene:
    """Return the scene of a clip whose second frame is the clean one next to the transition."""
    return ShownScene(clip[1], clip[0], clip[2:], shown)


def test_a_pan_goes_on_in_what_is_hidden() -> None:
    clip = drifting(3, FRAMES + 2, PAN, SIZE)
    motions = camera_motions(of(clip, strips(FRAMES)))
    for frame, motion in zip(clip[2:], motions, strict=True):
        inner = (..., slice(RIM, -RIM), slice(RIM, -RIM))
        moved = ((moved_on(clip[1], motion) - frame)[inner] ** 2).mean()
        held = ((clip[1] - frame)[inner] ** 2).mean()
        assert moved < 0.1 * held


def test_a_camera_that_stands_still_moves_nothing() -> None:
    noise = 0.02 * torch.randn(FRAMES + 2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    clip = drifting(3, 1, (0, 0), SIZE).expand(FRAMES + 2, -1, -1, -1) + noise
    assert all((motion == STILL).all() for motion in camera_motions(of(clip, strips(FRAMES))))


def test_what_is_shown_must_predict_what_is_hidden() -> None:
    """Parts that move against each other tell nothing about a common camera."""
    left, right = drifting(3, FRAMES + 2, PAN, SIZE), drifting(3, FRAMES + 2, (-0.7, -0.3), SIZE)
    is_left = torch.arange(SIZE[1]) % 48 < 24
    clip = torch.where(is_left, left, right)
    assert all((motion == STILL).all() for motion in camera_motions(of(clip, strips(FRAMES))))


def test_nothing_shown_leaves_the_clean_frame() -> None:
    clip = drifting(3, FRAMES + 2, PAN, SIZE)
    shown = torch.zeros(FRAMES, 1, *SIZE, dtype=torch.bool)
    motions = camera_motions(ShownScene(clip[1], None, clip[2:], shown))
    assert all((motion == STILL).all() for motion in motions)
    assert torch.equal(moved_on(clip[1], STILL), clip[1])


def test_a_motion_moves_pictures_as_the_search_means_it() -> None:
    picture = drifting(3, 1, (0, 0), SIZE)[0]
    pixels = 3.0
    motion = np.array([2 * pixels / SIZE[1], 0, 0, 0, 0, 0])
    moved = moved_on(picture, motion)
    torch.testing.assert_close(moved[..., :-3], picture[..., 3:], atol=1e-4, rtol=0)
