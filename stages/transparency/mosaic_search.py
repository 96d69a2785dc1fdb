"""Find both motions of a clip and fit two pictures on moving planes to it.

Corners and each separated layer give guesses of the motions. The guess with which small mosaics
explain most of the clip is registered to the frames (:mod:`stages.transparency.window_motions`),
and larger mosaics start from it. :mod:`stages.transparency.mosaic` is the fit for given motions.

Frames are light, ``(T, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from stages.motion.flow import resize, shrunk, within
from stages.transparency.layer_pair import LayerPair, adding_up, encoded
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
from stages.transparency.plans import ClipPlan
from stages.transparency.window_motions import registered_motions

SAME_MOTION = 0.3
"""Distance, in pixels, up to which two guesses of the motions count as one."""
COMPARING_STEPS = 60
"""Steps of a mosaic that is fitted only to compare guesses of the motions."""
FIRST_TRANSMISSION = 0.97
"""Part of the light that the transmission starts with."""

Progress = Callable[[float], None]
"""Called with the fraction done, 0 to 1."""


def fit_best_mosaic(
    frames: Tensor, plan: ClipPlan, progress: Progress, *, register: bool = False
) -> Mosaic:
    """Fit mosaics to ``frames``, starting from the guess of the motions that explains most.

    Both layers of the result have the size of ``frames``. register: whether that guess is
    registered to the frames, which needs two layers that add up.
    """
    size = (frames.shape[-2], frames.shape[-1])
    layers = _first_layers(frames)
    best = _best_guess(frames, distinct_guesses(guess_motions(frames), size), layers, plan)
    mosaic = _small_mosaic(frames, best, layers, plan)
    progress(1 / 3)
    # The layers so far give better guesses, for mosaics at the plan's size.
    for number, steps in enumerate((plan.mosaic_steps // 2, plan.mosaic_steps)):
        layers = adding_up(frames, mosaic.layers)
        guesses = distinct_guesses(_guesses_from(mosaic, layers), size)
        best = _best_guess(frames, guesses, layers, plan)
        if register:
            # Where things move by themselves, registered motions may be the worse ones.
            both = [best, registered_motions(encoded(frames), best)]
            best = _best_guess(frames, distinct_guesses(both, size), layers, plan)
        mosaic = _fit_at_size(frames, best, layers, plan.mosaic_pixels, steps)
        progress((number + 2) / 3)
    return mosaic


def rough_motions(
    frames: Tensor, plan: ClipPlan, guesses: Sequence[LayerHomographies]
) -> LayerHomographies:
    """Return the motions of small mosaics, as in the first round of :func:`fit_best_mosaic`.

    guesses: of both motions. The mosaics start from the one that explains most of ``frames``.
    """
    layers = _first_layers(frames)
    best = _best_guess(frames, guesses, layers, plan)
    return _small_mosaic(frames, best, layers, plan).homographies


def guess_motions(frames: Tensor) -> list[LayerHomographies]:
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
            steady,
            strongest,
            (strongest.dominant, [np.eye(3)] * len(frames)),
        )
        seen_size = (seen.shape[-2], seen.shape[-1])
        guesses += [at_size(homographies, seen_size, size) for homographies in found]
    return guesses


def distinct_guesses(
    guesses: Sequence[LayerHomographies], size: tuple[int, int]
) -> list[LayerHomographies]:
    """Return the guesses without those that nearly equal an earlier one everywhere.

    size: height and width of a frame, in pixels.
    """
    kept: list[LayerHomographies] = []
    for guess in guesses:
        if all(_largest_distance(guess, earlier, size) > SAME_MOTION for earlier in kept):
            kept.append(guess)
    return kept


def _first_layers(frames: Tensor) -> LayerPair:
    """Return the layers that the first mosaics start from: most light is the transmission's."""
    return FIRST_TRANSMISSION * frames, (1 - FIRST_TRANSMISSION) * frames


def _guesses_from(mosaic: Mosaic, layers: LayerPair) -> list[LayerHomographies]:
    """Return guesses of both motions from a mosaic and the layers that follow from it.

    Each layer is tracked by itself. That may improve either motion, or both.
    """
    tracked = dominant_motion(encoded(layers[0])), dominant_motion(encoded(layers[1]))
    return [
        mosaic.homographies,
        tracked,
        (tracked[0], mosaic.homographies[1]),
        (mosaic.homographies[0], tracked[1]),
    ]


def _best_guess(
    frames: Tensor, guesses: Sequence[LayerHomographies], layers: LayerPair, plan: ClipPlan
) -> LayerHomographies:
    """Return the guess of the motions with which small mosaics explain most of the clip.

    layers: what the mosaics start from. Each guess is tried for a few steps.
    """
    if len(guesses) == 1:
        return guesses[0]
    steps = min(COMPARING_STEPS, plan.mosaic_steps)
    pixels = max(1, plan.mosaic_pixels // 4)
    losses = [
        _fit_at_size(frames, homographies, layers, pixels, steps).loss for homographies in guesses
    ]
    return guesses[losses.index(min(losses))]


def _largest_distance(
    guess: LayerHomographies, other: LayerHomographies, size: tuple[int, int]
) -> float:
    """Return how far apart two guesses are in the layer and frame where they differ most."""
    return max(
        distance(one, two, size)
        for layer, other_layer in zip(guess, other, strict=True)
        for one, two in zip(layer, other_layer, strict=True)
    )


def _small_mosaic(
    frames: Tensor, homographies: LayerHomographies, layers: LayerPair, plan: ClipPlan
) -> Mosaic:
    """Fit mosaics at a quarter of the plan's pixels, from which better guesses follow."""
    steps = min(2 * COMPARING_STEPS, 2 * plan.mosaic_steps)
    return _fit_at_size(frames, homographies, layers, plan.mosaic_pixels // 4, steps)


def _fit_at_size(
    frames: Tensor, homographies: LayerHomographies, layers: LayerPair, pixels: int, steps: int
) -> Mosaic:
    """Fit mosaics to smaller frames, of ``pixels`` each; return them at the size of ``frames``."""
    size = (frames.shape[-2], frames.shape[-1])
    small = within(size, pixels)
    start = resize(layers[0], small), resize(layers[1], small)
    mosaic = fit_mosaic(resize(frames, small), at_size(homographies, size, small), start, steps)
    enlarged = resize(mosaic.layers[0], size), resize(mosaic.layers[1], size)
    return Mosaic(enlarged, at_size(mosaic.homographies, small, size), mosaic.loss)
