"""Ties: each mixed frame tied to several others, clean and mixed, by flows that are fitted to the mixture itself.

The carried template alone misses what it never showed, and flow between half-separated layers blurs. Here the flows from a frame to its
ties in both scenes are fitted, in pairs, so that what they bring explains the input; then the layers are solved in closed form, each
tie weighing as much as what it brings agrees with the layer nearby.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.mixing.mixing import Mixture, mix, share
from stages.motion.carry import GRID, SMOOTH, Carried, Side, rough, template_of
from stages.motion.flow import (
    InterleavedSampling,
    box,
    flows,
    lookup,
    resize,
    resize_flow,
    warp,
    warp_one,
)
from stages.optim.fit import DivergenceGuard, OnStep
from stages.optim.penalties import charbonnier
from stages.optim.threads import WORTH, side_by_side

TIES = 6  # frames that each mixed frame is tied to, in each scene
CLEAN = (0, 2, 5)  # of which clean ones, counted from the template away from the transition
NEIGHBOURS = (1, 3, 6)  # and then frames at these distances, those towards the template first
RATE = 0.2  # Adam's step, in pixels of a level
AGREE = 0.2  # weight of being near the layers as they are, beside the mixture's 1
GOES = 4  # goes through the frames in a solution
FLOOR = 0.01  # what a tie is never believed to be nearer than
DATA = 5e4  # weight of the mixture beside a tie's, at most 100
HOLD = 1.0  # weight of a frame's current value
RADIUS = 2  # of the square over which a tie is judged
AT_ONCE = 40_000  # nodes of a level that are warped at once: as many as stay near the processor
MOST = 20_000_000  # pixels of all ties of a scene at the finest level: bounds the memory of their flows

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Ties:
    """The ties of one scene: frames of the window ``(n, K)`` and flows to them at a part of the size, ``(n K, 2, h, w)``, in its pixels."""

    frames: Tensor
    flows: Tensor

    def cut(self, most: int) -> Ties:
        """The first ``most`` ties of each frame."""
        count, have = self.frames.shape
        flows = self.flows.view(count, have, *self.flows.shape[1:])[:, :most]
        return Ties(self.frames[:, :most], flows.flatten(0, 1))

    def flow(self, place: int, size: tuple[int, int]) -> Tensor:
        """Flows ``(K, 2, H, W)`` of mixed frame number ``place`` at full size."""
        count = self.frames.shape[1]
        return resize_flow(self.flows[place * count : (place + 1) * count], size)


@dataclass(frozen=True)
class _Seen:
    """What one step looks at: a comb of the mixed frames, their weights and both scenes' layers, ``(n, 3, h, w)``."""

    comb: InterleavedSampling
    target: Tensor
    weight: Tensor
    layers: Sequence[Tensor]


def composed(ahead: Tensor, other: Tensor) -> Tensor:
    """The flow φ from t to u, from those of t (``ahead``) and u (``other``) to a common template: ``φ + other(x + φ) = ahead``."""
    found = ahead - other
    for _ in range(3):
        found = ahead - warp(other, found)
    return found


def chosen(mixture: Mixture, side: Side) -> list[list[int]]:
    """Frames that each mixed frame is tied to; the same number for all. Never those in which the scene has no weight."""
    away = -1 if side == "outgoing" else 1
    allowed = (
        range(0, mixture.last + 1)
        if side == "outgoing"
        else range(mixture.first, len(mixture.frames))
    )
    template = template_of(mixture, side)
    lists = []
    for frame in range(mixture.first, mixture.last + 1):
        wanted = [template + away * back for back in CLEAN] + [
            frame + sign * far for far in NEIGHBOURS for sign in (away, -away)
        ]
        wanted += [
            frame + sign * far for far in range(1, len(mixture.frames)) for sign in (away, -away)
        ]
        lists.append(
            [other for other in dict.fromkeys(wanted) if other in allowed and other != frame]
        )
    most = (
        min(TIES, *(len(others) for others in lists))
        if len(lists) > 1
        else min(TIES, len(lists[0]))
    )
    return [others[:most] for others in lists]


