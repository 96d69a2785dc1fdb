"""Double-DIP for transparent layers as published (Gandelsman et al., CVPR 2019, sections 3 and 5).

One mixture is ``A + B`` in encoded values. Several mixtures of the same two layers are
``a A + (1 - a) B``, with one weight ``a`` for each, drawn by a network of its own. An exclusion
loss keeps the layers from sharing edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.mixing.layer_sum import LayerSum
from stages.mixing.matte_composite import MatteComposite
from stages.optim.fit import FitRun
from stages.optim.losses import (
    Schedule,
    constant,
    exclusion,
    one_until,
    reconstruction,
    squared_reconstruction,
)
from stages.published.fit import DrawnStep, PublishedStage, fit_stages, step_of
from stages.published.networks import (
    JITTER,
    InputJitter,
    PublishedNetworks,
    layer_noises,
    orientation_at,
    oriented,
    still_jitter,
)

SUM_STEPS = 8000
"""Steps for one mixture."""

SUM_RATE = 5e-4
"""Adam's learning rate for one mixture."""

SUM_WEIGHTS: dict[str, Schedule] = {"reconstruction": constant(1.0), "exclusion": constant(0.01)}
"""The weights of the losses for one mixture."""

MIXTURE_STEPS = 7000
"""Steps for several mixtures."""

TIED_PART = 1000 / MIXTURE_STEPS
"""Part of the fit in which the weights of several mixtures are tied to one half."""

ALPHA_SCALE, ALPHA_LEAST = 0.9, 0.05
"""A mixture's weight is a network's output, scaled and then raised: from 0.05 to 0.95."""

MIXTURE_WEIGHTS: dict[str, Schedule] = {
    "reconstruction": constant(1.0),
    "exclusion": constant(0.1),
    "half": one_until(TIED_PART),
}
"""The weights of the losses for several mixtures."""


@dataclass(frozen=True)
class LayersAndWeights:
    """Two layers on the CPU, and how they mix.

    first, second: ``(T, 3, H, W)`` in [0, 1], or ``(1, 3, H, W)`` where all frames share them.
    weights: the first layer's in every mixture, ``(K,)``; empty for a sum.
    """

    first: Tensor
    second: Tensor
    weights: Tensor

    def larger_first(self) -> LayersAndWeights:
        """Return the same layers, that of the larger mean weight first."""
        if float(self.weights.mean()) >= 0.5:
            return self
        return LayersAndWeights(self.second, self.first, 1 - self.weights)


def fit_sum(frames: Tensor, run: FitRun) -> LayersAndWeights:
    """Fit two networks to one mixture, or to the frames of a clip, ``(T, 3, H, W)``.

    A picture and its noise are rotated and flipped in every second step; a clip is not.

    frames: in [0, 1].
    """
    count = len(frames)
    size = (frames.shape[-2], frames.shape[-1])
    noises = layer_noises(2, count, size, run.seed)
    module = PublishedNetworks((3, 3), noises, run.seed).to(run.device)
    target = frames.to(run.device)
    jitter = InputJitter(run.seed)

    def draw(index: Tensor, progress: float) -> DrawnStep:
        step = step_of(progress, SUM_STEPS)
        orientation = orientation_at(step) if count == 1 else 0
        scale = still_jitter(step) if count == 1 else JITTER
        one, other = module(index, jitter.draw(module, index, scale), orientation)
        mixed, frame = LayerSum().mix(one, other), oriented(target[index], orientation)
        losses = {
            "reconstruction": reconstruction(mixed, frame),
            "exclusion": exclusion(one, other),
        }
        return DrawnStep(mixed, frame, losses)

    fit_stages(module, [PublishedStage(run.steps, draw, SUM_WEIGHTS, SUM_RATE)], run, count)
    one, other = module.render(torch.arange(count))
    return LayersAndWeights(one, other, torch.zeros(0))


def fit_mixtures(frames: Tensor, run: FitRun) -> LayersAndWeights:
    """Fit two layers and a weight for each of several mixtures ``(K, 3, H, W)`` of them.

    The inputs are not jittered.

    Returns the layer of the larger mean weight first.
    """
    count = len(frames)
    size = (frames.shape[-2], frames.shape[-1])
    noises = [
        noise
        for number in range(2 + count)
        for noise in layer_noises(1, 1, size, (2 + count) * run.seed + number)
    ]
    module = PublishedNetworks((3, 3, *[1] * count), noises, run.seed).to(run.device)
    target = frames.to(run.device)
    every = torch.zeros(1, dtype=torch.long, device=run.device)

    def draw(index: Tensor, progress: float) -> DrawnStep:
        del progress
        one, other, *alphas = module(every)
        weight = mixing_weights(alphas)[index]
        mixed = MatteComposite(weight.view(-1, 1, 1, 1)).mix(other, one)
        losses = {
            "reconstruction": squared_reconstruction(mixed, target[index]),
            "exclusion": exclusion(one, other),
            "half": (weight - 0.5).square().mean(),
        }
        return DrawnStep(mixed, target[index], losses)

    fit_stages(module, [PublishedStage(run.steps, draw, MIXTURE_WEIGHTS)], run, count)
    one, other, *alphas = module.render(torch.zeros(1, dtype=torch.long))
    return LayersAndWeights(one, other, mixing_weights(alphas)).larger_first()


def mixing_weights(alphas: list[Tensor]) -> Tensor:
    """Return the weight of each mixture, ``(K,)``, from its network's output ``(1, 1, H, W)``.

    It is constant over the picture: the mean of the output, times 0.9, plus 0.05.
    """
    return ALPHA_SCALE * torch.stack([alpha.mean() for alpha in alphas]) + ALPHA_LEAST
