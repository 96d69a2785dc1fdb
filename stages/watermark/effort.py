"""Choose how much work the search and the fit of a mark may do."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.optim.budget import EXTRAPOLATED
from stages.watermark.continuity import continuity
from stages.watermark.mark_fit import BATCH
from stages.watermark.search import ALTERNATIONS, CUTS_TO_COMPARE, HYPOTHESES, MOST_SETTLED

SEARCHED_PICTURES = 6  # most pictures that the search reads
FITTED_PART = 0.5
"""Part of several pictures that the fit reads, as a rule: the mark and a little around it."""
EVIDENCE_WORK, ITERATION_WORK = 0.5, 0.06
"""Work on one pixel of measuring the evidence in one picture, and of one iteration of a cut, in fit
steps."""
PROBE_SIDE = 48  # pixels of the sides of the random pictures on which a fit step is timed


@dataclass(frozen=True)
class Effort:
    """The amount of work.

    search_pixels, fit_pixels: most pixels of a picture in the search and in the fit.
    pictures: most pictures of the fit. turns: iterations of a cut of the search.
    steps, rounds: of the fit. fill_steps: of the generator that fills an opaque mark.
    """

    search_pixels: int
    fit_pixels: int
    pictures: int
    turns: int
    steps: int
    rounds: int
    fill_steps: int

    @property
    def work(self) -> float:
        """The work in units of one fit step on one pixel."""
        tries = len(HYPOTHESES) + 2 * MOST_SETTLED * ALTERNATIONS
        if self.pictures == 1:
            # A common mark more may be settled, and all of them are cut again to be compared.
            tries += 2 * (ALTERNATIONS + (MOST_SETTLED + 1) * CUTS_TO_COMPARE)
        # A single picture is searched a second time, for further colours.
        searches = 2 if self.pictures == 1 else 1
        searched = min(self.pictures, SEARCHED_PICTURES)
        work_of_a_try = EVIDENCE_WORK * searched + ITERATION_WORK * self.turns
        search = self.search_pixels * tries * searches * work_of_a_try
        # Several pictures get two fits: a mark of one colour, and one of all colours.
        fits = 1 if self.pictures == 1 else 2
        fitted = self.fit_pixels if self.pictures == 1 else FITTED_PART * self.fit_pixels
        return search + fits * fitted * self.rounds * self.steps * min(self.pictures, BATCH)


EFFORTS = {
    "best": Effort(90_000, 250_000, 16, 120, 150, 3, 800),
    "balanced": Effort(80_000, 160_000, 12, 80, 80, 2, 400),
    "fast": Effort(40_000, 160_000, 8, 60, 40, 2, 200),
}
"""The work of each preset. A matte that is fitted at a smaller size and then enlarged leaves the
mark's outline in sight, so a preset of less work has fewer steps rather than fewer pixels."""
LEAST_EFFORT = Effort(40_000, 160_000, 4, 60, 25, 1, 60)
"""The work within a time budget too short for any preset."""


def choose_effort(sample: Tensor, context: SeparationContext) -> Effort:
    """Return the preset's effort, or the largest one that fits the time budget.

    sample: the frames ``(S, 3, H, W)`` of the survey. One fit step is timed for the budget.
    """
    chosen = EFFORTS[context.settings.preset]
    if context.settings.max_seconds is None:
        return chosen
    affordable = EXTRAPOLATED * context.settings.max_seconds / _seconds_of_a_step()
    size = sample.shape[-1] * sample.shape[-2]
    for effort in (EFFORTS["best"], EFFORTS["balanced"], EFFORTS["fast"]):
        needed = replace(
            effort,
            search_pixels=min(size, effort.search_pixels),
            fit_pixels=min(size, effort.fit_pixels),
            pictures=min(len(sample), effort.pictures),
        )
        if needed.work <= affordable:
            return effort
    return LEAST_EFFORT


def _seconds_of_a_step() -> float:
    """Return the seconds of one fit step on one pixel of a picture, in the fastest of three."""
    side = PROBE_SIDE
    probe = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    matte = torch.full((1, side, side), 0.5, requires_grad=True)
    seconds = math.inf
    for _ in range(3):
        began = time.perf_counter()
        torch.autograd.grad(continuity(probe, matte, matte * torch.ones(3, 1, 1)), matte)
        seconds = min(seconds, time.perf_counter() - began)
    return seconds / (len(probe) * side * side)