def tied(mixture: Mixture, carried: Carried, side: Side) -> Ties:
    """The ties of a scene, with flows composed from the carried ones; half the size of the picture."""
    lists, template = chosen(mixture, side), template_of(mixture, side)
    fields = carried.flows[0 if side == "outgoing" else 1]
    size = (mixture.frames.shape[-2], mixture.frames.shape[-1])
    half = (-(-size[0] // GRID), -(-size[1] // GRID))
    to_template = {
        mixture.first + place: resize_flow(fields[place : place + 1], half)
        for place in range(len(lists))
    }
    clean = sorted({other for others in lists for other in others} - set(to_template) - {template})
    for pair, flow in flows(mixture.frames, [(frame, template) for frame in clean]).items():
        to_template[pair[0]] = resize_flow(flow[None], half)
    to_template[template] = torch.zeros_like(next(iter(to_template.values())))
    found = [
        composed(to_template[mixture.first + place], to_template[other])
        for place, others in enumerate(lists)
        for other in others
    ]
    return Ties(torch.tensor(lists), torch.cat(found) if found else torch.zeros(0, 2, *half))


def fit_ties(
    mixture: Mixture,
    layers: Pair,
    ties: tuple[Ties, Ties],
    scale: int,
    steps: int,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
) -> tuple[Ties, Ties]:
    """Fits the flows of all ties, at ``1 / scale`` of the sides: in each step every tie of one scene meets some tie of the other.

    layers: both scenes over the whole window ``(N, 3, H, W)``, as they are; they are what the ties bring and do not move here.
    """
    device = device or mixture.frames.device
    height, width = mixture.frames.shape[-2:]
    small = (-(-height // scale), -(-width // scale))
    nodes = (-(-small[0] // GRID), -(-small[1] // GRID))
    per_node = torch.tensor([small[1] / nodes[1], small[0] / nodes[0]], device=device).view(
        1, 2, 1, 1
    )
    banks = [resize(layer, small).to(device) for layer in layers]
    target, weight = (
        resize(mixture.frames[mixture.mixed], small).to(device),
        mixture.weight[mixture.mixed].to(device),
    )
    weight = resize(weight, small) if mixture.has_matte else weight
    combs = [
        InterleavedSampling(small, number, target) for number in range(InterleavedSampling.MANY)
    ]
    seen = [
        _Seen(
            comb,
            comb.of(target),
            comb.of(weight) if mixture.has_matte else weight,
            [comb.of(bank[mixture.mixed]) for bank in banks],
        )
        for comb in combs
    ]
    count, most = ties[0].frames.shape[0], min(ties[0].frames.shape[1], ties[1].frames.shape[1])
    fields = [
        (resize_flow(tie.flows, nodes).to(device) * per_node)
        .view(count, -1, 2, *nodes)
        .contiguous()
        .requires_grad_()
        for tie in ties
    ]
    for field in fields:
        field.grad = torch.zeros_like(field)
    optimiser = torch.optim.Adam(fields, lr=RATE, betas=(0.8, 0.99), fused=True)
    guard = DivergenceGuard(fields, optimiser)
    order = torch.Generator().manual_seed(seed)
    chunk = max(1, AT_ONCE // (nodes[0] * nodes[1]))
    parts = [slice(begin, min(count, begin + chunk)) for begin in range(0, count, chunk)]
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = (
            RATE * guard.boldness * min(1.0, 2 * (steps - step) / steps)
        )
        told = 0.0
        pairs = list(enumerate(torch.randperm(most, generator=order).tolist()))

        def explain(job: tuple[tuple[int, int], slice], step: int = step) -> Tensor:
            """Set the gradient of some frames' ties, one of each scene, and return their loss."""
            pair, part = job
            met = list(zip(fields, pair, strict=True))
            flows = [field.detach()[part, number].requires_grad_() for field, number in met]
            bringing = [
                bank[tie.frames[part, number]]
                for bank, tie, number in zip(banks, ties, pair, strict=True)
            ]
            loss = _unexplained(
                mixture,
                bringing,
                flows,
                part,
                scale,
                seen[(step + pair[0]) % InterleavedSampling.MANY],
            )
            share = (part.stop - part.start) / count
            # Set, not added up: a tie is met once in a step.
            for (field, number), slope in zip(
                met, torch.autograd.grad(loss * share, flows), strict=True
            ):
                assert field.grad is not None
                field.grad[part, number] = slope
            return loss.detach()

        jobs = [(pair, part) for pair in pairs for part in parts]
        for (_, part), loss in zip(
            jobs, side_by_side(explain, jobs, worth=device.type == "cpu"), strict=True
        ):
            if not guard.passes(loss):
                break
            told += float(loss) * (part.stop - part.start) / count / most
        else:
            guard.step()
        if on_step:
            on_step((step + 1) / steps, {"disagreement": told})
    out = [
        Ties(tie.frames, (field.detach().flatten(0, 1) / per_node).cpu())
        for tie, field in zip(ties, fields, strict=True)
    ]
    return out[0], out[1]


def _unexplained(
    mixture: Mixture,
    banks: Sequence[Tensor],
    flows: Sequence[Tensor],
    part: slice,
    scale: int,
    seen: _Seen,
) -> Tensor:
    """What some mixed frames' ties, one a scene, leave unexplained of the input, how far they are from the layers, how rough.

    banks: the frames ``(n, 3, H, W)`` that they are tied to; flows: of the ties, ``(n, 2, h, w)``.
    """
    loss = seen.target.new_zeros(())
    brought = []
    for bank, near, flow in zip(banks, seen.layers, flows, strict=True):
        layer = seen.comb.warp(bank, seen.comb.resized(flow))
        loss = loss + AGREE * charbonnier(layer - near[part]) + scale * SMOOTH * rough(flow)
        brought.append(layer)
    return loss + charbonnier(
        mix(brought[0], brought[1], seen.weight[part], mixture.space) - seen.target[part]
    )


def solve(mixture: Mixture, layers: Pair, ties: tuple[Ties, Ties]) -> Pair:
    """The layers that agree with their ties and mix to the input, in closed form frame by frame, :data:`GOES` times.

    A tie weighs ``0.01 / (e + FLOOR² (1 + d / 5))``: e is the mean square around a pixel of how far what it brings is from the layer,
    d its distance in frames. layers: both scenes over the whole window, ``(N, 3, H, W)``.
    """
    out = layers[0].clone(), layers[1].clone()
    count = len(ties[0].frames)
    large = layers[0][0].numel() >= WORTH and layers[0].device.type == "cpu"
    both = [
        (out[side], ties[side], mixture.first + place, place)
        for side in (0, 1)
        for place in range(count)
    ]
    judged = side_by_side(lambda one: _judged(*one), both, worth=large)
    weights = judged[:count], judged[count:]
    for go in range(GOES):
        places = range(count)
        for place in places if go % 2 == 0 else reversed(places):
            frame = mixture.first + place
            means, sure = [], []
            sides = [(out[side], ties[side], frame, place, weights[side][place]) for side in (0, 1)]
            drawn = side_by_side(lambda one: _drawn(*one), sides, worth=large)
            for side, layer, (mean, total) in zip(
                ("outgoing", "incoming"), out, drawn, strict=True
            ):
                locked = mixture.locked == side
                means.append(layer[frame] if locked else mean)
                sure.append(torch.full_like(total, 1e9) if locked else total)
            out[0][frame], out[1][frame] = share(
                means[0],
                means[1],
                mixture.frames[frame],
                mixture.weight[frame],
                mixture.space,
                (sure[0], sure[1]),
                DATA,
            )
    return out


def _judged(layer: Tensor, tie: Ties, frame: int, place: int) -> Tensor:
    """Weights ``(K, 1, H, W)`` of a frame's ties."""
    flow = tie.flow(place, (layer.shape[-2], layer.shape[-1]))
    brought = warp(layer[tie.frames[place]], flow)
    error = box(((brought - layer[frame]) ** 2).mean(1, keepdim=True), RADIUS)
    far = (tie.frames[place] - frame).abs().view(-1, 1, 1, 1)
    inside = lookup(flow).abs().amax(-1)[:, None] <= 1.01
    return 0.01 / (error + FLOOR**2 * (1 + far / 5)) * inside


def _drawn(layer: Tensor, tie: Ties, frame: int, place: int, weight: Tensor) -> Pair:
    """Where its ties and its current value draw a frame, ``(3, H, W)``, and how strongly."""
    current = layer[frame]
    total, sure = HOLD * current, torch.full_like(current, HOLD)
    # One tie at a time and in place: what is worked on stays near the processor.
    for other, flow, known in zip(
        tie.frames[place].tolist(),
        tie.flow(place, (layer.shape[-2], layer.shape[-1])),
        weight,
        strict=True,
    ):
        brought = warp_one(layer[other], flow)
        robust = (current - brought).square_().div_(10 * FLOOR**2).add_(1).rsqrt_().mul_(known)
        total.addcmul_(robust, brought)
        sure += robust
    return total.div_(sure), sure


def tie_down(
    mixture: Mixture,
    layers: Pair,
    carried: Carried,
    levels: Sequence[tuple[int, int]],
    *,
    seed: int = 0,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
) -> Pair:
    """Ties, then fits their flows and solves the layers at each of ``levels`` (a divisor of the sides, a number of steps)."""
    most = min(len(chosen(mixture, "outgoing")[0]), len(chosen(mixture, "incoming")[0]))
    area = (
        mixture.frames.shape[-2]
        * mixture.frames.shape[-1]
        * (mixture.last - mixture.first + 1)
        * most
    )
    # A level that is too large is left to the next coarser one, so that a long transition is tied too.
    least = next(
        scale for scale in (1, 2, 4, 8, 16, 32, 64) if area / scale**2 <= MOST or scale == 64
    )
    fitting = list({max(scale, least): steps for scale, steps in levels}.items())
    if not most:
        return layers
    # As many on one side as on the other: they are fitted in pairs.
    both = tied(mixture, carried, "outgoing"), tied(mixture, carried, "incoming")
    ties = both[0].cut(most), both[1].cut(most)
    for number, (scale, steps) in enumerate(fitting):

        def note(done: float, losses: Mapping[str, float], number: int = number) -> None:
            if on_step:
                on_step((number + done) / len(fitting), losses)

        ties = fit_ties(mixture, layers, ties, scale, steps, seed=seed, device=device, on_step=note)
        layers = solve(mixture, layers, ties)
    return layers
