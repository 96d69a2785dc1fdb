"""Find the transmission by networks alone: as published, or by coupled generators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from stages.context import SeparationContext
from stages.coupled import haze as coupled
from stages.coupled.layers import PIXELS, STEPS, coupled_steps
from stages.dehaze.model import over_picture
from stages.motion.flow import resize, shrunk
from stages.optim.fit import OnStep
from stages.published import haze as published
from stages.published.fit import planned_steps
from stages.published.networks import FULL_PIXELS


@dataclass(frozen=True)
class DrawnTransmission:
    """What the networks found.

    guide: the frames that they were fitted to, ``(T, 3, h, w)``. transmission: ``(T, 1, h, w)``.
    steps: of the fit, for each frame where frames have networks of their own. whole: steps of the
    whole fit.
    """

    guide: Tensor
    transmission: Tensor
    steps: int
    whole: int


def published_airlight(frame: Tensor, context: SeparationContext) -> tuple[Tensor, int]:
    """Return the airlight ``(1, 3, h, w)`` of the published first pass, and its steps.

    frame: one frame of the clip, ``(1, 3, H, W)``.
    """
    small = shrunk(frame, context.working_pixels(FULL_PIXELS))
    estimate = published.dark_channel_airlight(small)
    settings = context.settings
    work = partial(
        published.fit_haze,
        small,
        estimate,
        fixed=False,
        seed=settings.seed,
        device=settings.device,
    )
    steps = planned_steps(lambda count: work(steps=count), published.STEPS, context)
    found = work(steps=steps, on_step=_noted(context, "published airlight", 1.0))
    return found.airlight, found.steps


def published_transmission(
    frames: Tensor, airlight: Tensor, context: SeparationContext
) -> DrawnTransmission:
    """Return what the published second pass finds in frames ``(T, 3, H, W)``.

    airlight: from :func:`published_airlight`.
    """
    small = shrunk(frames, context.working_pixels(FULL_PIXELS))
    size = (small.shape[-2], small.shape[-1])
    settings = context.settings
    work = partial(
        published.fit_frames,
        airlight=over_picture(airlight, size),
        seed=settings.seed,
        device=settings.device,
    )
    whole = published.STEPS * len(small)
    steps = planned_steps(lambda count: work(small[:1], steps=count), whole, context)
    each = max(1, steps // len(small))
    found = work(small, steps=each, on_step=_noted(context, "published networks", 0.5))
    return DrawnTransmission(small, found, each, published.STEPS)


def coupled_transmission(
    frames: Tensor, airlight: Tensor, context: SeparationContext
) -> DrawnTransmission:
    """Return what coupled generators find in frames ``(T, 3, H, W)``, with the airlight given."""
    small = shrunk(frames, context.working_pixels(PIXELS))
    size = (small.shape[-2], small.shape[-1])
    settings = context.settings
    work = partial(
        coupled.fit_haze,
        small,
        over_picture(airlight, size),
        seed=settings.seed,
        device=settings.device,
    )
    steps = coupled_steps(lambda count: work(steps=count), context)
    found = work(steps=steps, on_step=_noted(context, "networks", 0.5))
    return DrawnTransmission(small, resize(found, size), steps, STEPS)


def _noted(context: SeparationContext, name: str, share: float) -> OnStep:
    """Return what reports a fit's progress; ``share`` is its part of all the work."""

    def note(done: float, losses: Mapping[str, float]) -> None:
        context.progress(share * done, name)
        context.trace.add("networks", done, losses)

    return note
