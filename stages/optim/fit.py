"""The loop that fits networks to a clip: pictures, losses, gradients, step. It knows no task; nothing is printed or saved in it.

A task brings a module that holds all that is fitted, a function that names its losses for a few frames, and their weights::

    state = fit(module, terms, {"reconstruction": constant(1)}, FitPlan(steps=500), frames=len(clip), seed=0)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stages.errors import FitError
from stages.optim.losses import Schedule, ramp, warm_and_decay
from stages.optim.threads import convolution_threads

Terms = Callable[[Tensor, float], Mapping[str, Tensor]]
"""``terms(index, progress)``: the losses by name for the frames ``index`` (B,)."""
OnStep = Callable[[float, Mapping[str, float]], None]
"""Called after a step with the progress (0, 1] and the losses, ``total`` among them, before they are weighted."""
Draw = Callable[[torch.Generator], Tensor]
"""The frames of the next step, ``(B,)`` on the CPU."""

TRIES = 3


@dataclass(frozen=True)
class FitPlan:
    """How long and how boldly to fit. Counted in steps, never in seconds: the same plan gives the same result.

    rate, code_rate: Adam's learning rates of the networks and of what is named as code (codes, curves).
    warm_up: steps until the full rate, at most a quarter of all; from there it falls straight to zero, unless ``decay`` is off.
    betas: Adam's. A shorter memory of squares than usual, as a fit of some hundred steps has no time for the usual one.
    """

    steps: int
    batch: int = 8
    rate: float = 3e-3
    code_rate: float = 1e-2
    warm_up: int = 50
    decay: bool = True
    betas: tuple[float, float] = (0.9, 0.99)

    @property
    def schedule(self) -> Schedule:
        """The learning rate's factor over progress."""
        warm = min(self.warm_up / max(1, self.steps), 0.25)
        return (
            warm_and_decay(warm)
            if self.decay
            else ramp(1e-3 if warm else 1.0, 1.0, max(warm, 1e-9))
        )


@dataclass(frozen=True)
class FitState:
    """Where a fit stands: everything that is fitted, the optimiser's memory, and the steps done. Tensors and plain values only."""

    module: dict[str, Any]
    optimiser: dict[str, Any]
    steps: int


class DivergenceGuard:
    """For loops of their own, over a few tensors: where a loss or a value is no number, back to the last good values with a third of the
    step (:attr:`boldness`), and the third time an end in one line."""

    def __init__(self, fitted: Sequence[Tensor], optimiser: torch.optim.Optimizer) -> None:
        self.boldness = 1.0
        self._fitted, self._optimiser, self._failures = fitted, optimiser, 0
        self._good = [value.detach().clone() for value in fitted]

    def passes(self, loss: Tensor) -> bool:
        """Whether ``loss`` is a number; where it is none, the step is to be left out. To be asked before the loss goes backward."""
        if bool(torch.isfinite(loss)):
            return True
        self._back()
        return False

    def step(self) -> None:
        """The optimiser's step from values whose losses all passed."""
        for value, good in zip(self._fitted, self._good, strict=True):
            good.copy_(value.detach())
        self._optimiser.step()
        # The sum of many numbers is one only if all are.
        if not all(bool(torch.isfinite(value.sum())) for value in self._fitted):
            self._back()

    @torch.no_grad()
    def _back(self) -> None:
        self._failures += 1
        if self._failures == TRIES:
            raise FitError(
                f"the fit of its motion lost its way {TRIES} times; try another seed, or fit on the CPU",
                settings=("seed", "device"),
            )
        self.boldness /= 3
        self._optimiser.state.clear()
        for value, good in zip(self._fitted, self._good, strict=True):
            value.copy_(good)


def shuffled(frames: int, batch: int) -> Draw:
    """``batch`` frames at a time in an order that visits each before any comes again."""
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
    frames: int,
    seed: int = 0,
    codes: Iterable[nn.Parameter] = (),
    draw: Draw | None = None,
    warm: FitState | None = None,
    on_step: OnStep | None = None,
) -> FitState:
    """Fit ``module`` in place by Adam and return where it stands.

    terms: the losses of a batch of frames; a name without a weight is an error.
    codes: parameters that learn at ``plan.code_rate``.
    draw: which frames a step sees; :func:`shuffled` unless given.
    warm: go on from there (networks, codes and the optimiser's memory), with a schedule of its own.

    A loss that is not a number sends the fit back to the last good state, with a step a third as long; the third time it gives up.
    """
    optimiser = _optimiser(module, set(map(id, codes)), plan)
    if warm is not None:
        module.load_state_dict(warm.module)
        # A copy, as the optimiser works on what it is given; its rates are those of the old plan and are set again below.
        optimiser.load_state_dict(copy.deepcopy(warm.optimiser))
    done = warm.steps if warm else 0
    draw = draw or shuffled(frames, plan.batch)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + done)
    device = next(module.parameters()).device
    boldness, failures = 1.0, 0
    good = _snapshot(module, optimiser, done)
    module.train()

    with convolution_threads(module) as begin_step:
        for step, sampled in enumerate(_draws(draw, generator, plan.steps)):
            begin_step()
            progress = step / plan.steps
            for group, rate in zip(
                optimiser.param_groups, (plan.rate, plan.code_rate), strict=True
            ):
                group["lr"] = rate * boldness * plan.schedule((step + 0.5) / plan.steps)
            losses = terms(sampled.to(device), progress)
            total = torch.stack(
                [weights[name](progress) * loss for name, loss in losses.items()]
            ).sum()
            value = float(total.detach())
            if not math.isfinite(value):
                failures += 1
                if failures == TRIES:
                    raise FitError(
                        f"the fit lost its way {TRIES} times, at step {step} of {plan.steps}; "
                        "try another seed, or fit on the CPU",
                        settings=("seed", "device"),
                    )
                boldness /= 3
                _restore(good, module, optimiser)
                continue
            if step % 20 == 0:
                # Taken before the step: the finite loss above vouches for these values, not for the next ones.
                good = _snapshot(module, optimiser, done + step)
            optimiser.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if on_step is not None:
                on_step(
                    (step + 1) / plan.steps,
                    {name: float(loss.detach()) for name, loss in losses.items()}
                    | {"total": value},
                )

    if not all(bool(torch.isfinite(p).all()) for p in module.parameters()):
        _restore(good, module, optimiser)
    return _snapshot(module, optimiser, done + plan.steps)


def _draws(draw: Draw, generator: torch.Generator, steps: int) -> Iterator[Tensor]:
    return (draw(generator) for _ in range(steps))


def _optimiser(module: nn.Module, codes: set[int], plan: FitPlan) -> torch.optim.Adam:
    fitted = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in fitted if id(p) not in codes], "lr": plan.rate},
        {"params": [p for p in fitted if id(p) in codes], "lr": plan.code_rate},
    ]
    return torch.optim.Adam(groups, betas=plan.betas)


def _snapshot(module: nn.Module, optimiser: torch.optim.Adam, steps: int) -> FitState:
    return FitState(
        copy.deepcopy(module.state_dict()), copy.deepcopy(optimiser.state_dict()), steps
    )


def _restore(state: FitState, module: nn.Module, optimiser: torch.optim.Adam) -> None:
    module.load_state_dict(state.module)
    optimiser.load_state_dict(copy.deepcopy(state.optimiser))
