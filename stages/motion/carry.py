"""Motion seen through a mixture: clean frames carried into the mixed ones.

The last clean frame of the outgoing scene and the first clean frame of the incoming one are known
pictures. Their motion through the mixed frames is not. Both motions are fitted at once, to the
mixed frames themselves, from coarse to fine, by minimising over the flows F and G

    |I_t - mix(warp(A, F_t), warp(B, G_t), w_t)|  +  roughness  +  bend,

where roughness is the difference of neighbouring vectors and bend the change of velocity over time.
Only clean frames are warped. A half-separated layer would still show traces of the other scene, and
the flow would follow them.

After each level, frames in which a scene is faint are offered the motion that goes on from
clearer ones, and each pixel the motion of near ones (:mod:`stages.motion.propose`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import SIDES, Mixture, Side
from stages.motion.flow import flows, resize, resize_flow, warp_by_each
from stages.motion.propose import propose
from stages.motion.sampling import InterleavedSampling
from stages.optim.descent import (
    Descent,
    Losses,
    OnStep,
    ParameterGroup,
    Weights,
    part_of_fit,
)
from stages.optim.losses import Schedule, constant, decay_from_half
from stages.optim.parts import Part, evaluate_in_parts
from stages.optim.penalties import charbonnier, smoothed_total_variation
from stages.optim.threads import equal_parts

Levels = Sequence[tuple[int, int]]
"""Pairs of a divisor of the picture's sides and a number of steps, the coarsest first."""

PIXELS_PER_NODE = 2
"""Pixels of a level for each node (vector) of a flow, along each side."""

ROUGHNESS_WEIGHT = 0.001
"""Weight of the difference between neighbouring vectors, per pixel of a level."""

BEND_WEIGHT = 0.002
"""Weight of a change of velocity from frame to frame, per pixel of a level."""

COARSEST_SIDE = 56
"""Pixels of the shorter side below which a level may be the coarsest."""

FINEST_PART = 0.6
"""Steps of an added finest level, as a part of those of the level before it."""

KNOWN_FRAMES = 3
"""Clean frames beyond the template whose motion the flows go on from."""

VELOCITY_DECAY_FRAMES = 6
"""Frames after which an extrapolated velocity has fallen to 1 / e."""

VELOCITY_DIVISOR = 8
"""Divisor of the sides at which an extrapolated velocity is smoothed."""

LEARNING_RATE = 0.45
"""Adam's learning rate, in pixels of a level."""

NODES_AT_ONCE = 80_000
"""Nodes of a level that a processor warps at once: as many as stay in its cache."""

LEAST_PARTS = 4
"""Parts of a step of the motion fit on a processor, at least: several cores have work then."""

NODES_AT_ONCE_ON_GPU = 4_000_000
"""The same for a GPU: enough to keep it busy, about 1 GiB of temporaries."""


@dataclass(frozen=True)
class CarriedLayers:
    """Both scenes in the n mixed frames, as the motion makes them of clean frames.

    flows: from each mixed frame to each scene's template, ``(n, 2, H, W)``.
    templates: the indices of the templates in the window.
    layers: the templates warped along the flows, ``(n, 3, H, W)``.
    """

    flows: Pair
    templates: tuple[int, int]
    layers: Pair


def coarser_levels(levels: Levels, side: int) -> tuple[tuple[int, int], ...]:
    """Return ``levels`` with as many coarser ones as large pictures need.

    Fast motion is found only at a level whose picture is small. So while the coarsest picture is
    too large, all levels move to twice the divisor, and a finest one is added.

    side: pixels of the pictures' shorter side.
    """
    extended = tuple(levels)
    while extended and side / extended[0][0] >= COARSEST_SIDE:
        finest = max(1, round(FINEST_PART * extended[-1][1]))
        extended = (*((2 * scale, steps) for scale, steps in extended), (1, finest))
    return extended


def frames_at_once(
    count: int, nodes: tuple[int, int], device: torch.device, least: int = 1
) -> list[slice]:
    """Return the parts of ``count`` frames that are warped together, for fields of ``nodes``.

    least: how many parts a processor gets at least. They are equally long, to within a frame, and
    do not depend on the number of threads.
    """
    on_cpu = device.type == "cpu"
    most = NODES_AT_ONCE if on_cpu else NODES_AT_ONCE_ON_GPU
    needed = math.ceil(count * nodes[0] * nodes[1] / most)
    return equal_parts(count, min(count, max(needed, least if on_cpu else 1)))


