"""Fit the networks to a window, and move the votes' matte as far as they may."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.motion.flow import resize
from stages.network_fits import Range, fit_progress
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

FIT: Range = (0.3, 0.8)
"""The fit of the networks, as a part of all the work on a window."""

MOVED_EDGE = 0.02  # mattes are clamped this far from 0 and 1 before they become log-odds
MOST_MOVED = 0.25
"""Most log-odds by which the networks change the votes' result.

Their 6400 pixels show no thin parts, and they push unsure pixels to the background. docs/tasks.md
has the overlap J of four DAVIS clips with and without this limit.
"""
GUESSED = 0.1  # trust in colours that are only filled in from their surroundings


def moved_odds(odds: Tensor, matte: Tensor) -> Tensor:
    """Return ``odds`` moved as the networks moved the matte; their finer detail stays.

    Each pixel moves by at most :data:`MOST_MOVED`.

    odds and the result: log-odds ``(T, h, w)``. matte: of the networks, ``(T, 1, H, W)``, at their
    own size.
    """
    given = resize(torch.sigmoid(odds)[:, None], (matte.shape[-2], matte.shape[-1]))
    before, after = (each.clamp(MOVED_EDGE, 1 - MOVED_EDGE).logit() for each in (given, matte))
    change = (after - before).clamp(-MOST_MOVED, MOST_MOVED)
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
    small_motion = None if motion is None else motion.resized(size)
    small_plate = None if plate is None else plate.resized(size)
    known = window_evidence(frames, matte, small_motion, small_plate)
    settings = context.settings

    def fitted(steps: int, on_step: OnStep | None = None) -> Segments:
        return fit_segments(
            known, plan=FitPlan(steps), seed=settings.seed, device=settings.device, on_step=on_step
        )

    steps = STEPS[settings.preset]
    if settings.max_seconds is not None:
        within_budget = partial(_steps_within, settings.max_seconds, fitted, began)
        steps = context.checkpoints.compute_and_save("steps", within_budget)
    return fitted(steps, fit_progress(context, "networks", of_all=FIT)), steps


def _steps_within(budget: float, fitted: Callable[[int], Segments], began: float) -> int:
    """Return how many training steps fit in ``budget`` seconds, by the measured cost of a step.

    fitted: runs a fit of so many steps. began: ``time.monotonic()`` when the window began.
    """
    fitted(1)  # the first call also probes the precision and allocates memory
    cost = seconds_a_step(fitted, 1, 6)
    # The steps after the networks take about as long as those before them.
    left = MEASURED_STAGES * budget - 2 * (time.monotonic() - began)
    # More steps than these cost most of the time and did not improve the matte.
    return max(1, min(STEPS["balanced"], int(left / cost)))


def window_evidence(
    frames: Tensor, matte: Tensor, motion: WindowMotion | None, plate: Plate | None
) -> SegmentEvidence:
    """Return what the votes' matte tells of a window, for the fit of its networks.

    frames: ``(T, 3, h, w)`` in [0, 1]. matte: the votes' probability, ``(T, 1, h, w)``.
    motion, plate: of frames of this size; see :func:`stages.segment.background.complete`.
    """
    background, missing = complete(frames, matte, motion, plate)
    trust = (2 * matte - 1).abs()
    is_sure = matte > OPAQUE
    foreground = torch.cat(
        [push_pull(frame[None], where[None]) for frame, where in zip(frames, is_sure, strict=True)]
    )
    shown = torch.where(is_sure, trust, GUESSED)
    seen = torch.where(missing, GUESSED, 1.0)
    return SegmentEvidence(frames, matte, trust, foreground, shown, background, seen, motion)
