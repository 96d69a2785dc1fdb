"""Say whether a clip is seen through a pane that reflects: two moving layers that add up."""

from __future__ import annotations

from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.diagnosis import NOT_THERE, THERE, ClipSample, Diagnosis, verdict_of
from stages.mixing.layer_sum import to_space
from stages.motion.flow import shrunk
from stages.transparency.clip import distinct, first_guesses, fit_planes
from stages.transparency.evidence import BELIEVED, ENOUGH, sum_evidence
from stages.transparency.layers import survey
from stages.transparency.motion import leaves_its_place
from stages.transparency.plans import SMALLER

PLAN = SMALLER[-1]
"""The smallest plan of work that the task itself has."""
LOOKED_AT = 12
"""Frames of a run that are looked at: its middle ones."""
DETAIL_ERROR = 0.05
"""Part of the details' square that counts as an error of any prediction. In scenes under a moving
camera, two nearly equal motions together predict a frame better than each of them, but what they
gain is at most 0.5 % of its details. Of 40 drawn clips, 6 of 20 without a pane were taken for one
without this, and none with it; of 20 with a pane, 11 were found without it and 8 with it."""
DOUBTFUL = 0.0
"""Evidence above which a pane may be there."""


def diagnose(sample: ClipSample) -> Diagnosis:
    """Return the verdict on a reflection.

    The evidence is :func:`stages.transparency.evidence.sum_evidence`: how much better two moving
    layers that add up predict frames left out than the best single layer does.
    """
    if len(sample.frames) == 1:
        account = "one view does not tell what a pane reflects"
        return Diagnosis("reflection", NOT_THERE, account)
    if sample.unordered:
        return _of_pictures(sample)
    found = []
    for run in sample.runs:
        begin = max(0, (len(run) - LOOKED_AT) // 2)
        work = shrunk(run[begin : begin + LOOKED_AT], PLAN.pixels)
        of_run = _evidence(work)
        if of_run is not None:
            found.append(of_run)
            if of_run > BELIEVED:
                break
    if not found:
        account = "nothing moves, so one view is all there is"
        return Diagnosis("reflection", NOT_THERE, account, {"runs": 0})
    best = max(found)
    verdict = verdict_of(best, DOUBTFUL, BELIEVED)
    evidence = {"sum_evidence": round(best, 3), "runs": len(found)}
    account = "two motions in the same place predict frames no better than one"
    if verdict != NOT_THERE:
        account = (
            f"two motions in the same place avoid {100 * best:.0f} % of the error of the better one"
        )
    return Diagnosis("reflection", verdict, account, evidence)


def _evidence(frames: Tensor) -> float | None:
    """Return the evidence of :func:`stages.transparency.evidence.sum_evidence` for a clip.

    The evidence of the first guesses at the motions does not tell: with true reflections it was
    below -0.2, too, where the fitted motions have 0.1 and 0.3.

    frames: ``(T, 3, h, w)`` in [0, 1]. Returns ``None`` for too few frames, or if nothing moves.
    """
    if len(frames) < ENOUGH:
        return None
    light = to_space(frames, "linear")
    size = (frames.shape[-2], frames.shape[-1])
    guesses = distinct(first_guesses(light), size)
    if not leaves_its_place(guesses[0], size):
        return None
    mosaic = fit_planes(light, PLAN, lambda done: None, guesses)
    return sum_evidence(frames, mosaic.homographies, DETAIL_ERROR)


def _of_pictures(sample: ClipSample) -> Diagnosis:
    """Return the verdict on separate pictures: whether they mix the same two layers."""
    facts = survey(sample.frames, SeparationContext(FitSettings(), unordered=True))
    if facts.mixtures:
        account = f"the pictures are mixtures of the same two layers, in {facts.space} values"
        return Diagnosis("reflection", THERE, account, {"space": facts.space})
    return Diagnosis("reflection", NOT_THERE, "the pictures do not mix the same two layers")
