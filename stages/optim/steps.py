"""The steps of a descent: losses, then Adam's move. Done one by one, or repeated by a GPU."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from stages.optim.adam import Adam
from stages.optim.graphs import GraphCache, Recorder
from stages.optim.losses import Schedule

Weights = Mapping[str, float | Tensor]
"""The weight of each named loss at one step; scalar tensors where a GPU repeats the steps."""


@dataclass(frozen=True)
class Losses:
    """The losses of one step.

    total: their weighted sum, a scalar that can be differentiated. named: each without its weight.
    """

    total: Tensor
    named: Mapping[str, Tensor]


Evaluate = Callable[[int, Weights], Losses]
"""``evaluate(step, weights)``: the losses of a step, counted from 0, with the weights of then."""

Prepare = Callable[[int], Hashable]
"""``prepare(step)``: readies a step that a GPU may repeat, and names its variant.

It is called before the step. What the step reads and what changes from step to step it writes into
tensors that stay the same. Steps of the same variant, which is not None, do the same operations on
the same tensors; their losses depend on nothing else.
"""


def weighted(named: Mapping[str, Tensor], weights: Weights) -> Losses:
    """Return losses with their weighted sum.

    named: scalars by name. Raises KeyError for a missing weight.
    """
    total = torch.stack([weights[name] * loss for name, loss in named.items()]).sum()
    return Losses(total, named)


@dataclass(frozen=True)
class ParameterGroup:
    """Tensors that are fitted with the same learning rate, a function of progress."""

    tensors: Sequence[Tensor]
    rate: Schedule


@dataclass(frozen=True)
class StepCourse:
    """What the steps of a fit need, over its course.

    groups: the tensors and their rates. weights: of the losses, over progress. steps: how many.
    """

    groups: Sequence[ParameterGroup]
    weights: Mapping[str, Schedule]
    steps: int

    def rates_at(self, step: int) -> list[float]:
        """Return the learning rate of each group."""
        return [group.rate(step / self.steps) for group in self.groups]

    def weights_at(self, step: int) -> dict[str, float]:
        """Return the weight of each loss."""
        return {name: weight(step / self.steps) for name, weight in self.weights.items()}


class Steps(Protocol):
    """Steps of a descent, each in two halves: whether the second is taken is decided between."""

    def losses(self, step: int, variant: Hashable, rate_factor: float) -> Losses:
        """Return the losses of a step.

        step: its number, from 0. variant: see :data:`Prepare`; ``None`` without it.
        rate_factor: a factor of all learning rates.
        """
        ...

    def move(self) -> None:
        """Move all tensors by the gradients of the last losses."""
        ...


class PlainSteps:
    """Steps that are done one operation after another."""

    def __init__(self, optimizer: Adam, evaluate: Evaluate, course: StepCourse) -> None:
        self.optimizer = optimizer
        self.evaluate = evaluate
        self.course = course

    def losses(self, step: int, variant: Hashable, rate_factor: float) -> Losses:
        """Return the losses of a step, whatever its variant."""
        rates = self.course.rates_at(step)
        for settings, rate in zip(self.optimizer.param_groups, rates, strict=True):
            settings["lr"] = rate_factor * rate
        self._last = self.evaluate(step, self.course.weights_at(step))
        return self._last

    def move(self) -> None:
        """Move all tensors by the gradients of the last losses."""
        self.optimizer.zero_grad()
        torch.autograd.backward(self._last.total)
        self.optimizer.step()


class RepeatedSteps:
    """Steps that a GPU repeats by itself, after the first ones of each variant.

    optimizer: fused, because only then it counts its steps where it computes.
    record: what records graphs (:data:`stages.optim.graphs.Recorder`).

    Learning rates and weights lie on the GPU in single precision. Otherwise the values are those
    of :class:`PlainSteps`.
    """

    def __init__(
        self, optimizer: Adam, evaluate: Evaluate, course: StepCourse, record: Recorder
    ) -> None:
        self.optimizer = optimizer
        self.evaluate = evaluate
        self.graphs = GraphCache(record)
        self.values = [value for group in course.groups for value in group.tensors]
        self.rates = len(course.groups)
        # All numbers of all steps at once: to bring one to a GPU is to wait for its work.
        self.table = torch.tensor(
            [
                [*course.rates_at(step), *course.weights_at(step).values()]
                for step in range(course.steps)
            ],
            device=self.values[0].device,
        )
        self.now = self.table[0].clone()
        names = list(course.weights_at(0))
        self.weights = dict(zip(names, self.now[self.rates :], strict=True))
        for settings, rate in zip(optimizer.param_groups, self.now[: self.rates], strict=True):
            settings["lr"] = rate
        self.variant: Hashable = None

    def losses(self, step: int, variant: Hashable, rate_factor: float) -> Losses:
        """Return the losses of a step and compute the gradients as well."""
        self.variant = variant
        self.now.copy_(self.table[step])
        if rate_factor != 1:
            self.now[: self.rates] *= rate_factor
        losses, gradients = self.graphs.run(
            self._key("losses"), partial(self._losses_and_gradients, step)
        )
        # A graph fills the gradients that it was recorded with, and every graph has its own.
        for value, gradient in zip(self.values, gradients, strict=True):
            value.grad = gradient
        return losses

    def move(self) -> None:
        """Move all tensors by the gradients of the last losses."""
        self.graphs.run(self._key("move"), self.optimizer.step)

    def _key(self, half: str) -> Hashable:
        """Return the name of one half of the step for the graphs; None to do it as usual."""
        return None if self.variant is None else (half, self.variant)

    def _losses_and_gradients(self, step: int) -> tuple[Losses, list[Tensor | None]]:
        """Return the losses of a step, and each value's gradient; None if it has no part."""
        self.optimizer.zero_grad()
        losses = self.evaluate(step, self.weights)
        torch.autograd.backward(losses.total)
        # Without their history, which holds on to memory and to the stream it was made on.
        named = {name: loss.detach() for name, loss in losses.named.items()}
        return Losses(losses.total.detach(), named), [value.grad for value in self.values]
