"""Motion sweeps: each layer's frames made to agree along that layer's own optical flow, in closed form, frame by frame.

A turn finds the flow of the current layers between each mixed frame and its neighbours, near and far, then goes through the mixed
frames forwards and backwards in turn. At a frame every link offers a value, weighted by confidence and, robustly, by how near it is to
the current one; the offers' mean and their total weight, with an anchor's, say what each layer would be and how sure that is; then the
two layers are moved, per value and in closed form, to mix back to the input (:func:`stages.mixing.share`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.flow import Pair, consistency, flows, warp
from stages.mixing import Mixture, share

DISTANCES = (1, 3, 8)  # frames to either side that a frame is linked to
SWEEPS = 4  # goes through the frames in a turn
DATA = 500.0  # weight of the mixture beside a link's
NEAR = 0.03  # differences below this count squared, above it as they are
STILL = 0.3  # pixels: a shorter flow counts as none, so that what stands still is not blurred
TOLERANCE = 2.0  # pixels that a flow may miss there and back
HOLD = 1.0  # weight of a frame's current value


@dataclass(frozen=True)
class Links:
    """What one mixed frame is linked to: K frames of the window, flows ``(K, 2, H, W)``, confidences ``(K, 1, H, W)``; half floats."""

    frames: list[int]
    flows: Tensor
    confidence: Tensor


def find_links(layer: Tensor, mixture: Mixture, allowed: range, distances: Sequence[int] = DISTANCES) -> list[Links]:
    """Links of each mixed frame of ``layer`` ``(N, 3, H, W)`` to frames of ``allowed``: never to those in which the layer has no weight,
    where its pixels are invention."""
    wanted = [
        [frame + sign * distance for distance in distances for sign in (-1, 1) if frame + sign * distance in allowed]
        for frame in range(mixture.first, mixture.last + 1)
    ]
    pairs: set[Pair] = set()
    for frame, others in enumerate(wanted, mixture.first):
        pairs |= {(frame, other) for other in others} | {(other, frame) for other in others}
    found = flows(layer, pairs)
    links = []
    for frame, others in enumerate(wanted, mixture.first):
        if not others:
            links.append(Links([], layer.new_zeros(0, 2, *layer.shape[-2:]), layer.new_zeros(0, 1, *layer.shape[-2:])))
            continue
        forward = torch.stack([found[frame, other] for other in others])
        backward = torch.stack([found[other, frame] for other in others])
        forward = forward * (forward.norm(dim=1, keepdim=True) > STILL)
        far = torch.tensor([abs(other - frame) for other in others], dtype=torch.float32).view(-1, 1, 1, 1)
        confidence = consistency(forward, backward, TOLERANCE) / far.sqrt()
        links.append(Links(others, forward.half().to(layer.device), confidence.half().to(layer.device)))
    return links


def offered(layer: Tensor, frame: int, links: Links, anchor: Tensor, anchor_weight: Tensor) -> tuple[Tensor, Tensor]:
    """Value ``(3, H, W)`` and weight that the links, the anchor ``(3, H, W)`` and the current value together give ``frame``."""
    current = layer[frame]
    total, weight = HOLD * current + anchor_weight * anchor, HOLD + anchor_weight.expand_as(current)
    if links.frames:
        offers = warp(layer[links.frames], links.flows.float())
        trust = links.confidence.float() / ((current - offers) ** 2 + NEAR**2).sqrt()
        total, weight = total + (trust * offers).sum(0), weight + trust.sum(0)
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
    for go in range(SWEEPS):
        for frame in order if go % 2 == 0 else reversed(order):
            place = frame - mixture.first
            weight = mixture.weight[frame]
            a, sure_a = offered(outgoing, frame, links_out[place], anchors[0][place], anchor_weight[place])
            b, sure_b = offered(incoming, frame, links_in[place], anchors[1][place], anchor_weight[place])
            if mixture.locked == "outgoing":
                a, sure_a = anchors[0][place], torch.full_like(sure_a, 1e9)
            elif mixture.locked == "incoming":
                b, sure_b = anchors[1][place], torch.full_like(sure_b, 1e9)
            outgoing[frame], incoming[frame] = share(a, b, mixture.frames[frame], weight, mixture.space, (sure_a, sure_b), DATA)
    return outgoing, incoming
