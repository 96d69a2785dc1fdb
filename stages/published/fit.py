"""The loop that every published fit runs through: Adam, and the best snapshot.

Adam has a constant rate and its usual betas. At each step the parameters are kept if the mixture
that they draw has the best PSNR so far, and the layers come from the best ones. Everything else
differs from task to task.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from stages.context import Note, SeparationContext, notes_where
from stages.mixing.psnr import psnr_of
from stages.optim.budget import COUNTED_STEPS
from stages.optim.descent import part_of_fit
from stages.optim.fit import FitPlan, FitRun, FitState, Terms, fit
from stages.optim.losses import Schedule
from stages.optim.timing import steps_within
from stages.published.networks import BATCH

RATE = 1e-3
"""Adam's learning rate, unless a task has its own."""

BETAS = (0.9, 0.999)
"""Adam's defaults, which the released code keeps."""

NO_SNAPSHOT = -1.0
"""PSNR before the first snapshot, below that of any mixture of values in [0, 1]."""

CHECK_STEPS = 25
"""Steps after which it is checked again whether a fit may end early."""

SHORTENED = (
    "the published fit of {frames} was shortened by {max_seconds}, so the layers are not what the "
    "whole fit gives; fit_steps of whole_fit_steps in the report were taken"
)


@dataclass(frozen=True)
class DrawnStep:
    """What the networks draw in one step.

    mixture: the mixture of the drawn layers. target: the input that it should be.
    losses: by name.
    """

    mixture: Tensor
    target: Tensor
    losses: Mapping[str, Tensor]


DrawStep = Callable[[Tensor, float], DrawnStep]
"""``draw(index, progress)``: draws the frames ``index`` ``(B,)``."""


@dataclass(frozen=True)
class PublishedStage:
    """One stage of a published fit. Every stage begins with a fresh optimiser.

    steps: how many. draw: draws a step. weights: of each loss, over the stage's progress.
    rate: Adam's. batch: frames in a step. ends_at: the PSNR of the reconstruction, in dB, that ends
    the stage.
    """

    steps: int
    draw: DrawStep
    weights: Mapping[str, Schedule]
    rate: float = RATE
    batch: int = BATCH
    ends_at: float = math.inf


class BestSnapshot:
    """The parameters whose mixture was nearest to the input.

    steps_a_pass: steps in which every frame of a clip is drawn once. What counts is the mean error
        of the last pass, because frames differ in how well they can be drawn.
    """

    def __init__(self, steps_a_pass: int = 1) -> None:
        self.psnr = NO_SNAPSHOT
        self.parameters: dict[str, Tensor] = {}
        self._errors: deque[float] = deque(maxlen=steps_a_pass)

    def offer(self, module: nn.Module, error: float) -> None:
        """Keep the module's parameters if they are the best so far.

        error: mean squared error of the mixture that they have just drawn.
        """
        self._errors.append(error)
        reached = psnr_of(sum(self._errors) / len(self._errors), math.inf)
        if len(self._errors) == self._errors.maxlen and reached > self.psnr:
            self.psnr = reached
            self.parameters = {
                name: value.detach().clone() for name, value in module.state_dict().items()
            }

    def apply(self, module: nn.Module) -> None:
        """Give the module the best parameters; without any, leave it as it is."""
        if self.parameters:
            module.load_state_dict(self.parameters)

    def kept(self) -> KeptSnapshot:
        """Return the snapshot as a checkpoint can hold it."""
        return KeptSnapshot(self.psnr, dict(self.parameters), list(self._errors))

    def resume(self, kept: KeptSnapshot) -> None:
        """Go on from what a checkpoint held."""
        self.psnr = kept.psnr
        self.parameters = dict(kept.parameters)
        self._errors.extend(kept.errors)


@dataclass(frozen=True)
class KeptSnapshot:
    """A :class:`BestSnapshot` in a checkpoint: its PSNR, its parameters, and the last errors."""

    psnr: float
    parameters: dict[str, Tensor] = field(default_factory=dict)
    errors: list[float] = field(default_factory=list)


