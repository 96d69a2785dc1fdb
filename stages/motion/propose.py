"""Propose motion for frames in which a scene is faint, by the frames before them.

Gradient descent finds the motion of a faint scene only if it starts near it. Where it starts wrong
it stays wrong, and fast things smear. But a mixed frame can tell a right motion from a wrong one
once both are proposed, even if the scene is faint in it. So each pixel is offered two kinds of
motion: the one that continues from the frames before, and the motions of near pixels. It takes an
offer if the carried layers then explain the mixture better in the square around it.

Things usually move on as they did, so a motion that departs from this costs a little. Where a scene
is so faint that nearly any motion explains the mixture, the motion that continues is taken.

After Lempitsky et al., "FusionFlow" (CVPR 2008), with choices by pixel in place of cuts, and Barnes
et al., "PatchMatch" (SIGGRAPH 2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import SIDES, Mixture
from stages.motion.flow import box, length, resize, resize_flow, warp, warp_by_each
from stages.optim.penalties import CHARBONNIER_SCALE
from stages.optim.threads import map_in_threads, pays_in_threads

LAGS = (1, 4)
"""Numbers of frames over which the velocity of a motion that continues is measured."""

SHIFTS = (3, 8)
"""Distances, in pixels of a level, of the pixels whose motion is offered."""

RADIUS = 2
"""Radius, in pixels of a level, of the square over which an offer is judged."""

FULL_SIZE_SHIFTS, FULL_SIZE_RADIUS = (1, 3, 8), 1
"""The same at full size, where no fit follows that would smooth what was chosen pixel by pixel.

On five dissolves, the layers of `fast` gain 0.35 dB by offers at full size with these, and 0.23 dB
with the values of the other levels. Single pixels (a radius of 0) explain the mixture best, and
give faint frames wrong motion.
"""

LEAST_GAIN = 0.01
"""Part of a pixel's cost by which an offer must lower it to be taken."""

DEPARTURE_COST = 0.001
"""Cost of each pixel of a level by which a motion departs from the one that continues.

It has the unit of the error of a square: values in [0, 1]. On drawn dissolves 0.004 was too much
and 0 too little.
"""

FULL_SIZE_COST = 0.0005
"""The same at full size. A pixel there costs as much as half a pixel does at half the size.

On six drawn and development dissolves 0.001 was too much, and 0 too little for two of them.
"""

LARGEST_DEPARTURE = 4.0
"""Departure, in pixels of a level, above which the cost stays the same: things do stop and turn."""

SEARCH_STEPS = 4
"""Steps of the fixed-point iterations that follow a motion."""

VELOCITY_RADIUS = 1
"""Radius, in pixels of a level, over which a velocity is averaged."""


def propose(mixture: Mixture, scene_flows: Pair, known: Pair, scale: int) -> Pair:
    """Return both scenes' flows after each pixel has chosen among proposed motions.

    mixture: the window.
    scene_flows: the flows ``(n, 2, H, W)`` of each scene, from the mixed frames to its template.
    known: the scenes' motion in clean frames, which continues in the mixed ones, see
    :func:`stages.motion.carry.known_motion`.
    scale: the choices are made at ``1 / scale`` of the sides.

    A scene's flows come back as they are where no proposal was better.
    """
    level = _ProposalLevel(mixture, scene_flows, scale)
    for number, side in enumerate(SIDES):
        if mixture.plain(side) is None:
            level.improve(number, known[number])
    return level.flows(scene_flows)


def continued(latest: Tensor, earlier: Tensor, lag: int) -> Tensor:
    """Return the flow ``(1, 2, h, w)`` of the next frame if everything keeps its velocity.

    latest, earlier: flows ``(1, 2, h, w)`` to the same template, in pixels: of the frame before,
    and of the frame ``lag`` before that one.
    """
    # What is at x in the latest frame was at x + offset in the earlier one: from there, both flows
    # lead to the same place of the template. So it moves by -offset / lag in a frame.
    offset = torch.zeros_like(latest)
    for _ in range(SEARCH_STEPS):
        offset = latest - warp(earlier, offset)
    velocity = box(-offset / lag, VELOCITY_RADIUS)
    # What will be at x in the next frame is at x + back in the latest one.
    back = torch.zeros_like(latest)
    for _ in range(SEARCH_STEPS):
        back = -warp(velocity, back)
    return warp(latest, back) + back


def _after(history: Sequence[Tensor], lag: int) -> Tensor:
    """Return the flow ``(1, 2, h, w)`` that follows ``history``, flows of the same shape.

    The velocity is that over the last ``lag`` frames of it.
    """
    return continued(history[-1], history[-1 - lag], lag)


class _Choice(NamedTuple):
    """The motion of a scene in a frame, as far as its pixels have chosen.

    flow: ``(1, 2, h, w)``. layer: the template that it carries, ``(1, 3, h, w)``.
    cost: of each pixel, ``(1, 1, h, w)``.
    """

    flow: Tensor
    layer: Tensor
    cost: Tensor

    def cheaper(self, other: _Choice) -> _Choice:
        """Return this choice with the other one at the pixels where that costs less."""
        is_better = other.cost < (1 - LEAST_GAIN) * self.cost
        return _Choice(
            *(torch.where(is_better, new, old) for new, old in zip(other, self, strict=True))
        )


