"""A mark stands still while the scene moves past it: that tells its place, opacity and colour."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from clips import drifting, psnr
from marked_pictures import make_context, remove_mark
from torch import Tensor

from stages.watermark.standing_mark import (
    CERTAIN_NATS,
    certain_standing_mark,
    filled_boxes,
    find_standing_mark,
    parts_that_touch,
    standing_pixels,
)

SIZE, COUNT = (120, 200), 12


def scene(seed: int) -> Tensor:
    """Return a scene ``(COUNT, 3, H, W)`` that pans by one to two pixels in each frame."""
    generator = np.random.default_rng(seed)
    angle, speed = generator.uniform(0, 2 * np.pi), generator.uniform(1, 2)
    frames = drifting(seed, COUNT, (speed * np.cos(angle), speed * np.sin(angle)), SIZE)
    return 0.35 + 0.3 * frames


def drawn_mark(seed: int) -> tuple[Tensor, float, Tensor]:
    """Return where a mark is, ``(H, W)`` in [0, 1], its opacity, and its colour ``(3, 1, 1)``."""
    generator = np.random.default_rng(seed)
    canvas = np.zeros(SIZE, np.uint8)
    left, bottom = int(generator.integers(10, 60)), int(generator.integers(40, 110))
    cv2.putText(canvas, "TV 5", (left, bottom), cv2.FONT_HERSHEY_DUPLEX, 1.4, 255, 3, cv2.LINE_AA)
    color = torch.from_numpy(generator.random(3).astype(np.float32)).view(3, 1, 1)
    return torch.from_numpy(canvas / np.float32(255)), float(generator.uniform(0.5, 0.9)), color


@pytest.mark.parametrize("seed", range(5))
def test_a_mark_of_any_color_stands_in_a_scene_that_pans(seed: int) -> None:
    where, opacity, color = drawn_mark(seed)
    frames = scene(seed) * (1 - opacity * where) + opacity * where * color
    standing = standing_pixels([frames])
    assert standing.are_enough
    found = find_standing_mark(frames, standing)
    assert found is not None and found.strength > CERTAIN_NATS
    assert found.mark.opacity == pytest.approx(opacity, abs=0.08)
    assert (found.mark.mean_color - color.flatten()).abs().max() < 0.1
    overlap = (found.mark.matte[0] > 0) & (where > 0.5)
    assert float(overlap.sum()) > 0.8 * float((where > 0.5).sum())


@pytest.mark.parametrize("seed", range(5))
def test_nothing_stands_in_a_scene_that_pans(seed: int) -> None:
    standing = standing_pixels([scene(seed)])
    assert standing.are_measured and not standing.are_enough
    assert certain_standing_mark(scene(seed)) is None


@pytest.mark.parametrize("pan", [(1.5, 0.0), (0.0, 1.5)])
def test_a_plate_is_whole_though_its_edges_along_the_motion_do_not_stand(
    pan: tuple[float, float],
) -> None:
    clean = 0.35 + 0.3 * drifting(0, COUNT, pan, (180, 300))
    where = torch.zeros(180, 300)
    where[60:90, 100:200] = 1
    frames = clean * (1 - 0.6 * where) + 0.6 * where * torch.tensor([0.9, 0.9, 0.2]).view(3, 1, 1)
    found = certain_standing_mark(frames)
    assert found is not None
    marked = torch.nn.functional.interpolate(found.mark.matte[None], (180, 300))[0, 0] > 0
    overlap = float((marked & (where > 0)).sum()) / float((marked | (where > 0)).sum())
    assert overlap > 0.85


def test_an_opaque_thing_before_a_moving_scene_is_no_certain_mark() -> None:
    frames = scene(1).clone()
    frames[:, :, 60:, 80:92] = frames[:, :, 20:28] = torch.tensor([0.25, 0.2, 0.2]).view(3, 1, 1)
    standing = standing_pixels([frames])
    assert standing.are_enough and certain_standing_mark(frames) is None


def test_parts_that_touch_are_kept_whole() -> None:
    place = torch.zeros(6, 12, dtype=torch.bool)
    place[1:3, 1:5] = place[1:3, 8:11] = True
    other = torch.zeros_like(place)
    other[3, 2] = True
    expected = place.clone()
    expected[:, 6:] = False
    assert bool((parts_that_touch(place, other) == expected).all())


def test_a_still_scene_does_not_tell_what_stands() -> None:
    where, opacity, color = drawn_mark(0)
    still = scene(0)[:1].expand(COUNT, -1, -1, -1)
    frames = still * (1 - opacity * where) + opacity * where * color
    assert not standing_pixels([frames]).are_measured


def test_what_stands_is_boxed_part_by_part() -> None:
    place = torch.zeros(8, 12, dtype=torch.bool)
    place[1, 1] = place[2, 2] = place[6, 9:11] = True
    expected = torch.zeros_like(place)
    expected[1:3, 1:3] = expected[6, 9:11] = True
    assert bool((filled_boxes(place) == expected).all())


@pytest.mark.parametrize("seed", range(2))
def test_a_mark_comes_off_a_scene_that_moves_little(seed: int) -> None:
    where, opacity, color = drawn_mark(seed)
    clean = scene(seed)[:6]
    frames = clean * (1 - opacity * where) + opacity * where * color
    separated = remove_mark(frames, make_context(unordered=False))
    chosen = (where > 0).expand_as(clean)
    before, after = (
        psnr(pixels[chosen][None], clean[chosen][None])
        for pixels in (frames, separated.layers["clean"])
    )
    assert after > before + 12
