"""Fit networks to a clip, frame batch by frame batch, through the loop of descent.

A task brings a module that holds all that is fitted, a function that names its losses for a few
frames, and the weights of these losses::

    fit(module, terms, {"reconstruction": constant(1)}, FitPlan(steps=500), frames=len(clip))
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stages.optim.descent import Descent, Losses, ParameterGroup, Weights, weighted
from stages.optim.descent import OnStep as OnStep
from stages.optim.losses import Schedule, ramp, warm_and_decay
from stages.optim.steps import Prepare
from stages.optim.threads import convolution_threads

Terms = Callable[[Tensor, float], Mapping[str, Tensor]]
"""``terms(index, progress)``: the losses by name for the frames ``index`` ``(B,)``."""

Draw = Callable[[torch.Generator], Tensor]
"""Draws the frames of the next step, ``(B,)`` on the CPU."""


@dataclass(frozen=True)
class VariedDraw:
    """A draw for steps that a GPU may repeat (:mod:`stages.optim.graphs`).

    draw: as :data:`Draw`. variant: names what a step does with drawn frames ``(B,)``, which it is
    given on the CPU. Steps of the same variant do the same operations, and their losses depend on
    the frames alone, not on the progress.
    """

    draw: Draw
    variant: Callable[[Tensor], Hashable]


WARM_PART = 0.25
"""Largest part of a fit in which the learning rate may rise."""

START_RATE = 1e-3
"""Part of the full learning rate that a rise begins with."""

SHORTEST_RISE = 1e-9
"""Least part of a fit that a rise takes, because the schedule divides by it."""

SEED_STRIDE = 1_000_003
"""A prime that keeps the random numbers of one seed apart from those of the next."""


@dataclass(frozen=True)
class FitState:
    """Where a fit stands: all that is fitted, the optimiser's memory, and the steps done.

    Made of tensors and plain values only, so that a checkpoint can hold it.
    """

    module: dict[str, Any]
    optimizer: dict[str, Any]
    steps: int


@dataclass(frozen=True)
class FitRun:
    """How a task's networks are fitted, where the task itself sets all rates and batches.

    steps: how many. seed: of initial values, noise and the order of frames. device: where to fit.
    on_step: called with the progress of the fit and the losses.
    """

    steps: int
    seed: int = 0
    device: torch.device = torch.device("cpu")
    on_step: OnStep | None = None


@dataclass(frozen=True)
class FitPlan:
    """How many steps a fit has, and how large they are. The same plan gives the same result.

    steps: how many. batch: frames in a step.
    rate: Adam's learning rate of the networks. code_rate: the same of codes and curves.
    warm_up: steps until the full rate, at most a quarter of all. From there the rate falls
        linearly to zero, unless ``decay`` is off.
    betas: Adam's. The memory of squares is shorter than usual, because a fit takes some hundred
        steps.
    start: the state of an earlier fit to go on from.
    """

    steps: int
    batch: int = 8
    rate: float = 3e-3
    code_rate: float = 1e-2
    warm_up: int = 50
    decay: bool = True
    betas: tuple[float, float] = (0.9, 0.99)
    start: FitState | None = None

    @property
    def schedule(self) -> Schedule:
        """The learning rate's factor over progress."""
        warm = min(self.warm_up / max(1, self.steps), WARM_PART)
        if self.decay:
            return warm_and_decay(warm)
        return ramp(START_RATE if warm else 1.0, 1.0, max(warm, SHORTEST_RISE))


def shuffled(frames: int, batch: int) -> Draw:
    """Return a draw of ``batch`` frames that visits each frame before any comes again."""
    left: list[int] = []

    def draw(generator: torch.Generator) -> Tensor:
        while len(left) < min(batch, frames):
            left.extend(torch.randperm(frames, generator=generator).tolist())
        drawn = sorted(set(left[: min(batch, frames)]))
        del left[: min(batch, frames)]
        return torch.tensor(drawn)

    return draw