def known_motion(mixture: Mixture, side: Side) -> Tensor:
    """Return the flows of clean frames beyond a scene's template to it, the nearest frame first.

    The result is ``(k, 2, H, W)``, with k at most :data:`KNOWN_FRAMES`.
    """
    template = mixture.template(side)
    away = -1 if side == "outgoing" else 1
    beyond = [template + away * distance for distance in range(1, KNOWN_FRAMES + 1)]
    clean = mixture.clean(side)
    pairs = [(frame, template) for frame in beyond if frame in clean]
    flow_of_pair = flows(mixture.frames, pairs)
    if not pairs:
        return mixture.frames.new_zeros(0, 2, *mixture.size)
    return torch.stack([flow_of_pair[pair] for pair in pairs])


def extrapolated(known: Tensor, count: int) -> Tensor:
    """Return a first guess of the flows of the ``count`` frames that follow a template.

    The last velocity of ``known`` (:func:`known_motion`), smoothed, goes on and dies away: after k
    frames it has moved by ``6 v (1 - exp(-k / 6))``.
    """
    if not len(known):
        return known.new_zeros(count, 2, *known.shape[-2:])
    size = (known.shape[-2], known.shape[-1])
    small = (-(-size[0] // VELOCITY_DIVISOR), -(-size[1] // VELOCITY_DIVISOR))
    velocity = -resize(resize(known[:1], small), size)
    steps = torch.arange(1, count + 1, dtype=known.dtype, device=known.device).view(-1, 1, 1, 1)
    return velocity * VELOCITY_DECAY_FRAMES * (1 - torch.exp(-steps / VELOCITY_DECAY_FRAMES))


def roughness(flow: Tensor) -> Tensor:
    """Return how much a flow ``(..., 2, h, w)`` differs between neighbouring nodes, in pixels."""
    return smoothed_total_variation(flow, -1) + smoothed_total_variation(flow, -2)


def regularity(flow: Tensor, known: Tensor, reverse: bool) -> dict[str, Tensor]:
    """Return the ``roughness`` over the picture and the ``bend`` over time of a flow, in pixels.

    flow: ``(n, 2, h, w)``, of frames in order of time. known: the motion that it goes on from
    (:func:`known_motion`). reverse: whether the template is the last frame, not the first.
    """
    ahead = flow.flip(0) if reverse else flow
    # All frames in order of time: clean ones, the template, whose flow is zero, and mixed ones.
    in_time = torch.cat([known[:2].flip(0), torch.zeros_like(flow[:1]), ahead])
    return {"roughness": roughness(flow), "bend": smoothed_total_variation(in_time, 0, order=2)}


def carry(
    mixture: Mixture,
    levels: Levels,
    *,
    start: Pair | None = None,
    known: Pair | None = None,
    proposals: bool = True,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
) -> CarriedLayers:
    """Fit both scenes' flows to the mixture and return the layers that they carry.

    start: flows ``(n, 2, H, W)`` to begin with; :func:`extrapolated` ones unless given.
    known: :func:`known_motion` of both scenes, where it was computed before. proposals: whether
    each frame is offered motion that goes on from clearer ones (:mod:`stages.motion.propose`).
    device: where to fit. on_step: called after each step.

    Raises FitError where the fit diverges.
    """
    device = device or mixture.frames.device
    known = known or (known_motion(mixture, "outgoing"), known_motion(mixture, "incoming"))
    count = mixture.count
    current = start or (extrapolated(known[0], count), extrapolated(known[1], count).flip(0))
    total = sum(steps for _, steps in levels) or 1
    done = 0
    for scale, steps in levels:
        level = _MotionLevel(mixture, scale, known, device)
        current = level.fit(current, steps, part_of_fit(on_step, done, steps, total))
        if proposals:
            current = propose(mixture, current, known, scale)
        done += steps
    templates = mixture.template("outgoing"), mixture.template("incoming")
    return CarriedLayers(current, templates, carried_layers(mixture, current))


@dataclass(frozen=True)
class _MotionView:
    """What a step sees of the mixed frames: a sampling of them and of their weights."""

    sampling: InterleavedSampling
    target: Tensor
    weight: Tensor


class _MotionLevel:
    """The fit of both flows at one size, ``1 / scale`` of the sides."""

    def __init__(self, mixture: Mixture, scale: int, known: Pair, device: torch.device) -> None:
        self.mixture = mixture
        self.scale = scale
        self.device = device
        size = mixture.size
        small = (-(-size[0] // scale), -(-size[1] // scale))
        self.nodes = (-(-small[0] // PIXELS_PER_NODE), -(-small[1] // PIXELS_PER_NODE))
        self.per_pixel = torch.tensor(
            [self.nodes[1] / small[1], self.nodes[0] / small[0]], device=device
        ).view(1, 2, 1, 1)
        self.known = [self._to_nodes(flow) for flow in known]
        self.templates = [
            resize(mixture.frames[index : index + 1], small).to(device)
            for index in (mixture.template("outgoing"), mixture.template("incoming"))
        ]
        target = resize(mixture.frames[mixture.mixed], small).to(device)
        weight = mixture.weight[mixture.mixed].to(device)
        self.views = []
        for number in InterleavedSampling.numbers(small):
            sampling = InterleavedSampling(small, number, target)
            seen = sampling.of(resize(weight, small)) if mixture.has_matte else weight
            self.views.append(_MotionView(sampling, sampling.of(target), seen))

    def fit(self, start: Pair, steps: int, on_step: OnStep) -> Pair:
        """Return the flows ``(n, 2, H, W)`` that ``start`` becomes in ``steps`` steps."""
        fields = [self._to_nodes(flow).requires_grad_() for flow in start]
        count = self.mixture.count
        parts = [
            Part((frames, frames), frames, (frames.stop - frames.start) / count)
            for frames in frames_at_once(count, self.nodes, self.device, LEAST_PARTS)
        ]
        descent = Descent(
            [ParameterGroup(fields, decay_from_half(LEARNING_RATE))],
            fused=True,
            name="the fit of the motion",
        )
        evaluate = partial(self._evaluate, fields, parts)
        # Steps differ in what they see of the mixed frames, and in nothing else.
        descent.run(evaluate, loss_weights(self.scale), steps, on_step, self._view_number)
        outgoing, incoming = (
            resize_flow(
                (field.detach() * self.per_pixel).to(self.mixture.frames), self.mixture.size
            )
            for field in fields
        )
        return outgoing, incoming

    def _to_nodes(self, flow: Tensor) -> Tensor:
        """Return a flow ``(n, 2, H, W)`` as one at the nodes, in pixels of the level."""
        return resize_flow(flow, self.nodes).to(self.device) / self.per_pixel

    def _view_number(self, step: int) -> int:
        """Return the number of the view of a step, which names the step's variant."""
        return step % len(self.views)

    def _evaluate(
        self, fields: Sequence[Tensor], parts: Sequence[Part], step: int, weights: Weights
    ) -> Losses:
        view = self.views[self._view_number(step)]
        return evaluate_in_parts(
            fields,
            parts,
            lambda part, pieces: {"unexplained": self._unexplained(view, part, pieces)},
            weights,
            own_losses=[
                partial(regularity, known=known, reverse=reverse)
                for known, reverse in zip(self.known, (False, True), strict=True)
            ],
            parallel=self.device.type == "cpu",
        )

    def _unexplained(self, view: _MotionView, part: Part, pieces: Sequence[Tensor]) -> Tensor:
        """Return what the carried templates leave unexplained of some mixed frames.

        part: says which frames. pieces: the flow of each scene into them. The result has the shape
        of the sampled pixels.
        """
        target = view.target[part.frames]
        carried = [
            self._carried(view, side, part.frames, flow)
            for side, flow in zip(SIDES, pieces, strict=True)
        ]
        model = self.mixture.dissolve(view.weight[part.frames])
        return charbonnier(model.mix(*carried) - target)

    def _carried(self, view: _MotionView, side: Side, frames: slice, flow: Tensor) -> Tensor:
        """Return the sampled pixels of one scene in some mixed frames.

        flow: from these frames to the scene's template, at the nodes.
        """
        if (plain := self.mixture.plain(side)) is not None:
            target = view.target[frames]
            return plain.to(target).expand_as(target)
        template = self.templates[SIDES.index(side)]
        return view.sampling.warp(
            template.expand(len(flow), -1, -1, -1), view.sampling.resized(flow)
        )


def loss_weights(scale: int) -> dict[str, Schedule]:
    """Return the weight of each loss of the fit at ``1 / scale`` of the sides."""
    return {
        "unexplained": constant(1.0),
        "roughness": constant(scale * ROUGHNESS_WEIGHT),
        "bend": constant(scale * BEND_WEIGHT),
    }


def carried_layers(mixture: Mixture, scene_flows: Pair) -> Pair:
    """Return the templates warped to the mixed frames along both scenes' flows.

    scene_flows: ``(n, 2, H, W)`` each. Returns two layers ``(n, 3, H, W)``; a known colour stays as
    it is.
    """
    outgoing, incoming = (
        carried_layer(mixture, side, flow) for side, flow in zip(SIDES, scene_flows, strict=True)
    )
    return outgoing, incoming


def carried_layer(mixture: Mixture, side: Side, flow: Tensor) -> Tensor:
    """Return one scene's template warped along ``flow`` ``(n, 2, H, W)``; a known colour as it is.

    The result is ``(n, 3, H, W)``.
    """
    if (plain := mixture.plain(side)) is not None:
        return plain.expand(len(flow), 3, *flow.shape[-2:]).clone()
    template = mixture.frames[mixture.template(side)][None]
    return warp_by_each(template, flow)
