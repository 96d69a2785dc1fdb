"""Separate a clip in which two layers add up and move differently: behind the glass, and reflected.

    corners --two motions--> mosaics: two pictures on moving planes, fitted together; they tell
                             the layers apart in smooth places too, see
                             :mod:`stages.transparency.mosaic_search`
            --sweeps-------> layers of each frame that agree with their neighbours along each
                             layer's own optical flow, and add up to the input

Frames are ``(T, 3, H, W)`` in [0, 1] in the space in which layers add, ``I_t = T_t + R_t``. After
Xue et al., SIGGRAPH 2015 (obstruction-free photography), with planes for its first step and a
closed form for its last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stages.mixing.layer_sum import LayerSum
from stages.motion.flow import FramePair, resize, shrunk
from stages.motion.links import MotionLinks, OfferWeights, find_links, offered_value
from stages.optim.loss_curves import Trace
from stages.optim.losses import gradients
from stages.optim.threads import bands, map_in_threads, pays_in_threads
from stages.transparency.layer_pair import (
    LEAST_DETAIL_PART,
    LayerPair,
    adding_up,
    encoded,
)
from stages.transparency.mosaic import Mosaic
from stages.transparency.mosaic_search import Progress, fit_best_mosaic
from stages.transparency.motion import dominant_motion, refined_flows, white_level
from stages.transparency.plans import ClipPlan

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
        mosaic = fit_best_mosaic(work, plan, lambda done: progress(MOSAIC_PART * done))
    detail_ratio = _detail_ratio(mosaic.layers)
    anchors = layers = adding_up(work, mosaic.layers, detail_ratio)
    links = None
    for turn in range(plan.turns):
        progress(MOSAIC_PART + SWEEPS_PART * turn / plan.turns)
        links = _links_along(layers[0]), _links_along(layers[1])
        sweep = _Sweep(work, anchors, links, detail_ratio)
        for number in range(SWEEPS):
            before = layers
            layers = sweep.over(layers, backwards=number % 2 == 1)
            if trace is not None:
                moved = float((layers[0] - before[0]).square().mean().sqrt())
                done = (turn * SWEEPS + number + 1) / (plan.turns * SWEEPS)
                trace.add("sweeps", done, {"moved": moved})
    if work.shape != frames.shape:
        layers = _enlarged(layers, frames, detail_ratio)
        if plan.full and links is not None:
            progress(MOSAIC_PART + SWEEPS_PART)
            layers = _Sweep(frames, layers, links, detail_ratio).over(layers)
    return layers


def _detail_ratio(layers: LayerPair) -> float:
    """Return how sharp the second layer is, relative to 1 for the first one; 0.5 to 2."""
    ratio = _sharpness(layers[1]) / max(_sharpness(layers[0]), LEAST_SHARPNESS)
    return min(1 / LEAST_DETAIL_PART, max(LEAST_DETAIL_PART, ratio))


def _sharpness(layer: Tensor) -> float:
    """Return how sharp a layer of light ``(T, 3, H, W)`` looks: its mean gradient, encoded."""
    return sum(float(d.abs().mean()) for d in gradients(encoded(layer)) if d.numel())


def _enlarged(layers: LayerPair, frames: Tensor, detail_ratio: float) -> LayerPair:
    """Return small layers enlarged to the size of ``frames``, to which they add up.

    The less sharp layer is enlarged. The other one is what it leaves of the frames, so it has all
    their detail. detail_ratio: see :func:`_detail_ratio`.
    """
    second_is_soft = detail_ratio <= 1
    size = (frames.shape[-2], frames.shape[-1])
    soft = torch.minimum(resize(layers[1 if second_is_soft else 0], size), frames)
    return (frames - soft, soft) if second_is_soft else (soft, frames - soft)


def _links_along(layer: Tensor) -> list[MotionLinks]:
    """Link every frame of ``layer`` to frames before and after it, along the layer's own motion.

    The flow is computed on top of the motion of the layer's plane, because a faint layer shows too
    little for optical flow alone.
    """
    homographies = dominant_motion(encoded(layer))

    def flow_source(seen: Tensor, pairs: list[FramePair]) -> Mapping[FramePair, Tensor]:
        return refined_flows(seen, homographies, pairs)

    all_frames = range(len(layer))
    seen = encoded(layer)
    # Stretched to [0, 1] for the flow, which works on 8 bits.
    bright = (seen / white_level(seen)).clamp(0, 1)
    return find_links(bright, all_frames, all_frames, FLOW_TOLERANCE, flow_source=flow_source)


@dataclass(frozen=True)
class _Sweep:
    """What a pass over the frames pulls both layers towards.

    frames: the input ``(T, 3, H, W)``, to which the layers add up. anchors: layers that each layer
    stays near. links: of both layers, for each frame, at any size. detail_ratio: see
    :func:`_detail_ratio`.
    """

    frames: Tensor
    anchors: LayerPair
    links: tuple[list[MotionLinks], list[MotionLinks]]
    detail_ratio: float

    def over(self, layers: LayerPair, *, backwards: bool = False) -> LayerPair:
        """Go through the frames once and pull both layers towards their links and anchors.

        What they then lack of the input is divided between them. The less certain a layer is, the
        more it gets, the reflection ``detail_ratio`` times as much. So they add up to the frames
        exactly and lie in [0, I].
        """
        pulled = layers[0].clone(), layers[1].clone()
        height, width = self.frames.shape[-2:]
        order = range(len(self.frames))
        for t in reversed(order) if backwards else order:
            links = [links_of_layer[t].resized((height, width)) for links_of_layer in self.links]
            rows = bands(height, parallel=pays_in_threads(self.frames[t]))
            # Rows of a frame depend on other frames alone.
            map_in_threads(partial(self._pull_rows, pulled, t, links), rows)
        return pulled

    def _pull_rows(
        self, layers: LayerPair, t: int, links: Sequence[MotionLinks], rows: slice
    ) -> None:
        """Set some rows of frame ``t`` of both layers, in place. links: of the frame."""
        weight = torch.tensor(ANCHOR_WEIGHT).expand(1, *self.frames.shape[-2:])
        (first, first_certainty), (second, second_certainty) = (
            offered_value(layer, t, of_layer, (anchor[t], weight), WEIGHTS, rows)
            for layer, of_layer, anchor in zip(layers, links, self.anchors, strict=True)
        )
        weighted = self.detail_ratio * first_certainty
        second_share = weighted / (weighted + second_certainty)
        mixture = LayerSum(second_share)
        found = mixture.distribute_residual(self.frames[t, :, rows], first, second)
        layers[0][t, :, rows], layers[1][t, :, rows] = found