def fit(
    module: nn.Module,
    terms: Terms,
    weights: Mapping[str, Schedule],
    plan: FitPlan,
    *,
    frames: int | Draw | VariedDraw,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> FitState:
    """Fit ``module`` in place with Adam and return its state.

    module: all that is fitted. A method ``code_parameters`` names the parameters that learn at
        ``plan.code_rate``; without it all learn at ``plan.rate``.
    terms: computes the losses of a batch of frames. weights: of each loss, over progress.
    frames: how many there are, drawn by :func:`shuffled`, or what draws those of a step.
    seed: of the order of the frames. on_step: called after each step.

    Raises FitError where the fit diverges (see :class:`stages.optim.descent.DivergenceGuard`) and
    KeyError where a loss has no weight.
    """
    done = plan.start.steps if plan.start else 0
    generator = torch.Generator().manual_seed(seed * SEED_STRIDE + done)
    device = next(module.parameters()).device
    prepare: Prepare | None = None
    if isinstance(frames, VariedDraw):
        varied = _VariedBatch(frames, generator, device)
        batch: _Batch = varied
        prepare = varied.prepare
    else:
        draw = shuffled(frames, plan.batch) if isinstance(frames, int) else frames
        batch = _Batch(draw, generator, device)
    descent = _descent(module, plan)
    module.train()
    with convolution_threads(module) as begin_step:

        def evaluate(step: int, now: Weights) -> Losses:
            begin_step()
            return weighted(terms(batch.of_step(), step / plan.steps), now)

        descent.run(evaluate, weights, plan.steps, on_step, prepare)
    return FitState(
        copy.deepcopy(module.state_dict()),
        copy.deepcopy(descent.optimizer.state_dict()),
        done + plan.steps,
    )


class _Batch:
    """The frames of each step, on the device of the fit.

    draw: draws them. generator: of random numbers.
    """

    def __init__(self, draw: Draw, generator: torch.Generator, device: torch.device) -> None:
        self.draw = draw
        self.generator = generator
        self.device = device

    def of_step(self) -> Tensor:
        """Return the frames of the step, ``(B,)``."""
        return _queued(self.draw(self.generator), self.device)


class _VariedBatch(_Batch):
    """The same for steps that a GPU may repeat: each variant's frames stay in one tensor.

    variant: as of :class:`VariedDraw`.
    """

    def __init__(
        self, varied: VariedDraw, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(varied.draw, generator, device)
        self._variant_of = varied.variant
        self._kept: dict[Hashable, Tensor] = {}
        self._variant: Hashable = None

    def prepare(self, step: int) -> Hashable:
        """Draw the frames of a step into the tensor of their variant; return the variant."""
        drawn = self.draw(self.generator)
        self._variant = self._variant_of(drawn)
        index = _queued(drawn, self.device)
        if self._variant in self._kept:
            self._kept[self._variant].copy_(index)
        else:
            self._kept[self._variant] = index.clone()
        return self._variant

    def of_step(self) -> Tensor:
        """Return the frames of the prepared step, ``(B,)``."""
        return self._kept[self._variant]


def _queued(index: Tensor, device: torch.device) -> Tensor:
    """Return the frames of a step on ``device``, without waiting for a GPU's earlier work."""
    if device.type != "cuda":
        return index.to(device)
    return index.pin_memory().to(device, non_blocking=True)


def _descent(module: nn.Module, plan: FitPlan) -> Descent:
    """Return the descent of a module's parameters, from the plan's start where it has one."""
    fitted = [parameter for parameter in module.parameters() if parameter.requires_grad]
    codes: set[int] = set()
    if (code_parameters := getattr(module, "code_parameters", None)) is not None:
        codes = {id(parameter) for parameter in code_parameters()}

    def rate(full: float) -> Schedule:
        # Taken at the middle of a step, so that neither the first nor the last one is zero.
        half_step = 0.5 / plan.steps if plan.steps else 0.0
        return lambda progress: full * plan.schedule(progress + half_step)

    descent = Descent(
        [
            ParameterGroup([p for p in fitted if id(p) not in codes], rate(plan.rate)),
            ParameterGroup([p for p in fitted if id(p) in codes], rate(plan.code_rate)),
        ],
        betas=plan.betas,
        fused=fitted[0].device.type == "cuda",
        buffers=module.buffers(),
        name="the fit of the networks",
    )
    if plan.start is not None:
        module.load_state_dict(plan.start.module)
        # A copy, because the optimiser works on what it is given.
        descent.optimizer.load_state_dict(copy.deepcopy(plan.start.optimizer))
    return descent
