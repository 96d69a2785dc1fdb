"""Separate a clip in which two layers add up and move differently: behind the glass, and reflected.

    corners --two motions--> mosaics: two pictures on moving planes, fitted together; they tell
                             the layers apart in smooth places too
            --sweeps-------> layers of each frame that agree with their neighbours along each
                             layer's own optical flow, and add up to the input

Frames are ``(T, 3, H, W)`` in [0, 1] in the space in which layers add, ``I_t = T_t + R_t``. After
Xue et al., SIGGRAPH 2015 (obstruction-free photography), with planes for its first step and a
closed form for its last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from stages.mixing.layer_sum import LayerSum
from stages.motion.flow import FramePair, resize, shrunk, within
from stages.motion.links import MotionLinks, OfferWeights, find_links, offered_value
from stages.optim.loss_curves import Trace
from stages.optim.losses import gradients
from stages.optim.threads import bands, is_worth, side_by_side
from stages.transparency.mosaic import LayerHomographies, Mosaic, fit_mosaic
from stages.transparency.motion import (
    KnownMotions,
    distance,
    dominant_motion,
    refined,
    two_motions,
    white_level,
)

SWEEPS = 4
"""Passes over the frames per turn."""
FLOW_TOLERANCE = 1.5
"""Pixels by which a flow may miss there and back."""
WEIGHTS = OfferWeights(current=1.0, near=0.02)
"""The current value's weight; differences of values well below 0.02 count as none."""
ANCHOR_WEIGHT = 10.0
"""Weight of the value that the mosaics give a pixel, relative to 1 for its current value."""
LEAST_DETAIL_PART = 0.5
"""Least part of the missing light that the less sharp layer gets, relative to 1 for the other."""
SAME_MOTION = 0.3
"""Distance, in pixels, up to which two guesses of the motions count as one."""
TRACKED = 320 * 180
"""Pixels of the small frames in which corners are tracked as well."""
COMPARING_STEPS = 60
"""Steps of a mosaic that is fitted only to compare guesses of the motions."""
FIRST_TRANSMISSION = 0.97
"""Part of the light that the transmission starts with."""
MOSAIC_PART, SWEEPS_PART = 0.4, 0.4
"""Parts of a clip's progress that the mosaics and the sweeps take; the rest is full size."""
LEAST_SHARPNESS = 1e-9
"""Least sharpness of a layer that is divided by."""

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


def separate_clip(
    frames: Tensor,
    plan: ClipPlan,
    progress: Progress,
    trace: Trace | None = None,
    mosaic: Mosaic | None = None,
) -> LayerPair:
    """Separate two or more frames ``(T, 3, H, W)`` by the motion of their two layers.

    The first layer is the one whose motion more corners follow.

    progress: called with the fraction done. trace: records how far the sweeps move the layers.
    mosaic: mosaics of the frames at the plan's size, if they are fitted already.

    Returns both layers in the shape of ``frames``; they add up to ``frames`` and lie in [0, I].
    """
    work = shrunk(frames, plan.pixels)
    if mosaic is None:
        mosaic = fit_planes(work, plan, lambda done: progress(MOSAIC_PART * done))
    ratio = sharpness(mosaic.layers[1]) / max(sharpness(mosaic.layers[0]), LEAST_SHARPNESS)
    detail = min(1 / LEAST_DETAIL_PART, max(LEAST_DETAIL_PART, ratio))
    layers = _adding_up(work, mosaic.layers, detail)
    anchors = layers
    links = None
    for turn in range(plan.turns):
        progress(MOSAIC_PART + SWEEPS_PART * turn / plan.turns)
        links = links_along(layers[0]), links_along(layers[1])
        for number in range(SWEEPS):
            before = layers
            layers = sweep(work, layers, anchors, links, detail, backwards=number % 2 == 1)
            if trace is not None:
                moved = float((layers[0] - before[0]).square().mean().sqrt())
                done = (turn * SWEEPS + number + 1) / (plan.turns * SWEEPS)
                trace.add("sweeps", done, {"moved": moved})
    if work.shape != frames.shape:
        layers = _enlarged(layers, frames, detail)
        if plan.full and links is not None:
            progress(MOSAIC_PART + SWEEPS_PART)
            layers = sweep(frames, layers, layers, links, detail)
    return layers


def _enlarged(layers: LayerPair, frames: Tensor, detail: float) -> LayerPair:
    """Return small layers enlarged to the size of ``frames``, to which they add up.

    The less sharp layer is enlarged. The other one is the rest of the frames, so it has all their
    detail.

    detail: sharpness of the second layer, relative to 1 for the first one.
    """
    second_is_soft = detail <= 1
    size = (frames.shape[-2], frames.shape[-1])
    soft = torch.minimum(resize(layers[1 if second_is_soft else 0], size), frames)
    return (frames - soft, soft) if second_is_soft else (soft, frames - soft)


