"""Links between the frames of a layer along its own motion, and the value that they offer a frame.

A frame is linked to others at some distances in time. Each link warps the other frame along the
optical flow of the layer, and offers the result with a confidence. When offers are averaged, those
far from the current value count less (iteratively reweighted least absolute values).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stages.motion.flow import FramePair, consistency, flows, length, resize, resize_flow, warp_rows
from stages.optim.threads import map_in_threads, pays_in_threads

DISTANCES = (1, 3, 8)
"""Distances, in frames to either side, at which a frame is linked."""

STILL = 0.3
"""Length of a flow, in pixels, below which it counts as none: what stands still stays sharp."""

AT_ONCE = 16
"""Pairs of frames whose flows are computed at once, which bounds the memory of full flows."""

AT_ONCE_ON_GPU = 64
"""The same where the flows lie on a GPU: at most 0.6 GiB at 960x540, and cores that seldom wait for
the GPU or for each other."""


FlowSource = Callable[[Tensor, list[FramePair]], Mapping[FramePair, Tensor]]
"""What computes the optical flow ``(2, H, W)`` of each pair of frames of a layer."""


@dataclass(frozen=True)
class MotionLinks:
    """The links of one frame: K other frames, with flows and confidences.

    frames: their indices. flows: from the frame to each of them, ``(K, 2, H, W)``.
    confidence: of each pixel of these flows, ``(K, 1, H, W)``. Half floats are enough for both.
    """

    frames: list[int]
    flows: Tensor
    confidence: Tensor

    def resized(self, size: tuple[int, int]) -> MotionLinks:
        """Return the links for pictures of another ``size`` (H, W)."""
        return MotionLinks(
            self.frames, resize_flow(self.flows, size), resize(self.confidence, size)
        )


@dataclass(frozen=True)
class OfferWeights:
    """How much the current value and the links count in a frame's new value.

    current: weight of the current value. near: differences of values in [0, 1] well below this
    count as none; a link of confidence 1 weighs up to ``1 / near``.
    """

    current: float
    near: float


def linked_frames(
    frames: Iterable[int], allowed: range, distances: Sequence[int] = DISTANCES
) -> list[list[int]]:
    """Return, for each of ``frames``, the frames of ``allowed`` at the ``distances`` from it."""
    return [
        [
            frame + sign * distance
            for distance in distances
            for sign in (-1, 1)
            if frame + sign * distance in allowed
        ]
        for frame in frames
    ]


def find_links(
    layer: Tensor,
    frames: range,
    allowed: range,
    tolerance: float,
    distances: Sequence[int] = DISTANCES,
    flow_source: FlowSource = flows,
) -> list[MotionLinks]:
    """Return the links of each of ``frames`` along the optical flow of ``layer``.

    layer: ``(N, 3, H, W)`` in [0, 1]. frames: those that get links.
    allowed: the frames that may be linked to: those of the input that show the layer.
    tolerance: there-and-back error, in pixels, at which the confidence has fallen to 1/e.
    distances: in frames, to either side. flow_source: computes the flows.
    """
    wanted = linked_frames(frames, allowed, distances)
    pairs = {
        (frame, other) for frame, others in zip(frames, wanted, strict=True) for other in others
    }
    linked = _flows_and_confidences(layer, pairs, tolerance, flow_source)
    size = (layer.shape[-2], layer.shape[-1])
    none = torch.zeros(0, 2, *size, dtype=torch.half, device=layer.device)
    links = []
    for frame, others in zip(frames, wanted, strict=True):
        of_frame = [linked.pop((frame, other)) for other in others]
        forward = torch.cat([none, *(flow for flow, _ in of_frame)])
        confidence = torch.cat([none[:, :1], *(sure for _, sure in of_frame)])
        links.append(MotionLinks(others, forward, confidence))
    return links


def _flows_and_confidences(
    layer: Tensor, pairs: Collection[FramePair], tolerance: float, flow_source: FlowSource
) -> dict[FramePair, tuple[Tensor, Tensor]]:
    """Return the flow and the confidence of each of ``pairs``; see :func:`find_links`."""
    # A confidence needs the flow both ways. Each is computed once, whichever of them are wanted.
    both_ways = sorted({(min(pair), max(pair)) for pair in pairs})
    linked: dict[FramePair, tuple[Tensor, Tensor]] = {}
    at_once = AT_ONCE if layer.device.type == "cpu" else AT_ONCE_ON_GPU
    for begin in range(0, len(both_ways), at_once):
        part = both_ways[begin : begin + at_once]
        flow_of_pair = flow_source(layer, part + [(other, frame) for frame, other in part])
        linked_pairs = [pair for pair in flow_of_pair if pair in pairs]
        link = partial(_link, flow_of_pair, tolerance)
        links = map_in_threads(link, linked_pairs, parallel=pays_in_threads(layer[0]))
        linked.update(zip(linked_pairs, links, strict=True))
    return linked


def _link(
    flow_of_pair: Mapping[FramePair, Tensor], tolerance: float, pair: FramePair
) -> tuple[Tensor, Tensor]:
    """Return flow ``(1, 2, H, W)`` and confidence ``(1, 1, H, W)`` of a link, as half floats.

    The confidence falls with the square root of the distance in frames.

    flow_of_pair: the flows ``(2, H, W)`` of the pair, both ways.
    tolerance: as of :func:`find_links`.
    """
    frame, other = pair
    forward, backward = flow_of_pair[frame, other][None], flow_of_pair[other, frame][None]
    forward = forward * (length(forward) > STILL)
    confidence = consistency(forward, backward, tolerance) / math.sqrt(abs(other - frame))
    return forward.half(), confidence.half()


def offered_value(
    layer: Tensor,
    frame: int,
    links: MotionLinks,
    anchor: tuple[Tensor, Tensor],
    weights: OfferWeights,
    rows: slice,
) -> tuple[Tensor, Tensor]:
    """Return the new value ``(3, h, W)`` of some rows of a frame, and its weight.

    It is the weighted mean of the current value, the anchor and what the links offer. A link that
    offers the value v with the confidence c, where the current value is x, has the weight
    ``c / sqrt((x - v)² + near²)``.

    layer: ``(N, 3, H, W)``. frame: its index in the layer. links: those of the frame.
    anchor: a value ``(3, H, W)`` and its weight ``(1, H, W)``.
    rows: with a beginning and an end. Of other frames, all rows may be read.
    """
    current = layer[frame, :, rows]
    value, weight = (part[:, rows] for part in anchor)
    total = weights.current * current + weight * value
    weight = (weights.current + weight).expand_as(current).clone()
    # One link at a time and in place, so that the temporaries stay in the processor's cache.
    flows, confidences = links.flows[..., rows, :], links.confidence[..., rows, :]
    for other, flow, confidence in zip(links.frames, flows, confidences, strict=True):
        offer = warp_rows(layer[other], flow.float(), rows.start)
        robust = (current - offer).square_().add_(weights.near**2).rsqrt_().mul_(confidence)
        total.addcmul_(robust, offer)
        weight += robust
    return total / weight, weight
