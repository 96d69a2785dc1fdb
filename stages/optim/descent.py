"""The one loop of descent: losses, guard, step, progress. Every fit of the project runs through it.

A fit brings tensors in groups, each with a learning rate over its progress, a table of weights for
its named losses, and a function that evaluates these losses::

    descent = Descent([ParameterGroup(flows, constant(0.2))], name="the fit of the motion")
    descent.run(evaluate, {"unexplained": constant(1.0), "roughness": constant(0.01)}, steps=80)

Nothing in the loop is printed or saved: losses and progress leave it through ``on_step``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from stages.errors import FitError
from stages.optim.adam import Adam
from stages.optim.graphs import cuda_recorder, recording_stream
from stages.optim.losses import Schedule
from stages.optim.steps import Evaluate, PlainSteps, Prepare, RepeatedSteps, StepCourse, Steps
from stages.optim.steps import Losses as Losses
from stages.optim.steps import ParameterGroup as ParameterGroup
from stages.optim.steps import Weights as Weights
from stages.optim.steps import weighted as weighted

OnStep = Callable[[float, Mapping[str, float]], None]
"""Called with the progress, in (0, 1], and the losses before they are weighted, ``total`` (their
weighted sum) among them. On the CPU after each step, on a GPU every :data:`WAIT_STEPS` steps."""

MOST_FAILURES = 3
"""Divergences after which a fit gives up."""

SNAPSHOT_STEPS = 20
"""Steps between two snapshots to which a diverged fit goes back."""

WAIT_STEPS = 10
"""Steps from one reading of the losses to the next on a GPU, a divisor of :data:`SNAPSHOT_STEPS`.

To read a number from a GPU is to wait until it has done all that it was given. Between two readings
the work is only queued, so that the GPU never waits for the program.
"""

LEAST_REPEATED = 24
"""Steps of a fit from which recording them pays. A motion fit has four variants, each of which is
done twice as usual and recorded once."""

DIVERGED_RATE_FACTOR = 1 / 3
"""Factor of the learning rate after each divergence."""


def part_of_fit(on_step: OnStep | None, begin: float, length: float, total: float) -> OnStep:
    """Return a callback for one part of a longer fit; it reports the progress of the whole.

    on_step: the callback of the whole fit, or ``None``. begin: the steps, or other units, before
    the part. length: its own. total: those of the whole fit.
    """

    def report(progress: float, losses: Mapping[str, float]) -> None:
        if on_step is not None:
            on_step((begin + progress * length) / total, losses)

    return report


class DivergenceGuard:
    """Go back to the last good values where the loss is not a finite number.

    Each time, Adam's memory is cleared and the learning rate is divided by three. The third time
    ends the fit.

    values: all tensors that a step changes, buffers included. name: of the fit, for the message.
    rate_factor: what all learning rates are multiplied by, from 1 downwards.
    """

    def __init__(self, values: Sequence[Tensor], optimizer: Adam, name: str) -> None:
        self.rate_factor = 1.0
        self._values = values
        self._optimizer = optimizer
        self._name = name
        self._failures = 0
        self._good = [value.detach().clone() for value in values]

    def accepts(self, loss: float, step: int, steps: int) -> bool:
        """Return whether ``loss`` is finite, so that step number ``step`` may be taken.

        Where it is not, the last snapshot is restored and the step is to be left out.
        Raises FitError at the third failure.
        """
        if math.isfinite(loss):
            # Taken before the step: the loss vouches for the values that it was computed from.
            if step % SNAPSHOT_STEPS == 0:
                self._take_snapshot()
            return True
        self._failures += 1
        if self._failures == MOST_FAILURES:
            raise FitError(
                f"{self._name} diverged {MOST_FAILURES} times, at step {step} of {steps}; "
                "try another seed, or fit on the CPU",
                settings=("seed", "device"),
            )
        self.rate_factor *= DIVERGED_RATE_FACTOR
        self._restore()
        return False

    def finish(self) -> None:
        """Restore the last snapshot if the last step left values that are not finite."""
        if not all(bool(torch.isfinite(value).all()) for value in self._values):
            self._restore()

    def _take_snapshot(self) -> None:
        for value, good in zip(self._values, self._good, strict=True):
            good.copy_(value.detach())

    @torch.no_grad()
    def _restore(self) -> None:
        for value, good in zip(self._values, self._good, strict=True):
            value.copy_(good)
        self._optimizer.forget()


def _numbers(losses: Losses) -> dict[str, float]:
    """Return the losses by name, ``total`` among them, in a single reading of the device."""
    values = torch.stack([*losses.named.values(), losses.total]).tolist()
    return dict(zip((*losses.named, "total"), values, strict=True))


class Descent:
    """Adam (Kingma and Ba, ICLR 2015) over groups of tensors, guarded against divergence.

    groups: the tensors and their learning rates. betas: Adam's. fused: use the fused kernel.
    buffers: further tensors that change while the losses are evaluated, such as running
        statistics; they are restored with the others.
    name: of the fit, for error messages.
    """

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        fused: bool = False,
        buffers: Iterable[Tensor] = (),
        name: str = "the fit",
    ) -> None:
        self.groups = groups
        self.name = name
        self.optimizer = Adam(
            [{"params": list(group.tensors), "lr": group.rate(0.0)} for group in groups],
            betas=betas,
            fused=fused,
        )
        self._values = [value for group in groups for value in group.tensors] + list(buffers)

    def run(
        self,
        evaluate: Evaluate,
        weights: Mapping[str, Schedule],
        steps: int,
        on_step: OnStep | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        """Take ``steps`` steps down the weighted sum of the losses.

        evaluate: computes the losses of a step. weights: of each loss, over the progress from 0.
        on_step: see :data:`OnStep`; on the CPU it may bring values back into their range.
        prepare: readies a step (:data:`stages.optim.steps.Prepare`). With it, a GPU may repeat the
            steps by itself (:mod:`stages.optim.graphs`).

        Raises FitError where the fit diverges for the third time.
        """
        guard = DivergenceGuard(self._values, self.optimizer, self.name)
        on_cpu = all(value.device.type == "cpu" for value in self._values)
        reading_interval = 1 if on_cpu else WAIT_STEPS
        course = StepCourse(self.groups, weights, steps)
        with self._steps(evaluate, course, repeatable=prepare is not None) as work:
            for step in range(steps):
                variant = prepare(step) if prepare is not None else None
                losses = work.losses(step, variant, guard.rate_factor)
                if step % reading_interval and step < steps - 1:
                    # To read the losses is to wait for a GPU, so these steps are taken unseen.
                    work.move()
                    continue
                named = _numbers(losses)
                if not guard.accepts(named["total"], step, steps):
                    continue
                work.move()
                if on_step is not None:
                    on_step((step + 1) / steps, named)
        guard.finish()

    @contextmanager
    def _steps(
        self, evaluate: Evaluate, course: StepCourse, *, repeatable: bool
    ) -> Iterator[Steps]:
        """Yield the steps: repeated by a GPU where it can and where that pays, else plain ones."""
        device = self._values[0].device
        can_repeat = repeatable and self.optimizer.fused
        pays = can_repeat and course.steps >= LEAST_REPEATED
        record = cuda_recorder(device) if pays else None
        if record is None:
            yield PlainSteps(self.optimizer, evaluate, course)
            return
        with recording_stream(device):
            yield RepeatedSteps(self.optimizer, evaluate, course, record)
