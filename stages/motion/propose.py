"""Better motion for frames in which a scene is faint, proposed by the frames before them.

A fit by descent finds the motion of a faint scene only if it starts near by. Where it starts wrong
it stays wrong, and fast things smear. But a mixed frame can tell a right motion from a wrong one
once both are proposed, even if the scene is faint in it. So each frame is offered two kinds of
motion: the one that goes on from the frames before it, and those of near pixels. A pixel takes an
offer if the carried layers then explain the mixture better in the square around it.

A motion that goes on is more likely than any other, so any other has to explain the mixture a
little better. Where a scene is so faint that nearly any motion explains the mixture, its things
therefore move on as they did.

After Lempitsky et al., "FusionFlow" (CVPR 2008), with choices by pixel in place of cuts, and Barnes
et al., "PatchMatch" (SIGGRAPH 2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import SIDES, Mixture
from stages.motion.flow import box, length, resize, resize_flow, warp, warp_by_each
from stages.optim.penalties import ROUND
from stages.optim.threads import is_worth, side_by_side

LAGS = (1, 4)
"""Frames over which the velocity that goes on is measured."""

SHIFTS = (3, 8)
"""Distances, in pixels of a level, from which the motion of other pixels is offered."""

RADIUS = 2
"""Radius, in pixels of a level, of the square over which an offer is judged."""

LEAST_GAIN = 0.01
"""Part by which an offer must lower the cost of a pixel to be taken."""

DEPARTURE_COST = 0.001
"""Cost of a motion for each pixel of a level by which it departs from the one that goes on, in
values of [0, 1], as the error of a square. On drawn dissolves 0.004 was too much and 0 too little.
"""

LARGEST_DEPARTURE = 4.0
"""Departure, in pixels of a level, from which a motion costs no more: things do stop and turn."""

SEARCH_STEPS = 4
"""Steps of the fixed-point searches along a motion."""

VELOCITY_RADIUS = 1
"""Radius, in pixels of a level, over which a velocity is averaged."""


def propose(mixture: Mixture, both: Pair, known: Pair, scale: int) -> Pair:
    """Return both scenes' flows after each frame has chosen among proposed motions.

    mixture: the window. both: flows ``(n, 2, H, W)`` from the mixed frames to the templates.
    known: the motion that they go on from, see :func:`stages.motion.carry.known_motion`.
    scale: the choices are made at ``1 / scale`` of the sides.

    The flows come back as they are where nothing better was proposed for any frame.
    """
    level = _ProposalLevel(mixture, both, scale)
    for number, side in enumerate(SIDES):
        if mixture.plain(side) is None:
            level.improve(number, known[number])
    return level.flows(both)


def continued(latest: Tensor, earlier: Tensor, lag: int) -> Tensor:
    """Return the flow that the next frame has if everything in the picture goes on as it moves.

    latest, earlier: flows ``(1, 2, h, w)`` to the same template, from the frame before and from the
    frame ``lag`` before that one. What is seen at x in the first was at ``x + o`` in the second,
    where both flows lead to the same place of the template. It moves on by ``-o / lag``.
    """
    offset = torch.zeros_like(latest)
    for _ in range(SEARCH_STEPS):
        offset = latest - warp(earlier, offset)
    velocity = box(-offset / lag, VELOCITY_RADIUS)
    # What is at x in the next frame is at x + back in the latest one.
    back = torch.zeros_like(latest)
    for _ in range(SEARCH_STEPS):
        back = -warp(velocity, back)
    return warp(latest, back) + back


def _after(history: Sequence[Tensor], lag: int) -> Tensor:
    """Return the flow that follows ``history``, by the velocity over its last ``lag`` frames."""
    return continued(history[-1], history[-1 - lag], lag)


class _ProposalLevel:
    """The mixed frames, both templates and both flows at one size."""

    def __init__(self, mixture: Mixture, both: Pair, scale: int) -> None:
        height, width = mixture.size
        self.mixture = mixture
        self.size = (-(-height // scale), -(-width // scale))
        self.target = resize(mixture.frames[mixture.mixed], self.size)
        weight = mixture.weight[mixture.mixed]
        self.weight = resize(weight, self.size) if mixture.has_matte else weight
        self.fields = [resize_flow(flow, self.size).clone() for flow in both]
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
        """Go through the frames of a scene, away from its template, and let each choose.

        number: of the scene, 0 or 1. known: ``(k, 2, H, W)``, the nearest frame first.
        """
        beyond = resize_flow(known, self.size) if len(known) else known
        still = self.target.new_zeros(1, 2, *self.size)
        history = [*(flow[None] for flow in beyond.flip(0)), still]
        frames = range(self.mixture.count)
        for frame in frames if number == 0 else reversed(frames):
            offers = side_by_side(
                partial(_after, history),
                [lag for lag in LAGS if len(history) > lag],
                worth=is_worth(self.target[frame]),
            )
            self._choose(number, frame, offers)
            history = [*history[-max(LAGS) :], self.fields[number][frame : frame + 1]]

    def _choose(self, number: int, frame: int, offers: Sequence[Tensor]) -> None:
        """Let each pixel of a frame of a scene take the offers that cost less around it.

        offers: motions that go on, the one measured over the most frames last.
        """
        at = slice(frame, frame + 1)
        field, layer = self.fields[number], self.layers[number]
        flow, seen = field[at], layer[at]
        expected = offers[-1] if offers else None

        def cost_of(motion: Tensor, carried: Tensor) -> Tensor:
            error = self._error(number, at, carried)
            if expected is None:
                return error
            return error + DEPARTURE_COST * length(motion - expected).clamp(max=LARGEST_DEPARTURE)

        cost = cost_of(flow, seen)

        def judge(offer: Tensor) -> None:
            nonlocal flow, seen, cost
            carried = warp(self.templates[number], offer)
            found = cost_of(offer, carried)
            better = found < (1 - LEAST_GAIN) * cost
            flow = torch.where(better, offer, flow)
            seen = torch.where(better, carried, seen)
            cost = torch.where(better, found, cost)

        for offer in offers:
            judge(offer)
        for shift in SHIFTS:
            for way in ((0, shift), (0, -shift), (shift, 0), (-shift, 0)):
                # At the rim this offers the motion of the opposite rim, which is judged as well.
                judge(torch.roll(flow, way, (-2, -1)))
        self.changed[number] |= not torch.equal(flow, field[at])
        field[at], layer[at] = flow, seen

    def _error(self, number: int, at: slice, carried: Tensor) -> Tensor:
        """Return the error ``(1, 1, h, w)`` around each pixel, with one scene carried so."""
        other = self.layers[1 - number][at]
        pair = (carried, other) if number == 0 else (other, carried)
        mixed = self.mixture.dissolve(self.weight[at]).mix(*pair)
        values = ((mixed - self.target[at]).square() + ROUND**2).sqrt()
        return box(values.mean(1, keepdim=True), RADIUS)

    def flows(self, both: Pair) -> Pair:
        """Return the flows at full size; those of ``both`` where a scene changed nothing."""
        outgoing, incoming = (
            resize_flow(field, self.mixture.size) if changed else flow
            for field, flow, changed in zip(self.fields, both, self.changed, strict=True)
        )
        return outgoing, incoming
