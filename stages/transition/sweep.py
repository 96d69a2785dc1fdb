"""Motion sweeps: each layer's frames made to agree along that layer's own optical flow, in closed form, frame by frame.

A turn finds the flow of the current layers between each mixed frame and its neighbours, near and far, then goes through the mixed
frames forwards and backwards in turn. At a frame every link offers a value, weighted by confidence and, robustly, by how near it is to
the current one; the offers' mean and their total weight, with an anchor's, say what each layer would be and how sure that is; then the
two layers are moved, per value and in closed form, to mix back to the input (:func:`stages.mixing.mixing.share`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.mixing.mixing import Mixture, share
from stages.motion.flow import Pair, consistency, flows, length, warp_one
from stages.optim.threads import WORTH, side_by_side

DISTANCES = (1, 3, 8)  # frames to either side that a frame is linked to
SWEEPS = 4  # goes through the frames in a turn
DATA = 500.0  # weight of the mixture beside a link's
NEAR = 0.03  # differences below this count squared, above it as they are
STILL = 0.3  # pixels: a shorter flow counts as none, so that what stands still is not blurred
TOLERANCE = 2.0  # pixels that a flow may miss there and back
HOLD = 1.0  # weight of a frame's current value
AT_ONCE = 16  # pairs of frames whose flows are found at once


@dataclass(frozen=True)
class Links:
    """What one mixed frame is linked to: K frames of the window, flows ``(K, 2, H, W)``, confidences ``(K, 1, H, W)``; half floats."""

    frames: list[int]
    flows: Tensor
    confidence: Tensor


def find_links(
    layer: Tensor, mixture: Mixture, allowed: range, distances: Sequence[int] = DISTANCES
) -> list[Links]:
    """Links of each mixed frame of ``layer`` ``(N, 3, H, W)`` to frames of ``allowed``: never to those in which the layer has no weight,
    where its pixels are invention."""
    wanted = [
        [
            frame + sign * distance
            for distance in distances
            for sign in (-1, 1)
            if frame + sign * distance in allowed
        ]
        for frame in range(mixture.first, mixture.last + 1)
    ]
    # A few pairs at a time: a flow in full takes twice what is kept of it, and each is needed both ways.
    pairs = sorted(
        {
            (min(frame, other), max(frame, other))
            for frame, others in enumerate(wanted, mixture.first)
            for other in others
        }
    )
    linked: dict[Pair, tuple[Tensor, Tensor]] = {}
    for begin in range(0, len(pairs), AT_ONCE):
        some = pairs[begin : begin + AT_ONCE]
        found = flows(layer, some + [(other, frame) for frame, other in some])
        kept = [
            (frame, other)
            for frame, other in found
            if frame in range(mixture.first, mixture.last + 1)
            and other in wanted[frame - mixture.first]
        ]
        ways = [
            (found[pair][None], found[pair[::-1]][None], abs(pair[1] - pair[0])) for pair in kept
        ]
        made = side_by_side(lambda way: _link(*way), ways, worth=layer[0].numel() >= WORTH)
        linked.update(zip(kept, made, strict=True))
    links = []
    for frame, others in enumerate(wanted, mixture.first):
        size = layer.shape[-2:]
        both = [linked.pop((frame, other)) for other in others]
        forward = torch.cat([flow for flow, _ in both]) if both else torch.zeros(0, 2, *size)
        confidence = torch.cat([sure for _, sure in both]) if both else torch.zeros(0, 1, *size)
        links.append(Links(others, forward.to(layer.device), confidence.to(layer.device)))
    return links


def _link(forward: Tensor, backward: Tensor, far: int) -> tuple[Tensor, Tensor]:
    """Flow ``(1, 2, H, W)`` and confidence ``(1, 1, H, W)`` of a link over ``far`` frames, as half floats."""
    forward = forward * (length(forward) > STILL)
    return forward.half(), (consistency(forward, backward, TOLERANCE) / math.sqrt(far)).half()


def offered(
    layer: Tensor, frame: int, links: Links, anchor: Tensor, anchor_weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Value ``(3, H, W)`` and weight that the links, the anchor ``(3, H, W)`` and the current value together give ``frame``."""
    current = layer[frame]
    total, weight = (
        HOLD * current + anchor_weight * anchor,
        (HOLD + anchor_weight).expand_as(current).clone(),
    )
    # One link at a time and in place: what is worked on stays near the processor.
    for other, flow, confidence in zip(links.frames, links.flows, links.confidence, strict=True):
        offer = warp_one(layer[other], flow.float())
        trust = (current - offer).square_().add_(NEAR**2).rsqrt_().mul_(confidence)
        total.addcmul_(trust, offer)
        weight += trust
    return total / weight, weight


def turn(
    mixture: Mixture,
    layers: tuple[Tensor, Tensor],
    anchors: tuple[Tensor, Tensor],
    anchor_weight: Tensor,
    distances: Sequence[int] = DISTANCES,
) -> tuple[Tensor, Tensor]:
    """One turn: new flow, then :data:`SWEEPS` goes.

    layers: both scenes over the whole window, ``(N, 3, H, W)``; anchors: what the mixed frames ``(n, 3, H, W)`` are held near to, with
    ``anchor_weight`` ``(n, 1, H, W)`` (a link at its most confident weighs 1 / 0.03). Returns new layers.
    """
    outgoing, incoming = layers[0].clone(), layers[1].clone()
    count = len(mixture.frames)
    links_out = find_links(outgoing, mixture, range(0, mixture.last + 1), distances)
    links_in = find_links(incoming, mixture, range(mixture.first, count), distances)
    order = list(range(mixture.first, mixture.last + 1))
    large = outgoing[0].numel() >= WORTH and outgoing.device.type == "cpu"
    for go in range(SWEEPS):
        for frame in order if go % 2 == 0 else reversed(order):
            place = frame - mixture.first
            weight = mixture.weight[frame]
            sides = (
                (outgoing, links_out[place], anchors[0][place]),
                (incoming, links_in[place], anchors[1][place]),
            )
            both = [
                (layer, frame, links, anchor, anchor_weight[place])
                for layer, links, anchor in sides
            ]
            (a, sure_a), (b, sure_b) = side_by_side(lambda side: offered(*side), both, worth=large)
            if mixture.locked == "outgoing":
                a, sure_a = anchors[0][place], torch.full_like(sure_a, 1e9)
            elif mixture.locked == "incoming":
                b, sure_b = anchors[1][place], torch.full_like(sure_b, 1e9)
            outgoing[frame], incoming[frame] = share(
                a, b, mixture.frames[frame], weight, mixture.space, (sure_a, sure_b), DATA
            )
    return outgoing, incoming
