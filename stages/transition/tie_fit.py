"""Fit the flows of ties to the mixture itself, in pairs: one tie of each scene.

What a pair of ties brings to a frame must explain the input when it is mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture
from stages.motion.carry import PIXELS_PER_NODE, ROUGHNESS_WEIGHT, frames_at_once, roughness
from stages.motion.flow import resize, resize_flow
from stages.motion.sampling import InterleavedSampling
from stages.optim.descent import (
    Descent,
    Losses,
    OnStep,
    ParameterGroup,
    Weights,
)
from stages.optim.losses import Schedule, constant, decay_from_half
from stages.optim.parts import Part, evaluate_in_parts
from stages.optim.penalties import charbonnier
from stages.transition.ties import FrameTies

RATE = 0.2
"""Adam's learning rate, in pixels of a level."""

BETAS = (0.8, 0.99)
"""Adam's; a short memory, because a tie meets another partner at each step."""

AGREE = 0.2
"""Weight of the distance to the layers as they are, relative to 1 for the mixture."""


def loss_weights(scale: int) -> dict[str, Schedule]:
    """Return the weight of each loss of the fit at ``1 / scale`` of the sides."""
    return {
        "unexplained": constant(1.0),
        "disagreement": constant(AGREE),
        "roughness": constant(scale * ROUGHNESS_WEIGHT),
    }


@dataclass(frozen=True)
class _TieView:
    """What a step sees: a sampling of the mixed frames, of their weights and of both layers."""

    sampling: InterleavedSampling
    target: Tensor
    weight: Tensor
    layers: Sequence[Tensor]


class _TieLevel:
    """The fit of all ties' flows at one size, ``1 / scale`` of the sides."""

    def __init__(
        self,
        mixture: Mixture,
        layers: Pair,
        ties: tuple[FrameTies, FrameTies],
        scale: int,
        device: torch.device,
    ) -> None:
        self.mixture = mixture
        self.ties = ties
        self.frames = [tie.frames.to(device) for tie in ties]
        self.device = device
        small = (-(-mixture.size[0] // scale), -(-mixture.size[1] // scale))
        self.nodes = (-(-small[0] // PIXELS_PER_NODE), -(-small[1] // PIXELS_PER_NODE))
        self.per_node = torch.tensor(
            [small[1] / self.nodes[1], small[0] / self.nodes[0]], device=device
        ).view(1, 2, 1, 1)
        self.small_layers = [resize(layer, small).to(device) for layer in layers]
        target = resize(mixture.frames[mixture.mixed], small).to(device)
        weight = mixture.weight[mixture.mixed].to(device)
        self.views = []
        for number in range(InterleavedSampling.COUNT):
            sampling = InterleavedSampling(small, number, target)
            seen = sampling.of(resize(weight, small)) if mixture.has_matte else weight
            own = [sampling.of(layer[mixture.mixed]) for layer in self.small_layers]
            self.views.append(_TieView(sampling, sampling.of(target), seen, own))

    def fields(self) -> list[Tensor]:
        """Return the flows at the nodes, ``(n, K, 2, h, w)`` for each scene, to be fitted."""
        count = self.mixture.count
        return [
            (resize_flow(tie.flows, self.nodes).to(self.device) * self.per_node)
            .view(count, -1, 2, *self.nodes)
            .contiguous()
            .requires_grad_()
            for tie in self.ties
        ]

    def fitted(self, fields: Sequence[Tensor]) -> tuple[FrameTies, FrameTies]:
        """Return the ties with the flows of ``fields``."""
        outgoing, incoming = (
            FrameTies(tie.frames, (field.detach().flatten(0, 1) / self.per_node).to(tie.flows))
            for tie, field in zip(self.ties, fields, strict=True)
        )
        return outgoing, incoming

    def parts(self, pairs: Sequence[tuple[int, int]]) -> list[Part]:
        """Return the parts of a step: some frames of a pair of ties, one of each scene, each."""
        count = self.mixture.count
        return [
            Part(
                index=tuple((frames, number) for number in pair),
                frames=frames,
                share=(frames.stop - frames.start) / count,
            )
            for pair in pairs
            for frames in frames_at_once(count, self.nodes, self.device)
        ]

    def losses(self, step: int, part: Part, flows: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the losses of a part, by name.

        unexplained: what the ties leave of the input when mixed. disagreement: how far what they
        bring is from the layers. roughness: of their flows.
        """
        numbers = [number for _, number in part.index]
        view = self.views[(step + numbers[0]) % len(self.views)]
        brought, disagreement, rough = [], [], []
        for small_layer, frames, number, own, flow in zip(
            self.small_layers, self.frames, numbers, view.layers, flows, strict=True
        ):
            source = small_layer[frames[part.frames, number]]
            layer = view.sampling.warp(source, view.sampling.resized(flow))
            disagreement.append(charbonnier(layer - own[part.frames]))
            rough.append(roughness(flow))
            brought.append(layer)
        model = self.mixture.dissolve(view.weight[part.frames])
        return {
            "unexplained": charbonnier(model.mix(*brought) - view.target[part.frames]),
            "disagreement": disagreement[0] + disagreement[1],
            "roughness": rough[0] + rough[1],
        }


def fit_ties(
    mixture: Mixture,
    layers: Pair,
    ties: tuple[FrameTies, FrameTies],
    level: tuple[int, int],
    *,
    seed: int = 0,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
) -> tuple[FrameTies, FrameTies]:
    """Return the ties with flows fitted to the mixture.

    In each step every tie of one scene meets a tie of the other one, in random pairs.

    layers: both scenes over the window, ``(N, 3, H, W)``: what the ties bring. They stay as they
        are. level: a divisor of the picture's sides and a number of steps.
    seed: of the pairs. device: where to fit. on_step: called after each step.

    Raises FitError where the fit diverges.
    """
    scale, steps = level
    device = device or mixture.frames.device
    tie_level = _TieLevel(mixture, layers, ties, scale, device)
    fields = tie_level.fields()
    count = min(tie.frames.shape[1] for tie in ties)
    order = torch.Generator().manual_seed(seed)

    def evaluate(step: int, weights: Weights) -> Losses:
        pairs = list(enumerate(torch.randperm(count, generator=order).tolist()))
        return evaluate_in_parts(
            fields,
            tie_level.parts(pairs),
            lambda part, flows: tie_level.losses(step, part, flows),
            weights,
            parallel=device.type == "cpu",
        )

    descent = Descent(
        [ParameterGroup(fields, decay_from_half(RATE))],
        betas=BETAS,
        fused=True,
        name="the fit of the motion",
    )
    descent.run(evaluate, loss_weights(scale), steps, on_step)
    return tie_level.fitted(fields)
