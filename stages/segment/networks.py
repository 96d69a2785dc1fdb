"""Fit the networks to a window, and move the votes' matte as far as they may."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.motion.flow import resize
from stages.optim.budget import MEASURED_STAGES
from stages.optim.fit import FitPlan, OnStep
from stages.optim.timing import seconds_a_step
from stages.push_pull import push_pull
from stages.segment.account import OPAQUE
from stages.segment.background import Plate, complete
from stages.segment.fit import SegmentEvidence, Segments, fit_segments
from stages.segment.motion import WindowMotion

FIT_PIXELS = 6400
"""Most pixels of a frame for the networks."""

STEPS = {"fast": 100, "balanced": 250, "best": 600}
"""Training steps of the networks for each preset; the other presets have networks alone."""

MOVED_EDGE = 0.02  # mattes are clamped this far from 0 and 1 before they become log-odds
MOST_MOVED = 0.25
"""Most log-odds by which the networks change the votes' result.

Their 6400 pixels show no thin parts, and they push unsure pixels to the background. docs/tasks.md
has the overlap J of four DAVIS clips with and without this limit.
"""
GUESSED = 0.1  # trust in colours that are only filled in from their surroundings


def moved_odds(odds: Tensor, matte: Tensor) -> Tensor:
    """Move ``odds`` as the networks moved the matte at their size; keep the finer detail.

    Each pixel moves by at most :data:`MOST_MOVED`.

    odds and the result: log-odds ``(T, h, w)``. matte: the networks' one, ``(T, 1, H, W)``.
    """
    given = resize(torch.sigmoid(odds)[:, None], (matte.shape[-2], matte.shape[-1]))
    change = (
        matte.clamp(MOVED_EDGE, 1 - MOVED_EDGE).logit()
        - given.clamp(MOVED_EDGE, 1 - MOVED_EDGE).logit()
    )
    change = change.clamp(-MOST_MOVED, MOST_MOVED)
    return odds + resize(change, (odds.shape[-2], odds.shape[-1]))[:, 0]


def fit_networks(
    frames: Tensor,
    odds: Tensor,
    motion: WindowMotion | None,
    plate: Plate | None,
    context: SeparationContext,
    began: float,
) -> tuple[Segments, int]:
    """Return the layers that the generators found and the number of training steps.

    frames: ``(T, 3, h, w)`` at the size of the networks. odds: log-odds ``(T, h', w')``.
    plate: the background under a fixed camera.
    began: ``time.monotonic()`` when this window began, for the time budget.
    """
    size = (frames.shape[-2], frames.shape[-1])
    matte = resize(torch.sigmoid(odds)[:, None], size)
    small = None if motion is None else motion.resized(size)
    background, missing = complete(
        frames, matte, small, None if plate is None else plate.resized(size)
    )
    trust, sure = (2 * matte - 1).abs(), matte > OPAQUE
    foreground = torch.cat(
        [push_pull(frame[None], where[None]) for frame, where in zip(frames, sure, strict=True)]
    )
    shown, seen = torch.where(sure, trust, GUESSED), torch.where(missing, GUESSED, 1.0)
    known = SegmentEvidence(frames, matte, trust, foreground, shown, background, seen, small)
    settings = context.settings

    def fitted(steps: int, on_step: OnStep | None = None) -> Segments:
        return fit_segments(
            known, plan=FitPlan(steps), seed=settings.seed, device=settings.device, on_step=on_step
        )

    def note(done: float, losses: Mapping[str, float]) -> None:
        context.progress(0.3 + 0.5 * done, "networks")
        context.trace.add("networks", done, losses)

    steps = STEPS[settings.preset]
    if (budget := settings.max_seconds) is not None:

        def measured() -> int:
            fitted(1)  # the first call also probes the precision and allocates memory
            cost = seconds_a_step(fitted, 1, 6)
            # The steps after the networks take about as long as those before them.
            left = MEASURED_STAGES * budget - 2 * (time.monotonic() - began)
            # More steps than these cost most of the time and did not improve the matte.
            return max(1, min(STEPS["balanced"], int(left / cost)))

        steps = context.checkpoints.compute_and_save("steps", measured)
    return fitted(steps, note), steps
