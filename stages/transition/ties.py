"""Ties: each mixed frame is tied to several other frames, clean and mixed, by flows.

This module chooses the frames, and composes first flows to them from the carried ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.mixing.mixture import SIDES, Mixture, Side
from stages.motion.carry import PIXELS_PER_NODE, CarriedLayers
from stages.motion.flow import flows, resize_flow, warp

MOST_TIES = 6
"""Frames that each mixed frame is tied to, in each scene."""

CLEAN = (0, 2, 5)
"""Which clean frames come first, counted from the template away from the transition."""

NEIGHBORS = (1, 3, 6)
"""Distances of the frames that follow, those towards the template first."""

COMPOSITIONS = 3
"""Fixed-point iterations that compose two flows."""


@dataclass(frozen=True)
class FrameTies:
    """The ties of one scene, K for each of its n mixed frames.

    frames: the frames of the window that they lead to, ``(n, K)``, on the CPU.
    flows: to these frames at a part of the size, ``(n K, 2, h, w)``, in pixels of that size.
    """

    frames: Tensor
    flows: Tensor

    def first(self, most: int) -> FrameTies:
        """Return the first ``most`` ties of each frame."""
        count, have = self.frames.shape
        chosen = self.flows.view(count, have, *self.flows.shape[1:])[:, :most]
        return FrameTies(self.frames[:, :most], chosen.flatten(0, 1))

    def flow(self, place: int, size: tuple[int, int]) -> Tensor:
        """Return the flows ``(K, 2, H, W)`` of mixed frame number ``place``, at full size."""
        count = self.frames.shape[1]
        return resize_flow(self.flows[place * count : (place + 1) * count], size)


def compose_flows(ahead: Tensor, other: Tensor) -> Tensor:
    """Return the flow φ from t to u, given both frames' flows to a common template.

    It solves ``φ + other(x + φ) = ahead``, with ``ahead`` from t and ``other`` from u.
    """
    composed = ahead - other
    for _ in range(COMPOSITIONS):
        composed = ahead - warp(other, composed)
    return composed


def tied_frames(mixture: Mixture, side: Side) -> list[list[int]]:
    """Return the frames that each mixed frame is tied to in a scene, the same number for all.

    Frames in which the scene has no weight are never among them.
    """
    away = -1 if side == "outgoing" else 1
    visible = mixture.visible(side)
    template = mixture.template(side)
    lists = []
    for frame in range(mixture.first, mixture.last + 1):
        wanted = [template + away * back for back in CLEAN]
        for distance in (*NEIGHBORS, *range(1, len(mixture.frames))):
            wanted += [frame + away * distance, frame - away * distance]
        lists.append(
            [other for other in dict.fromkeys(wanted) if other in visible and other != frame]
        )
    most = min(MOST_TIES, *(len(others) for others in lists))
    return [others[:most] for others in lists]


def find_ties(mixture: Mixture, carried: CarriedLayers, side: Side) -> FrameTies:
    """Return the ties of a scene, with flows composed of the carried ones, at half the size."""
    lists = tied_frames(mixture, side)
    template = mixture.template(side)
    carried_flows = carried.flows[SIDES.index(side)]
    half = (-(-mixture.size[0] // PIXELS_PER_NODE), -(-mixture.size[1] // PIXELS_PER_NODE))
    to_template = {
        mixture.first + place: resize_flow(carried_flows[place : place + 1], half)
        for place in range(len(lists))
    }
    used = {other for others in lists for other in others}
    clean = sorted(used - set(to_template) - {template})
    for pair, flow in flows(mixture.frames, [(frame, template) for frame in clean]).items():
        to_template[pair[0]] = resize_flow(flow[None], half)
    to_template[template] = torch.zeros_like(next(iter(to_template.values())))
    tie_flows = [
        compose_flows(to_template[mixture.first + place], to_template[other])
        for place, others in enumerate(lists)
        for other in others
    ]
    none = carried_flows.new_zeros(0, 2, *half)
    return FrameTies(torch.tensor(lists), torch.cat(tie_flows) if tie_flows else none)
