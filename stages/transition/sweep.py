"""Motion sweeps: make each layer's frames agree along the layer's own optical flow.

A turn has two parts:

1. It computes the optical flow of the current layers between each mixed frame and other frames,
   near and far. Such a flow is a link.
2. It sweeps over the mixed frames several times, forwards and backwards in turn. At each frame the
   links offer a value for each layer (:func:`stages.motion.links.offered_value`). The layers move
   to these values in closed form, so that they still mix to the input
   (:meth:`stages.mixing.dissolve.Dissolve.distribute_residual`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import SIDES, Mixture, Side
from stages.motion.links import (
    DISTANCES,
    MotionLinks,
    OfferWeights,
    find_links,
    offered_value,
)
from stages.optim.threads import bands, map_in_threads, pays_in_threads
from stages.transition.reconcile import clarity, mix_offers

SWEEPS = 4
"""Passes over the mixed frames in a turn."""

FRAME_WEIGHT = 500.0
"""Weight of the mixture with the input frame, relative to a link's weight, which is 33 at most."""

WEIGHTS = OfferWeights(current=1.0, near=0.03)
"""Weight of the current value, and the difference below which a link counts fully."""

TOLERANCE = 2.0
"""Distance in pixels by which a flow there and the flow back may miss the pixel they began at."""


def relink_and_sweep(
    mixture: Mixture,
    layers: Pair,
    anchors: Pair,
    anchor_weight: Tensor,
    distances: Sequence[int] = DISTANCES,
) -> Pair:
    """Return the layers after one turn: new flow, then :data:`SWEEPS` sweeps.

    No link leads to a frame in which the scene has no weight, because its pixels there are
    invented. A link to a frame in which the scene is fainter counts less, see
    :func:`weigh_by_clarity`.

    layers: both scenes over the window, ``(N, 3, H, W)``; the result has the same shape.
    anchors: layers that the mixed frames are held near to, ``(n, 3, H, W)``.
    anchor_weight: of the anchors, ``(n, 1, H, W)``; a link of confidence 1 weighs up to 1 / 0.03.
    distances: of the links, in frames.
    """
    scenes = [layer.clone() for layer in layers]
    frames = range(mixture.first, mixture.last + 1)
    links = [
        weigh_by_clarity(mixture, side, find_links(scene, frames, visible, TOLERANCE, distances))
        for side, scene, visible in zip(SIDES, scenes, map(mixture.visible, SIDES), strict=True)
    ]

    def sweep(frame: int, rows: slice) -> None:
        """Set some rows of a frame of both scenes. They depend on other frames alone."""
        place = frame - mixture.first
        offers = [
            offered_value(
                scene, frame, link[place], (anchor[place], anchor_weight[place]), WEIGHTS, rows
            )
            for scene, link, anchor in zip(scenes, links, anchors, strict=True)
        ]
        known = anchors[0][place, :, rows], anchors[1][place, :, rows]
        mixed = mix_offers(mixture, frame, rows, offers, known, FRAME_WEIGHT)
        scenes[0][frame, :, rows], scenes[1][frame, :, rows] = mixed

    parallel = pays_in_threads(scenes[0][0])
    for number in range(SWEEPS):
        for frame in frames if number % 2 == 0 else reversed(frames):
            map_in_threads(partial(sweep, frame), bands(mixture.size[0], parallel=parallel))
    return scenes[0], scenes[1]


def weigh_by_clarity(
    mixture: Mixture, side: Side, links: Sequence[MotionLinks]
) -> list[MotionLinks]:
    """Return links with their confidence multiplied by :func:`stages.transition.reconcile.clarity`.

    So a link to a frame in which the scene is fainter counts less.

    links: of one scene, for each mixed frame in order.
    """
    weighed = []
    for frame, link in enumerate(links, mixture.first):
        ratio = clarity(mixture, side, frame, link.frames).to(link.confidence)
        weighed.append(replace(link, confidence=link.confidence * ratio))
    return weighed