class _ProposalLevel:
    """Hold the mixed frames, both templates and both flows at one size, and improve the flows."""

    def __init__(self, mixture: Mixture, scene_flows: Pair, scale: int) -> None:
        height, width = mixture.size
        self.mixture = mixture
        self.size = (-(-height // scale), -(-width // scale))
        is_full = scale == 1
        self.departure_cost = FULL_SIZE_COST if is_full else DEPARTURE_COST
        self.shifts = FULL_SIZE_SHIFTS if is_full else SHIFTS
        self.radius = FULL_SIZE_RADIUS if is_full else RADIUS
        self.target = resize(mixture.frames[mixture.mixed], self.size)
        weight = mixture.weight[mixture.mixed]
        self.weight = resize(weight, self.size) if mixture.has_matte else weight
        self.fields = [resize_flow(flow, self.size).clone() for flow in scene_flows]
        self.changed = [False, False]
        self.templates: list[Tensor] = []
        self.layers: list[Tensor] = []
        for side, field in zip(SIDES, self.fields, strict=True):
            plain = mixture.plain(side)
            if plain is None:
                index = mixture.template(side)
                template = resize(mixture.frames[index : index + 1], self.size)
                layer = warp_by_each(template, field)
            else:
                template = plain.expand(1, 3, *self.size)
                layer = plain.expand(len(field), 3, *self.size)
            self.templates.append(template)
            self.layers.append(layer)

    def improve(self, number: int, known: Tensor) -> None:
        """Go through the frames of a scene, away from its template, and let the pixels choose.

        number: of the scene, 0 or 1. known: its flow in ``k`` clean frames before its template,
        ``(k, 2, H, W)``, the nearest frame first.
        """
        beyond = resize_flow(known, self.size) if len(known) else known
        still = self.target.new_zeros(1, 2, *self.size)
        history = [*(flow[None] for flow in beyond.flip(0)), still]
        frames = range(self.mixture.count)
        for frame in frames if number == 0 else reversed(frames):
            offers = map_in_threads(
                partial(_after, history),
                [lag for lag in LAGS if len(history) > lag],
                parallel=pays_in_threads(self.target[frame]),
            )
            self._choose(number, frame, offers)
            history = [*history[-max(LAGS) :], self.fields[number][frame : frame + 1]]

    def _choose(self, number: int, frame: int, offers: Sequence[Tensor]) -> None:
        """Let each pixel of a scene's frame take the offers that cost less around it.

        offers: flows ``(1, 2, h, w)`` that continue; the one over the most frames is the last.
        """
        at = slice(frame, frame + 1)
        field, layer = self.fields[number], self.layers[number]
        expected = offers[-1] if offers else None
        cost = self._cost(number, at, field[at], layer[at], expected)
        chosen = _Choice(field[at], layer[at], cost)
        judge = partial(self._judge, number, at, expected)
        parallel = pays_in_threads(self.target[frame])
        for choice in map_in_threads(judge, offers, parallel=parallel):
            chosen = chosen.cheaper(choice)
        for shift in self.shifts:
            # At a side this offers the motion at the opposite side. Judging rejects it.
            neighbors = [
                torch.roll(chosen.flow, way, (-2, -1))
                for way in ((0, shift), (0, -shift), (shift, 0), (-shift, 0))
            ]
            for choice in map_in_threads(judge, neighbors, parallel=parallel):
                chosen = chosen.cheaper(choice)
        self.changed[number] |= not torch.equal(chosen.flow, field[at])
        field[at], layer[at] = chosen.flow, chosen.layer

    def _judge(self, number: int, at: slice, expected: Tensor | None, offer: Tensor) -> _Choice:
        """Return an offered flow with the layer that it carries, and its cost."""
        layer = warp(self.templates[number], offer)
        return _Choice(offer, layer, self._cost(number, at, offer, layer, expected))

    def _cost(
        self, number: int, at: slice, flow: Tensor, layer: Tensor, expected: Tensor | None
    ) -> Tensor:
        """Return the cost ``(1, 1, h, w)`` of a flow that carries ``layer``.

        expected: the flow that continues, if there is one. To depart from it costs a little.
        """
        error = self._error(number, at, layer)
        if expected is None:
            return error
        departure = length(flow - expected).clamp(max=LARGEST_DEPARTURE)
        return error + self.departure_cost * departure

    def _error(self, number: int, at: slice, carried: Tensor) -> Tensor:
        """Return the error ``(1, 1, h, w)`` of the mixture in the square around each pixel.

        carried: the layer of scene ``number`` in this frame, ``(1, 3, h, w)``.
        """
        other = self.layers[1 - number][at]
        pair = (carried, other) if number == 0 else (other, carried)
        mixed = self.mixture.dissolve(self.weight[at]).mix(*pair)
        values = ((mixed - self.target[at]).square() + CHARBONNIER_SCALE**2).sqrt()
        return box(values.mean(1, keepdim=True), self.radius)

    def flows(self, scene_flows: Pair) -> Pair:
        """Return the flows at full size; those of ``scene_flows`` for a scene without a change."""
        outgoing, incoming = (
            resize_flow(field, self.mixture.size) if changed else flow
            for field, flow, changed in zip(self.fields, scene_flows, self.changed, strict=True)
        )
        return outgoing, incoming
