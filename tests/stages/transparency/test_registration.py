"""Tests that register two layers that add up, from motions that are a pixel off."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from clips import drifting
from torch import Tensor

from stages.transparency.clip_evidence import (
    LEAST_GAIN,
    LEAST_GAIN_BESIDE_ONE,
    LEAST_MOTION_DIFFERENCE,
)
from stages.transparency.motion import Homography, LayerHomographies, distance
from stages.transparency.sum_evidence import registered_sum_evidence
from stages.transparency.window_motions import registered_motions

SIZE = (90, 160)
FRAMES = 8


def drawn_views(
    rng: np.random.Generator, step: tuple[float, float], count: int = FRAMES
) -> list[Homography]:
    """Return the homographies of a camera that pans by ``step`` and turns a little."""
    turn, middle = rng.uniform(-0.004, 0.004), np.array([SIZE[1] / 2, SIZE[0] / 2])
    views = []
    for t in range(count):
        cosine, sine = np.cos(turn * t), np.sin(turn * t)
        matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        matrix[:2, 2] = middle - matrix[:2, :2] @ middle + np.array(step) * t
        views.append(matrix)
    return views


def seen(seed: int, views: list[Homography]) -> Tensor:
    """Return a texture ``(T, 3, H, W)`` as a camera with these views sees it."""
    margin = 40
    large = drifting(seed, 1, (0.0, 0.0), (SIZE[0] + 2 * margin, SIZE[1] + 2 * margin))[0]
    picture = large.permute(1, 2, 0).numpy()
    shift = np.array([[1, 0, -margin], [0, 1, -margin], [0, 0, 1.0]])
    frames = [cv2.warpPerspective(picture, view @ shift, SIZE[::-1]) for view in views]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def off(rng: np.random.Generator, views: list[Homography]) -> list[Homography]:
    """Return the views, each moved by about a pixel."""
    moved = []
    for view in views:
        shift = np.eye(3)
        shift[:2, 2] = rng.normal(0, 0.7, 2)
        moved.append(shift @ view)
    return moved


def rounded(frames: Tensor) -> Tensor:
    return (frames.clamp(0, 1) * 255).round() / 255


def drawn(seed: int, count: int = FRAMES) -> tuple[Tensor, Tensor, LayerHomographies]:
    """Return two layers, and their motions."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    step = rng.uniform(0.6, 2.0) * np.array([np.cos(angle), np.sin(angle)])
    steps = (step[0], step[1]), (-step[0], -step[1])
    one, other = (drawn_views(rng, each, count) for each in steps)
    return seen(2 * seed + 1, one), seen(2 * seed + 2, other), (one, other)


def missed(motions: LayerHomographies, true: LayerHomographies) -> float:
    """Return by how many pixels the motions from the first frame to the others are off."""
    found = []
    for layer, real in zip(motions, true, strict=True):
        found += [
            distance(view @ np.linalg.inv(layer[0]), other, SIZE)
            for view, other in zip(layer[1:], real[1:], strict=True)
        ]
    return float(np.mean(found))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sum_is_told_from_one_layer_though_its_motions_are_a_pixel_off(seed: int) -> None:
    one, other, true = drawn(seed)
    rng = np.random.default_rng(100 + seed)
    motions = off(rng, true[0]), off(rng, true[1])
    found = registered_sum_evidence(rounded(0.6 * one + 0.4 * other), motions)
    assert found.gain > 0.1 and found.gain_beside_one > 0 and found.motion_difference > 1.5
    alone = registered_sum_evidence(rounded(one), motions)
    few = alone.gain < LEAST_GAIN or alone.gain_beside_one < LEAST_GAIN_BESIDE_ONE
    assert few or alone.motion_difference < LEAST_MOTION_DIFFERENCE


@pytest.mark.parametrize("seed", [3, 4])
def test_the_motions_of_a_window_are_registered_in_pieces(seed: int) -> None:
    count = 12
    one, other, true = drawn(seed, count)
    rng = np.random.default_rng(100 + seed)
    motions = off(rng, true[0]), off(rng, true[1])
    found = registered_motions(rounded(0.6 * one + 0.4 * other), motions)
    assert missed(found, true) < 0.5 * missed(motions, true)
    np.testing.assert_allclose(found[0][0], np.eye(3), atol=1e-4)


def test_three_frames_keep_their_motions() -> None:
    one, other, true = drawn(5, 3)
    assert registered_motions(0.6 * one + 0.4 * other, true) is true
