"""Fit two pictures on moving planes to a clip: find both motions, register them, fit mosaics.

Corners and each separated layer give guesses of the motions. The guess with which small mosaics
explain most of the clip is registered to the frames (:mod:`stages.transparency.window_motions`),
and larger mosaics start from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stages.motion.flow import resize, shrunk, within
from stages.transparency.mosaic import Mosaic, fit_mosaic
from stages.transparency.motion import (
    TRACKED,
    KnownMotions,
    LayerHomographies,
    at_size,
    distance,
    dominant_motion,
    two_motions,
)
from stages.transparency.window_motions import registered_motions

SAME_MOTION = 0.3
"""Distance, in pixels, up to which two guesses of the motions count as one."""
COMPARING_STEPS = 60
"""Steps of a mosaic that is fitted only to compare guesses of the motions."""
FIRST_TRANSMISSION = 0.97
"""Part of the light that the transmission starts with."""
LEAST_DETAIL_PART = 0.5
"""Least part of the missing light that the less sharp layer gets, relative to 1 for the other."""

LayerPair = tuple[Tensor, Tensor]
"""Transmission and reflection, ``(T, 3, H, W)`` each."""
Progress = Callable[[float], None]


@dataclass(frozen=True)
class ClipPlan:
    """The work on one window of frames.

    pixels: pixels of the frames for flow and sweeps. mosaic_pixels, mosaic_steps: pixels and steps
    of the mosaics. turns: number of rounds of flow and sweeps. full: whether a last sweep goes over
    the frames at full size.
    """

    pixels: int
    mosaic_pixels: int
    mosaic_steps: int
    turns: int
    full: bool


def fit_planes(
    frames: Tensor,
    plan: ClipPlan,
    progress: Progress,
    *,
    register: bool = False,
) -> Mosaic:
    """Fit mosaics to ``frames``, starting from the guess of the motions that explains most.

    Both layers of the result have the size of ``frames``. register: whether that guess is
    registered to the frames, which needs two layers that add up.
    """
    size = (frames.shape[-2], frames.shape[-1])
    guesses = first_guesses(frames)
    layers = FIRST_TRANSMISSION * frames, (1 - FIRST_TRANSMISSION) * frames
    mosaic: Mosaic | None = None
    # Pixels and steps of each round: small mosaics first, from which better guesses follow.
    rounds = (
        (plan.mosaic_pixels // 4, min(2 * COMPARING_STEPS, 2 * plan.mosaic_steps)),
        (plan.mosaic_pixels, plan.mosaic_steps // 2),
        (plan.mosaic_pixels, plan.mosaic_steps),
    )
    for number, (pixels, steps) in enumerate(rounds):
        best = _best(frames, distinct(guesses, size), layers, plan)
        if number and register:
            # Where things move by themselves, registered motions may be the worse ones.
            both = [best, registered_motions(encoded(frames), best)]
            best = _best(frames, distinct(both, size), layers, plan)
        mosaic = _mosaic(frames, best, layers, pixels, steps)
        progress((number + 1) / len(rounds))
        if number + 1 == len(rounds):
            break
        layers = adding_up(frames, mosaic.layers)
        # Each separated layer is tracked by itself. That may improve either motion, or both.
        tracked = dominant_motion(encoded(layers[0])), dominant_motion(encoded(layers[1]))
        guesses = [
            mosaic.homographies,
            tracked,
            (tracked[0], mosaic.homographies[1]),
            (mosaic.homographies[0], tracked[1]),
        ]
    assert mosaic is not None
    return mosaic


def rough_planes(
    frames: Tensor, plan: ClipPlan, guesses: Sequence[LayerHomographies]
) -> LayerHomographies:
    """Return the motions that small mosaics make of the guess that explains most of ``frames``.

    They are those of the first round of :func:`fit_planes`. guesses: as there.
    """
    layers = FIRST_TRANSMISSION * frames, (1 - FIRST_TRANSMISSION) * frames
    best = _best(frames, list(guesses), layers, plan)
    steps = min(2 * COMPARING_STEPS, 2 * plan.mosaic_steps)
    return _mosaic(frames, best, layers, plan.mosaic_pixels // 4, steps).homographies


def first_guesses(frames: Tensor) -> list[LayerHomographies]:
    """Return guesses of both layers' motions, from corners tracked at full size and at a small one.

    Corners that jump far are only found again in small frames.
    """
    size = (frames.shape[-2], frames.shape[-1])
    versions = [frames]
    if size[0] * size[1] > TRACKED:
        versions.append(shrunk(frames, TRACKED))
    guesses: list[LayerHomographies] = []
    for seen in versions:
        known: KnownMotions = {}
        steady = two_motions(encoded(seen), known=known)
        strongest = two_motions(encoded(seen), steady=False, known=known)
        found = (
            (steady.dominant, steady.other),
            (strongest.dominant, strongest.other),
            (strongest.dominant, [np.eye(3)] * len(frames)),
        )
        guesses += [
            at_size(homographies, (seen.shape[-2], seen.shape[-1]), size) for homographies in found
        ]
    return guesses


def _best(
    frames: Tensor, guesses: list[LayerHomographies], layers: LayerPair, plan: ClipPlan
) -> LayerHomographies:
    """Return the guess of the motions with which small mosaics explain most of the clip.

    layers: what the mosaics start from. Each guess is tried for a few steps.
    """
    if len(guesses) == 1:
        return guesses[0]
    steps = min(COMPARING_STEPS, plan.mosaic_steps)
    pixels = max(1, plan.mosaic_pixels // 4)
    losses = [_mosaic(frames, homographies, layers, pixels, steps).loss for homographies in guesses]
    return guesses[losses.index(min(losses))]


def distinct(guesses: list[LayerHomographies], size: tuple[int, int]) -> list[LayerHomographies]:
    """Return the guesses without those that nearly equal an earlier one everywhere.

    size: height and width of a frame, in pixels.
    """
    kept: list[LayerHomographies] = []
    for guess in guesses:
        if all(_largest_distance(guess, earlier, size) > SAME_MOTION for earlier in kept):
            kept.append(guess)
    return kept


def _largest_distance(
    guess: LayerHomographies, other: LayerHomographies, size: tuple[int, int]
) -> float:
    """Return how far apart two guesses are in the layer and frame where they differ most."""
    return max(
        distance(one, two, size)
        for layer, other_layer in zip(guess, other, strict=True)
        for one, two in zip(layer, other_layer, strict=True)
    )


def _mosaic(
    frames: Tensor, homographies: LayerHomographies, layers: LayerPair, pixels: int, steps: int
) -> Mosaic:
    """Run :func:`fit_mosaic` on smaller frames and return the result at the size of ``frames``."""
    size = (frames.shape[-2], frames.shape[-1])
    small = within(size, pixels)
    start = resize(layers[0], small), resize(layers[1], small)
    mosaic = fit_mosaic(resize(frames, small), at_size(homographies, size, small), start, steps)
    enlarged = resize(mosaic.layers[0], size), resize(mosaic.layers[1], size)
    return Mosaic(enlarged, at_size(mosaic.homographies, small, size), mosaic.loss)


def adding_up(frames: Tensor, layers: LayerPair, detail: float = LEAST_DETAIL_PART) -> LayerPair:
    """Return layers that add up to ``frames`` and lie in [0, I].

    detail: the reflection's part of what is missing, relative to 1 for the transmission's.
    """
    missing = frames - layers[0] - layers[1]
    reflection = (layers[1] + missing * detail / (1 + detail)).clamp_min(0)
    reflection = torch.minimum(reflection, frames)
    return frames - reflection, reflection


def encoded(light: Tensor) -> Tensor:
    """Return the square root of light, of any shape: roughly as an eye sees it.

    So corners in the dark count too.
    """
    return light.clamp_min(0).sqrt()
