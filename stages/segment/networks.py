"""Fit the networks to a window, and move the votes' matte as far as they may."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.motion.flow import resize
from stages.network_fits import Range, fit_progress, fit_run
from stages.optim.budget import MEASURED_STAGES
from stages.optim.fit import OnStep
from stages.optim.timing import seconds_a_step
from stages.push_pull import push_pull
from stages.segment.background import complete_background
from stages.segment.generator_fit import SegmentEvidence, Segments, fit_segments
from stages.segment.motion import WindowMotion
from stages.segment.notes import OPAQUE
from stages.segment.plate import Plate

FIT_PIXELS = 6400
"""Most pixels of a frame for the networks."""

STEPS = {"fast": 100, "balanced": 250, "best": 600}
"""Training steps of the networks for each preset; the other presets have networks alone."""

FIT_RANGE: Range = (0.3, 0.8)
"""The fit of the networks, as a part of all the work on a window."""

MOVED_EDGE = 0.02  # mattes are clamped this far from 0 and 1 before they become log-odds
MOST_MOVED = 0.25
"""Most log-odds by which the networks change the votes' result.

Their 6400 pixels show no thin parts, and they push unsure pixels to the background. docs/tasks.md
has the overlap J of four DAVIS clips with and without this limit.
"""
FILLED_IN_TRUST = 0.1  # trust in colours that are only filled in from their surroundings


def evidence_of_votes(
    frames: Tensor,
    odds: Tensor,
    motion: WindowMotion | None = None,
    plate: Plate | None = None,
) -> SegmentEvidence:
    """Return what the votes tell of a window, for the fit of its networks.

    frames: ``(T, 3, h, w)`` in [0, 1], at the size of the fit. odds: the votes' log-odds of the
    foreground, ``(T, h', w')``. motion, plate: at any size; see
    :func:`stages.segment.background.complete_background`.
    """
    size = (frames.shape[-2], frames.shape[-1])
    matte = resize(torch.sigmoid(odds)[:, None], size)
    motion = None if motion is None else motion.resized(size)
    plate = None if plate is None else plate.resized(size)
    background, missing = complete_background(frames, matte, motion, plate)
    is_sure = matte > OPAQUE
    foreground = torch.cat(
        [push_pull(frame[None], where[None]) for frame, where in zip(frames, is_sure, strict=True)]
    )
    trust = (2 * matte - 1).abs()
    return SegmentEvidence(
        frames,
        matte,
        trust,
        foreground=foreground,
        shown=torch.where(is_sure, trust, FILLED_IN_TRUST),
        background=background,
        seen=torch.where(missing, FILLED_IN_TRUST, 1.0),
        motion=motion,
    )


def fit_networks(
    known: SegmentEvidence, context: SeparationContext, began: float
) -> tuple[Segments, int]:
    """Return the layers that the generators found and the number of training steps.

    known: of the window, at the size of the networks.
    began: ``time.monotonic()`` when this window began, for the time budget.
    """

    def fitted(steps: int, on_step: OnStep | None = None) -> Segments:
        return fit_segments(known, fit_run(context, steps, on_step))

    settings = context.settings
    steps = STEPS[settings.preset]
    if settings.max_seconds is not None:
        within_budget = partial(_steps_within, settings.max_seconds, fitted, began)
        steps = context.checkpoints.compute_and_save("steps", within_budget)
    return fitted(steps, fit_progress(context, "networks", of_all=FIT_RANGE)), steps


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


def _steps_within(budget: float, fitted: Callable[[int], Segments], began: float) -> int:
    """Return how many training steps fit in ``budget`` seconds, by the measured cost of a step.

    fitted: runs a fit of so many steps. began: ``time.monotonic()`` when the window began.
    """
    fitted(1)  # the first call also probes the precision and allocates memory
    seconds_of_step = seconds_a_step(fitted, 1, 6)
    # The steps after the networks take about as long as those before them.
    seconds_left = MEASURED_STAGES * budget - 2 * (time.monotonic() - began)
    # More steps than these cost most of the time and did not improve the matte.
    return max(1, min(STEPS["balanced"], int(seconds_left / seconds_of_step)))
