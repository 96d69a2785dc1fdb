"""Say whether a clip is seen through a pane that reflects: two moving layers that add up."""

from __future__ import annotations

from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.diagnosis import NOT_THERE, THERE, ClipSample, Diagnosis, verdict_of
from stages.mixing.layer_sum import to_space
from stages.motion.flow import shrunk
from stages.transparency.clip import distinct, first_guesses, rough_planes
from stages.transparency.evidence import ENOUGH, SumEvidence, registered_sum_evidence
from stages.transparency.layers import survey
from stages.transparency.motion import leaves_its_place
from stages.transparency.plans import SMALLER

PLAN = SMALLER[-1]
"""The smallest plan of work that the task itself has."""
WIDEST = 3
"""Largest distance of the frames that are looked at first. Of slow layers, neighbours tell little;
of fast ones, which leave the picture, only neighbours tell."""
BELIEVED, DOUBTFUL = 0.03, 0.01
"""Evidence above which a pane is there, and may be there."""
LEAST_APART = 1.5
"""Pixels by which the two motions have to differ, over three of the frames that are looked at. What
differs less is one motion that is not known exactly."""
LEAST_BESIDE_ONE = -0.05
"""Least evidence beside a single layer that is registered by itself. It is below zero even for some
panes, because such a layer is known better than each of two."""


def diagnose(sample: ClipSample) -> Diagnosis:
    """Return the verdict on a reflection.

    The evidence is :func:`stages.transparency.evidence.registered_sum_evidence`: how much better
    two moving layers that add up predict frames left out than the best single layer does.
    """
    if len(sample.frames) == 1:
        account = "one view does not tell what a pane reflects"
        return Diagnosis("reflection", NOT_THERE, account)
    if sample.unordered:
        return _of_pictures(sample)
    found: list[float] = []
    for run in sample.runs:
        found += _gains(run)
        if found and max(found) > BELIEVED:
            break
    if not found:
        account = "nothing moves, so one view is all there is"
        return Diagnosis("reflection", NOT_THERE, account, {"pieces": 0})
    best = max(found)
    verdict = verdict_of(best, DOUBTFUL, BELIEVED)
    evidence = {"sum_evidence": round(best, 3), "pieces": len(found)}
    account = "two motions in the same place predict frames no better than one"
    if verdict != NOT_THERE:
        account = (
            f"two motions in the same place avoid {100 * best:.0f} % of the error of the better one"
        )
    return Diagnosis("reflection", verdict, account, evidence)


def _gains(run: Tensor) -> list[float]:
    """Return the evidence of pieces of a run ``(T, 3, h, w)``: of frames far apart, and near.

    Later pieces are left out where they would not change the verdict.
    """
    gains: list[float] = []
    widest = min(WIDEST, (len(run) - 1) // (ENOUGH - 1))
    for spacing in sorted({widest, min(widest, 1)} - {0}, reverse=True):
        length = spacing * (ENOUGH - 1) + 1
        begin = (len(run) - length) // 2
        found = _evidence(shrunk(run[begin : begin + length : spacing], PLAN.pixels))
        if found is None:
            continue
        are_two = found.apart >= LEAST_APART and found.gain_beside_one > LEAST_BESIDE_ONE
        gains.append(found.gain if are_two else min(0.0, found.gain))
        if found.apart < LEAST_APART or gains[-1] > BELIEVED:
            # Motions that are one over more time are one over less.
            break
    return gains


def _evidence(frames: Tensor) -> SumEvidence | None:
    """Return the evidence that frames ``(T, 3, h, w)`` are a sum; ``None`` if nothing moves."""
    light = to_space(frames, "linear")
    size = (frames.shape[-2], frames.shape[-1])
    guesses = distinct(first_guesses(light), size)
    if not leaves_its_place(guesses[0], size):
        return None
    return registered_sum_evidence(frames, rough_planes(light, PLAN, guesses))


def _of_pictures(sample: ClipSample) -> Diagnosis:
    """Return the verdict on separate pictures: whether they mix the same two layers."""
    facts = survey(sample.frames, SeparationContext(FitSettings(), unordered=True))
    if facts.mixtures:
        account = f"the pictures are mixtures of the same two layers, in {facts.space} values"
        return Diagnosis("reflection", THERE, account, {"space": facts.space})
    return Diagnosis("reflection", NOT_THERE, "the pictures do not mix the same two layers")
