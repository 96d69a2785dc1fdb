"""Coupled generators for transparent layers: ``A + B``, or mixtures of the same two layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stages.coupled.layers import CoupledLayers, fit_coupled
from stages.mixing.layer_sum import LayerSum
from stages.mixing.matte_composite import MatteComposite
from stages.optim.fit import FitRun
from stages.optim.losses import Schedule, constant, exclusion, reconstruction
from stages.published.transparency import LayersAndWeights

WEIGHTS: dict[str, Schedule] = {"reconstruction": constant(1.0), "exclusion": constant(0.05)}
"""The weight of every loss."""

APART = 1.0
"""Log-odds between which the weights of several mixtures begin: equal ones would say nothing."""


class CoupledMixtures(CoupledLayers):
    """Two layers that all frames share, and the first one's weight in every mixture.

    mixtures: how many. Other arguments as in :class:`stages.coupled.layers.CoupledLayers`.
    """

    def __init__(
        self, mixtures: int, size: tuple[int, int], seed: int, device: torch.device
    ) -> None:
        super().__init__((3, 3), (1, 1), size, seed, device)
        self.logits = nn.Parameter(torch.linspace(APART, -APART, mixtures, device=device))

    def code_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that learn at the code rate."""
        return [*super().code_parameters(), self.logits]

    def weights(self) -> Tensor:
        """Return the first layer's weight in every mixture, ``(K,)``."""
        return torch.sigmoid(self.logits)


def fit_sum(frames: Tensor, run: FitRun) -> LayersAndWeights:
    """Fit two layers that add up to the frames ``(T, 3, h, w)`` in [0, 1], and return them."""
    count = len(frames)
    size = (frames.shape[-2], frames.shape[-1])
    module = CoupledLayers((3, 3), (count, count), size, run.seed, run.device)
    target = frames.to(run.device)

    def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
        del progress
        one, other = module(index)
        return {
            "reconstruction": reconstruction(LayerSum().mix(one, other), target[index]),
            "exclusion": exclusion(one, other),
        }

    fit_coupled(module, terms, WEIGHTS, run, frames=count)
    one, other = module.render()
    return LayersAndWeights(one, other, torch.zeros(0))


def fit_mixtures(frames: Tensor, run: FitRun) -> LayersAndWeights:
    """Fit two layers and their weights to several mixtures ``(K, 3, h, w)`` of them.

    frames: the mixtures, in [0, 1].
    Returns the layer of the larger mean weight first.
    """
    count = len(frames)
    size = (frames.shape[-2], frames.shape[-1])
    module = CoupledMixtures(count, size, run.seed, run.device)
    target = frames.to(run.device)

    def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
        del progress
        one, other = module(index)
        weight = module.weights()[index].view(-1, 1, 1, 1)
        mixed = MatteComposite(weight).mix(other, one)
        return {
            "reconstruction": reconstruction(mixed, target[index]),
            "exclusion": exclusion(one, other),
        }

    fit_coupled(module, terms, WEIGHTS, run, frames=count)
    one, other = module.render()
    return LayersAndWeights(one, other, module.weights().detach().cpu()).larger_first()
