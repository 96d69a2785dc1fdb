"""Separate a clip in which two layers add up and move differently: behind the glass, and reflected.

    corners --two motions--> mosaics: two pictures on moving planes, fitted together; they tell
                             the layers apart in smooth places too, see
                             :mod:`stages.transparency.planes`
            --sweeps-------> layers of each frame that agree with their neighbours along each
                             layer's own optical flow, and add up to the input

Frames are ``(T, 3, H, W)`` in [0, 1] in the space in which layers add, ``I_t = T_t + R_t``. After
Xue et al., SIGGRAPH 2015 (obstruction-free photography), with planes for its first step and a
closed form for its last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from stages.mixing.layer_sum import LayerSum
from stages.motion.flow import FramePair, resize, shrunk
from stages.motion.links import MotionLinks, OfferWeights, find_links, offered_value
from stages.optim.loss_curves import Trace
from stages.optim.losses import gradients
from stages.optim.threads import bands, is_worth, side_by_side
from stages.transparency.mosaic import Mosaic
from stages.transparency.motion import dominant_motion, refined, white_level
from stages.transparency.planes import (
    LEAST_DETAIL_PART,
    ClipPlan,
    LayerPair,
    Progress,
    adding_up,
    encoded,
    fit_planes,
)

SWEEPS = 4
"""Passes over the frames per turn."""
FLOW_TOLERANCE = 1.5
"""Pixels by which a flow may miss there and back."""
WEIGHTS = OfferWeights(current=1.0, near=0.02)
"""The current value's weight; differences of values well below 0.02 count as none."""
ANCHOR_WEIGHT = 10.0
"""Weight of the value that the mosaics give a pixel, relative to 1 for its current value."""
MOSAIC_PART, SWEEPS_PART = 0.4, 0.4
"""Parts of a clip's progress that the mosaics and the sweeps take; the rest is full size."""
LEAST_SHARPNESS = 1e-9
"""Least sharpness of a layer that is divided by."""


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
    layers = adding_up(work, mosaic.layers, detail)
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


def sharpness(layer: Tensor) -> float:
    """Return how sharp a layer of light ``(T, 3, H, W)`` looks: its mean gradient, encoded."""
    return sum(float(d.abs().mean()) for d in gradients(encoded(layer)) if d.numel())


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


def _bright(layer: Tensor) -> Tensor:
    """Return a layer, of any shape, stretched to [0, 1] for the flow, which works on 8 bits."""
    return (layer / white_level(layer)).clamp(0, 1)
