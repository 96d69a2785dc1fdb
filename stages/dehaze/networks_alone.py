"""Find the transmission by networks alone: as published, or by coupled generators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from stages.context import SeparationContext
from stages.coupled import haze as coupled
from stages.coupled.layers import PIXELS, STEPS, coupled_steps
from stages.dehaze.model import over_picture
from stages.motion.flow import resize, shrunk
from stages.network_fits import Range, fit_progress, fit_run
from stages.optim.fit import FitRun
from stages.published import haze as published
from stages.published.fit import planned_steps
from stages.published.networks import FULL_PIXELS

FIT: Range = (0.0, 0.5)
"""The fit of the transmission, as a part of all the work on a window."""


@dataclass(frozen=True)
class DrawnTransmission:
    """What the networks found.

    guide: the frames that they were fitted to, ``(T, 3, h, w)``. transmission: ``(T, 1, h, w)``.
    steps: of the fit, for each frame where frames have networks of their own.
    full_steps: the same without a time budget.
    """

    guide: Tensor
    transmission: Tensor
    steps: int
    full_steps: int


def published_airlight(frame: Tensor, context: SeparationContext) -> tuple[Tensor, int]:
    """Return the airlight ``(1, 3, h, w)`` of the published first pass, and its steps.

    frame: one frame of the clip, ``(1, 3, H, W)``.
    """
    small = shrunk(frame, context.working_pixels(FULL_PIXELS))
    estimate = published.dark_channel_airlight(small)
    fit = partial(published.fit_haze, small, estimate, fixed=False)
    steps = planned_steps(lambda count: fit(fit_run(context, count)), published.STEPS, context)
    layers = fit(fit_run(context, steps, fit_progress(context, "published airlight")))
    return layers.airlight, layers.steps


def published_transmission(
    frames: Tensor, airlight: Tensor, context: SeparationContext
) -> DrawnTransmission:
    """Return what the published second pass finds in frames ``(T, 3, H, W)``.

    airlight: from :func:`published_airlight`.
    """
    small = shrunk(frames, context.working_pixels(FULL_PIXELS))
    size = (small.shape[-2], small.shape[-1])
    light = over_picture(airlight, size)

    def fit(pictures: Tensor, run: FitRun) -> Tensor:
        return published.fit_frames(pictures, light, run)

    of_all = published.STEPS * len(small)
    steps = planned_steps(lambda count: fit(small[:1], fit_run(context, count)), of_all, context)
    each = max(1, steps // len(small))
    note = fit_progress(context, "published networks", of_all=FIT)
    transmission = fit(small, fit_run(context, each, note))
    return DrawnTransmission(small, transmission, each, published.STEPS)


def coupled_transmission(
    frames: Tensor, airlight: Tensor, context: SeparationContext
) -> DrawnTransmission:
    """Return what coupled generators find in frames ``(T, 3, H, W)``, with the airlight given."""
    small = shrunk(frames, context.working_pixels(PIXELS))
    size = (small.shape[-2], small.shape[-1])
    fit = partial(coupled.fit_haze, small, over_picture(airlight, size))
    steps = coupled_steps(lambda count: fit(fit_run(context, count)), context)
    transmission = fit(fit_run(context, steps, fit_progress(context, "networks", of_all=FIT)))
    return DrawnTransmission(small, resize(transmission, size), steps, STEPS)
