"""The generators of a task's layers, and the fit that all tasks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from models.generator import GeneratedLayer
from models.precision import probe
from stages.context import SeparationContext
from stages.optim.budget import COUNTED_STEPS
from stages.optim.fit import FitPlan, FitRun, Terms, fit
from stages.optim.losses import Schedule
from stages.optim.timing import steps_within

STEPS = 600
"""Steps of a fit without a time budget."""

MOST_STEPS = 5 * STEPS
"""Most steps within a time budget; more changed nothing that was measured."""

PIXELS = 320 * 180
"""Pixels of the largest frames that are generated. Larger frames are fitted at a smaller size, and
get their detail from the input when the residual is distributed."""

BATCH = 8
"""Frames in a step."""


class CoupledLayers(nn.Module):
    """A :class:`models.generator.GeneratedLayer` for each layer.

    channels: of each layer.
    frames: number of frames of each layer; 1 for a layer that all frames share.
    size: of the pictures, (H, W). seed: of initial values and noise. device: where to fit.
    """

    def __init__(
        self,
        channels: Sequence[int],
        frames: Sequence[int],
        size: tuple[int, int],
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__()
        dtype = probe(device).dtype
        self._layers = [
            GeneratedLayer(count, each, size, seed=len(channels) * seed + number, dtype=dtype)
            for number, (each, count) in enumerate(zip(channels, frames, strict=True))
        ]
        self.generators = nn.ModuleList(self._layers)
        self.to(device)

    def forward(self, index: Tensor) -> tuple[Tensor, ...]:
        """Return the layers of the frames ``index`` ``(B,)``, a shared one as ``(1, C, H, W)``."""
        shared = index[:1] * 0
        return tuple(layer(shared if layer.frames == 1 else index) for layer in self._layers)

    def code_parameters(self) -> list[nn.Parameter]:
        """Return the codes, which are the generators' learnt inputs.

        :func:`stages.optim.fit.fit` gives them a learning rate of their own, the code rate.
        """
        return [each for layer in self._layers for each in layer.code_parameters()]

    def render(self) -> tuple[Tensor, ...]:
        """Return all frames of each layer on the CPU, ``(T, C, H, W)``; T is 1 for a shared one."""
        return tuple(layer.render().cpu() for layer in self._layers)


def fit_coupled(
    module: nn.Module,
    terms: Terms,
    weights: dict[str, Schedule],
    run: FitRun,
    *,
    frames: int,
) -> None:
    """Fit ``module`` in place with the plan that all coupled generators have.

    frames: how many there are. Other arguments as in :func:`stages.optim.fit.fit`.
    """
    plan = FitPlan(run.steps, BATCH)
    fit(module, terms, weights, plan, frames=frames, seed=run.seed, on_step=run.on_step)


def coupled_steps(work: Callable[[int], object], context: SeparationContext) -> int:
    """Return the steps of a fit: :data:`STEPS`, or as many as fit in the time budget.

    work: ``work(n)`` runs n steps, to measure their time.
    """
    budget = context.settings.max_seconds
    if budget is None:
        return STEPS
    return context.checkpoints.compute_and_save(
        "steps", lambda: steps_within(work, COUNTED_STEPS * budget, MOST_STEPS)
    )