def fit_planes(
    frames: Tensor,
    plan: ClipPlan,
    progress: Progress,
    guesses: Sequence[LayerHomographies] | None = None,
) -> Mosaic:
    """Fit mosaics to ``frames``, starting from the guess of the motions that explains most.

    Both layers of the result have the size of ``frames``. guesses: :func:`first_guesses` of
    ``frames``, if they are known.
    """
    size = (frames.shape[-2], frames.shape[-1])
    guesses = first_guesses(frames) if guesses is None else list(guesses)
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
        mosaic = _mosaic(frames, best, layers, pixels, steps)
        progress((number + 1) / len(rounds))
        if number + 1 == len(rounds):
            break
        layers = _adding_up(frames, mosaic.layers)
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


def at_size(
    homographies: LayerHomographies, size: tuple[int, int], other: tuple[int, int]
) -> LayerHomographies:
    """Convert homographies between frames of ``size`` to frames of an ``other`` (height, width)."""
    scale = np.diag([other[1] / size[1], other[0] / size[0], 1.0])
    one, two = ([scale @ each @ np.linalg.inv(scale) for each in layer] for layer in homographies)
    return one, two


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


def sharpness(layer: Tensor) -> float:
    """Return how sharp a layer of light ``(T, 3, H, W)`` looks: its mean gradient, encoded."""
    return sum(float(d.abs().mean()) for d in gradients(encoded(layer)) if d.numel())


def _adding_up(frames: Tensor, layers: LayerPair, detail: float = LEAST_DETAIL_PART) -> LayerPair:
    """Return layers that add up to ``frames`` and lie in [0, I].

    detail: the reflection's part of what is missing, relative to 1 for the transmission's.
    """
    missing = frames - layers[0] - layers[1]
    reflection = (layers[1] + missing * detail / (1 + detail)).clamp_min(0)
    reflection = torch.minimum(reflection, frames)
    return frames - reflection, reflection


def links_along(layer: Tensor) -> list[MotionLinks]:
    """Link every frame of ``layer`` to frames before and after it, along the layer's own motion.

    The flow is computed on top of the motion of the layer's plane, because a faint layer shows too
    little for optical flow alone.
    """
    homographies = dominant_motion(encoded(layer))

    def flow_source(seen: Tensor, pairs: list[FramePair]) -> Mapping[FramePair, Tensor]:
        return refined(seen, homographies, pairs)

    everywhere = range(len(layer))
    seen = _bright(encoded(layer))
    return find_links(seen, everywhere, everywhere, FLOW_TOLERANCE, flow_source=flow_source)


def sweep(
    frames: Tensor,
    layers: LayerPair,
    anchors: LayerPair,
    links: tuple[list[MotionLinks], list[MotionLinks]],
    detail: float,
    *,
    backwards: bool = False,
) -> LayerPair:
    """Go through the frames once and pull both layers towards their links and anchors.

    What they then lack of the input is divided between them. Each gets the more the less certain it
    is, the reflection times ``detail``. So they add up to ``frames`` exactly and lie in [0, I].

    anchors: layers that each layer stays near. links: of both layers, for each frame.
    """
    pulled = layers[0].clone(), layers[1].clone()
    size = (frames.shape[-2], frames.shape[-1])
    anchored = torch.full((1, *size), ANCHOR_WEIGHT)
    order = range(len(frames))

    def pull(t: int, links_of_frame: Sequence[MotionLinks], rows: slice) -> None:
        """Set some rows of a frame of both layers. They depend on other frames alone."""
        (one, sure_one), (other, sure_other) = (
            offered_value(layer, t, its_links, (anchor[t], anchored), WEIGHTS, rows)
            for layer, its_links, anchor in zip(pulled, links_of_frame, anchors, strict=True)
        )
        share = detail * sure_one / (detail * sure_one + sure_other)
        found = LayerSum(share).distribute_residual(frames[t, :, rows], one, other)
        pulled[0][t, :, rows], pulled[1][t, :, rows] = found

    for t in reversed(order) if backwards else order:
        links_of_frame = [its_links[t].resized(size) for its_links in links]
        rows = bands(size[0], worth=is_worth(frames[t]))
        side_by_side(partial(pull, t, links_of_frame), rows)
    return pulled


def encoded(light: Tensor) -> Tensor:
    """Return the square root of light, of any shape: roughly as an eye sees it.

    So corners in the dark count too.
    """
    return light.clamp_min(0).sqrt()


def _bright(layer: Tensor) -> Tensor:
    """Return a layer, of any shape, stretched to [0, 1] for the flow, which works on 8 bits."""
    return (layer / white_level(layer)).clamp(0, 1)
