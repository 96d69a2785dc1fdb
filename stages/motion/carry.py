"""Motion seen through the mixture: clean frames carried into the mixed ones by two flows that together explain the input.

The last clean frame of the outgoing scene and the first clean one of the incoming scene are pictures that are known. What is not known
is how each moves on. Both motions are fitted at once, to the mixed frames themselves: the minimum over flows F and G of

    |I_t - mix(warp(A, F_t), warp(B, G_t), w_t)|  +  smoothness over the picture  +  steadiness over time

from coarse to fine. No half-separated layer is ever matched, so no ghost of the other scene can hold a flow where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from stages.mixing.mixing import Mixture, mix
from stages.motion.flow import InterleavedSampling, flows, resize, resize_flow, warp
from stages.optim.fit import DivergenceGuard, OnStep
from stages.optim.penalties import charbonnier, smoothed_total_variation
from stages.optim.threads import side_by_side

Side = Literal["outgoing", "incoming"]

GRID = 2  # pixels of a level per node of a flow
SMOOTH, STEADY = (
    0.001,
    0.002,
)  # weights per pixel of difference between neighbours, and of a change of velocity
COARSE = 56  # pixels of the shorter side from which a level is too large to be the coarsest
KNOWN = 3  # clean frames before the template whose motion the flows go on from
RATE = 0.45  # Adam's step, in pixels of a level
MOST = 40_000  # nodes of a level that are warped at once: as many as stay near the processor


@dataclass(frozen=True)
class Carried:
    """Flows ``(n, 2, H, W)`` of the n mixed frames to each scene's template, the templates' indices, and the carried layers
    ``(n, 3, H, W)``."""

    flows: tuple[Tensor, Tensor]
    templates: tuple[int, int]
    layers: tuple[Tensor, Tensor]


def template_of(mixture: Mixture, side: Side) -> int:
    """Index of the clean frame nearest to the transition, or of the mixed frame in which the scene is strongest where none is clean."""
    if side == "outgoing":
        return max(0, mixture.first - 1)
    return min(len(mixture.frames) - 1, mixture.last + 1)


def reaching(levels: Sequence[tuple[int, int]], side: int) -> tuple[tuple[int, int], ...]:
    """``levels`` for pictures whose shorter side has ``side`` pixels: all moved to coarser ones, and a finest one added, while the coarsest
    picture is still so large that fast motion is out of reach."""
    reached = tuple(levels)
    while reached and side / reached[0][0] >= COARSE:
        finest = max(1, round(0.6 * reached[-1][1]))
        reached = (*((2 * scale, steps) for scale, steps in reached), (1, finest))
    return reached


def known_motion(mixture: Mixture, side: Side) -> Tensor:
    """Flows ``(k, 2, H, W)``, k up to :data:`KNOWN`, of the clean frames beyond the template to it, the nearest first."""
    template = template_of(mixture, side)
    step = -1 if side == "outgoing" else 1
    beyond = [template + step * (i + 1) for i in range(KNOWN)]
    clean = (
        range(0, mixture.first)
        if side == "outgoing"
        else range(mixture.last + 1, len(mixture.frames))
    )
    pairs = [(frame, template) for frame in beyond if frame in clean]
    found = flows(mixture.frames, pairs)
    if not pairs:
        return torch.zeros(0, 2, *mixture.frames.shape[-2:])
    return torch.stack([found[pair] for pair in pairs])


def extrapolated(known: Tensor, count: int) -> Tensor:
    """First guess of the flows of ``count`` frames that follow the template: its last velocity, smoothed, dying away over six frames."""
    if not len(known):
        return torch.zeros(count, 2, *known.shape[-2:])
    size = (known.shape[-2], known.shape[-1])
    velocity = -resize(resize(known[:1], (-(-size[0] // 8), -(-size[1] // 8))), size)
    steps = torch.arange(1, count + 1, dtype=known.dtype).view(-1, 1, 1, 1)
    return velocity * 6 * (1 - torch.exp(-steps / 6))


def rough(flow: Tensor) -> Tensor:
    """How much a flow ``(…, 2, h, w)`` differs between neighbouring nodes, in pixels."""
    return smoothed_total_variation(flow, -1) + smoothed_total_variation(flow, -2)


def regularity(flow: Tensor, known: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """Roughness over the picture and change of velocity over time, in pixels, of ``flow`` ``(n, 2, h, w)`` going on from ``known``."""
    ahead = flow.flip(0) if reverse else flow
    line = torch.cat([known[:2].flip(0), torch.zeros_like(flow[:1]), ahead])
    return rough(flow), smoothed_total_variation(line, 0, order=2)


def carry(
    mixture: Mixture,
    levels: Sequence[tuple[int, int]],
    *,
    start: tuple[Tensor, Tensor] | None = None,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
) -> Carried:
    """Fits both flows. ``levels``: pairs of a divisor of the picture's sides and a number of steps, coarse first.

    start: flows ``(n, 2, H, W)`` to begin with; without them each scene's last velocity is drawn on.
    """
    device = device or mixture.frames.device
    count, size = (
        mixture.last - mixture.first + 1,
        (mixture.frames.shape[-2], mixture.frames.shape[-1]),
    )
    templates = template_of(mixture, "outgoing"), template_of(mixture, "incoming")
    known = known_motion(mixture, "outgoing"), known_motion(mixture, "incoming")
    current = start or (extrapolated(known[0], count), extrapolated(known[1], count).flip(0))
    total, done = sum(steps for _, steps in levels) or 1, 0
    for scale, steps in levels:
        small = (-(-size[0] // scale), -(-size[1] // scale))
        nodes = (-(-small[0] // GRID), -(-small[1] // GRID))
        pictures = [
            resize(mixture.frames[index : index + 1], small).to(device) for index in templates
        ]
        target = resize(mixture.frames[mixture.mixed], small).to(device)
        weight = mixture.weight[mixture.mixed].to(device)
        weight = resize(weight, small) if mixture.has_matte else weight
        per_pixel = (
            torch.tensor([nodes[1] / small[1], nodes[0] / small[0]]).view(1, 2, 1, 1).to(device)
        )
        fields = [
            (resize_flow(flow, nodes).to(device) / per_pixel).requires_grad_() for flow in current
        ]
        before = [resize_flow(flow, nodes).to(device) / per_pixel for flow in known]
        for field in fields:
            field.grad = torch.zeros_like(field)
        optimiser = torch.optim.Adam(fields, lr=RATE, betas=(0.9, 0.99), fused=True)
        guard = DivergenceGuard(fields, optimiser)
        chunk = max(1, MOST // (nodes[0] * nodes[1]))
        parts = [slice(begin, min(count, begin + chunk)) for begin in range(0, count, chunk)]
        combs = [
            InterleavedSampling(small, number, target) for number in range(InterleavedSampling.MANY)
        ]
        seen = [
            (comb, comb.of(target), comb.of(weight) if mixture.has_matte else weight)
            for comb in combs
        ]
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = (
                RATE * guard.boldness * min(1.0, 2 * (steps - step) / steps)
            )
            losses = {"unexplained": 0.0}
            comb, target, weight = seen[step % InterleavedSampling.MANY]
            work = partial(_slopes, mixture, pictures, fields, (comb, target, weight))
            for part, loss in zip(
                parts, side_by_side(work, parts, worth=device.type == "cpu"), strict=True
            ):
                if not guard.passes(loss):
                    break
                losses["unexplained"] += float(loss) * (part.stop - part.start) / count
            else:
                variations = [
                    regularity(field, was, reverse)
                    for field, was, reverse in zip(fields, before, (False, True), strict=True)
                ]
                torch.autograd.backward(
                    sum(
                        (scale * (SMOOTH * space + STEADY * time) for space, time in variations),
                        target.new_zeros(()),
                    )
                )
                guard.step()
                both = [
                    sum(float(each.detach()) for each in kind)
                    for kind in zip(*variations, strict=True)
                ]
                losses |= {"roughness": both[0], "bend": both[1]}
            done += 1
            if on_step:
                on_step(done / total, losses)
        current = (
            resize_flow((fields[0].detach() * per_pixel).cpu(), size),
            resize_flow((fields[1].detach() * per_pixel).cpu(), size),
        )
    return Carried(current, templates, carried_layers(mixture, current))


def _slopes(
    mixture: Mixture,
    pictures: Sequence[Tensor],
    fields: Sequence[Tensor],
    seen: tuple[InterleavedSampling, Tensor, Tensor],
    part: slice,
) -> Tensor:
    """Set the gradient of the flows of some mixed frames, ``part``, by what they leave unexplained, and return that.

    pictures: both templates; fields: both flows of all mixed frames; seen: a comb, and the mixed frames and weights in it.
    """
    comb, target, weight = seen
    pieces = [field.detach()[part].requires_grad_() for field in fields]
    loss = _data(pictures, pieces, comb, target[part], weight[part], mixture)
    share = len(target[part]) / len(target)
    for field, slope in zip(
        fields, torch.autograd.grad(loss * share, pieces, materialize_grads=True), strict=True
    ):
        assert field.grad is not None
        field.grad[part] = slope
    return loss.detach()


def _data(
    pictures: Sequence[Tensor],
    fields: Sequence[Tensor],
    comb: InterleavedSampling,
    target: Tensor,
    weight: Tensor,
    mixture: Mixture,
) -> Tensor:
    """What the carried templates leave unexplained of ``target`` ``(n, 3, h, w)``, a comb of the mixed frames."""
    carried = [
        comb.warp(picture.expand(len(field), -1, -1, -1), comb.resized(field))
        for picture, field in zip(pictures, fields, strict=True)
    ]
    if mixture.locked is not None and mixture.color is not None:
        carried[0 if mixture.locked == "outgoing" else 1] = (
            mixture.color.to(target).view(1, 3, 1, 1).expand_as(target)
        )
    return charbonnier(mix(carried[0], carried[1], weight, mixture.space) - target)


def carried_layers(mixture: Mixture, both: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The templates brought to the mixed frames along ``both`` flows ``(n, 2, H, W)``: two ``(n, 3, H, W)``; a known colour as it is."""
    layers = []
    for side, flow in zip(("outgoing", "incoming"), both, strict=True):
        if mixture.locked == side and mixture.color is not None:
            layers.append(
                mixture.color.view(1, 3, 1, 1).expand(len(flow), 3, *flow.shape[-2:]).clone()
            )
            continue
        template = mixture.frames[
            template_of(mixture, "outgoing" if side == "outgoing" else "incoming")
        ]
        layers.append(torch.cat([warp(template[None], one[None]) for one in flow]))
    return layers[0], layers[1]
