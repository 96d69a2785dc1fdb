"""Fits of networks within a separation: with the user's seed and device, and reported to the user.

Progress counts from 0 to 1. A range of it is where a part begins and ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from stages.context import SeparationContext
from stages.optim.fit import FitRun, OnStep

Range = tuple[float, float]

WHOLE: Range = (0.0, 1.0)


def fit_run(context: SeparationContext, steps: int, on_step: OnStep | None = None) -> FitRun:
    """Return a run of so many steps. on_step: as of :class:`stages.optim.fit.FitRun`."""
    return FitRun(steps, context.settings.seed, context.settings.device, on_step)


def fit_progress(
    context: SeparationContext, note: str, *, part: Range = WHOLE, of_all: Range = WHOLE
) -> OnStep:
    """Return what reports the progress and the losses of networks that are fitted.

    note: what the progress says. part: which range of the whole fit it is; the trace counts the
    whole fit. of_all: which range of all the work the whole fit is.
    """

    def report(done: float, losses: Mapping[str, float]) -> None:
        of_fit = _within(part, done)
        context.progress(_within(of_all, of_fit), note)
        context.trace.add("networks", of_fit, losses)

    return report


def _within(part: Range, done: float) -> float:
    """Return the progress of the whole where ``done`` of a part, 0 to 1, is done."""
    return part[0] + (part[1] - part[0]) * done