def steps_a_pass(frames: int, batch: int = BATCH) -> int:
    """Return the steps in which every one of ``frames`` frames is drawn once."""
    return -(-frames // max(1, min(batch, frames)))


def published_plan(
    steps: int, batch: int = BATCH, rate: float = RATE, start: FitState | None = None
) -> FitPlan:
    """Return the published optimiser's settings: Adam at a constant rate, for all parameters."""
    return FitPlan(
        steps, batch, rate=rate, code_rate=rate, warm_up=0, decay=False, betas=BETAS, start=start
    )


def fit_stages(
    module: nn.Module, stages: Sequence[PublishedStage], run: FitRun, frames: int
) -> int:
    """Fit ``module`` in place, stage by stage, and return the steps that were taken.

    The module then has the parameters of the last stage's best snapshot. Earlier stages need not
    fit the mixture, so their snapshots do not count.

    run: its seed and its callback count, the steps are those of the stages. frames: how many.

    Raises FitError where the fit diverges.
    """
    total = sum(stage.steps for stage in stages)
    taken = 0
    for stage in stages:
        part = run
        if len(stages) > 1:
            part = replace(run, on_step=part_of_fit(run.on_step, taken, stage.steps, total))
        best = BestSnapshot(steps_a_pass(frames, stage.batch))
        taken += fit_stage(module, stage, part, frames, best)
    best.apply(module)
    return taken


def fit_stage(
    module: nn.Module, stage: PublishedStage, run: FitRun, frames: int, best: BestSnapshot
) -> int:
    """Fit ``module`` in place for one stage; return the steps that were taken.

    best: takes the best snapshot. Other arguments and errors as of :func:`fit_stages`.
    """
    done = 0
    state: FitState | None = None
    while done < stage.steps:
        part = min(CHECK_STEPS if stage.ends_at < math.inf else stage.steps, stage.steps - done)
        of_stage = partial(_stage_progress, done, part, stage.steps)
        state = fit(
            module,
            _scored_terms(module, stage.draw, best, of_stage),
            {name: _over_part(weight, of_stage) for name, weight in stage.weights.items()},
            published_plan(part, stage.batch, stage.rate, state),
            frames=frames,
            seed=run.seed,
            on_step=part_of_fit(run.on_step, done, part, stage.steps),
        )
        done += part
        if best.psnr >= stage.ends_at:
            break
    return done


def _stage_progress(done: int, part: int, steps: int, progress: float) -> float:
    """Return the progress of a stage of ``steps``, from that of ``part`` steps after ``done``."""
    return (done + progress * part) / steps


def _over_part(weight: Schedule, of_stage: Schedule) -> Schedule:
    """Return ``weight`` as a function of the progress of a part of the stage.

    of_stage: returns the progress of the stage from that of the part.
    """
    return lambda progress: weight(of_stage(progress))


def _scored_terms(
    module: nn.Module, draw: DrawStep, best: BestSnapshot, of_stage: Schedule
) -> Terms:
    """Return the losses of what ``draw`` draws; each mixture is offered to ``best``.

    of_stage: returns the progress of the stage from that of a part of it.
    """

    def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
        drawn = draw(index, of_stage(progress))
        best.offer(module, float((drawn.mixture.detach() - drawn.target).square().mean()))
        return drawn.losses

    return terms


def split_steps(total: int, shares: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``total`` steps divided as ``shares`` are, each at least 1."""
    return tuple(max(1, round(total * share / sum(shares))) for share in shares)


def step_of(progress: float, steps: int) -> int:
    """Return the step of the whole published fit, of ``steps``, that a progress stands for."""
    return round(progress * steps)


def planned_steps(work: Callable[[int], object], whole: int, context: SeparationContext) -> int:
    """Return the steps of a published fit: the ``whole`` fit, or those that fit in the budget.

    work: takes so many steps, for measuring.
    """
    budget = context.settings.max_seconds
    if budget is None:
        return whole
    return context.checkpoints.compute_and_save(
        "steps", lambda: steps_within(work, COUNTED_STEPS * budget, whole)
    )


def shortened_notes(steps: int, whole: int, frames: int) -> tuple[Note, ...]:
    """Return a note about all ``frames`` if fewer than the ``whole`` fit's steps are taken."""
    return notes_where(SHORTENED, torch.full((frames,), steps < whole))
