"""Motion sweeps: make each layer's frames agree along the layer's own optical flow.

A turn computes the flow of the current layers between each mixed frame and its neighbours, near and
far. Then it goes through the mixed frames, forwards and backwards in turn. At each frame the links
offer values (:func:`stages.motion.links.offered_value`), and the two layers move to them, in closed
form and so that they mix back to the input
(:meth:`stages.mixing.dissolve.Dissolve.distribute_residual`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
from stages.optim.threads import WORTH, side_by_side
from stages.transition.reconcile import clarity, mix_offers

SWEEPS = 4
"""Passes through the frames in a turn."""

DATA = 500.0
"""Weight of the mixture, relative to a link's, which is 33 at most."""

WEIGHTS = OfferWeights(current=1.0, near=0.03)
"""Weight of the current value, and the difference below which a link counts fully."""

TOLERANCE = 2.0
"""Pixels that a flow may miss there and back."""


def turn(
    mixture: Mixture,
    layers: Pair,
    anchors: Pair,
    anchor_weight: Tensor,
    distances: Sequence[int] = DISTANCES,
) -> Pair:
    """Return the layers after one turn: new flow, then :data:`SWEEPS` sweeps.

    layers: both scenes over the window, ``(N, 3, H, W)``, as the result.
    anchors: layers that the mixed frames are held near to, ``(n, 3, H, W)``.
    anchor_weight: of the anchors, ``(n, 1, H, W)``; a link of confidence 1 weighs up to 1 / 0.03.
    distances: of the links, in frames. No link leads to a frame in which the layer has no weight,
        because its pixels there are invented. A link counts less where it leads to a frame in which
        the layer is fainter (:func:`weakened`).
    """
    scenes = [layer.clone() for layer in layers]
    frames = range(mixture.first, mixture.last + 1)
    links = [
        weakened(mixture, side, find_links(scene, frames, visible, TOLERANCE, distances))
        for side, scene, visible in zip(SIDES, scenes, map(mixture.visible, SIDES), strict=True)
    ]
    parallel = scenes[0][0].numel() >= WORTH and scenes[0].device.type == "cpu"
    for number in range(SWEEPS):
        for frame in frames if number % 2 == 0 else reversed(frames):
            place = frame - mixture.first
            jobs = [
                (scene, frame, link[place], (anchor[place], anchor_weight[place]), WEIGHTS)
                for scene, link, anchor in zip(scenes, links, anchors, strict=True)
            ]
            found = side_by_side(lambda job: offered_value(*job), jobs, worth=parallel)
            known = anchors[0][place], anchors[1][place]
            scenes[0][frame], scenes[1][frame] = mix_offers(mixture, frame, found, known, DATA)
    return scenes[0], scenes[1]


def weakened(mixture: Mixture, side: Side, links: Sequence[MotionLinks]) -> list[MotionLinks]:
    """Return the links of the mixed frames with less confidence where they lead to fainter frames.

    The confidence is multiplied by the ratio of :func:`stages.transition.reconcile.clarity`.

    links: of each mixed frame, in order.
    """
    found = []
    for frame, link in enumerate(links, mixture.first):
        ratio = clarity(mixture, side, frame, link.frames).to(link.confidence)
        found.append(replace(link, confidence=link.confidence * ratio))
    return found
