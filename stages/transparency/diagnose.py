"""Say whether a clip is seen through a pane that reflects: two moving layers that add up."""

from __future__ import annotations

from stages.context import FitSettings, SeparationContext
from stages.diagnosis import NOT_THERE, THERE, ClipSample, Diagnosis, verdict_of
from stages.transparency.clip_evidence import LEAST_GAIN, gains_of
from stages.transparency.layers import survey

DOUBTFUL_GAIN = 0.01
"""Gain above which a pane may be there."""


def diagnose(sample: ClipSample) -> Diagnosis:
    """Return the verdict on a reflection.

    The evidence is that of the task, :func:`stages.transparency.clip_evidence.gains_of`: how much
    better two moving layers that add up predict frames left out than the best single layer does.
    """
    if len(sample.frames) == 1:
        account = "one view does not tell what a pane reflects"
        return Diagnosis("reflection", NOT_THERE, account)
    if sample.unordered:
        return _diagnose_pictures(sample)
    gains = gains_of(sample.runs)
    if not gains:
        account = "nothing moves, so one view is all there is"
        return Diagnosis("reflection", NOT_THERE, account, {"pieces": 0})
    best = max(gains)
    verdict = verdict_of(best, DOUBTFUL_GAIN, LEAST_GAIN)
    evidence = {"sum_evidence": round(best, 3), "pieces": len(gains)}
    account = "two motions in the same place predict frames no better than one"
    if verdict != NOT_THERE:
        account = (
            f"two motions in the same place avoid {100 * best:.0f} % of the error of the better one"
        )
    return Diagnosis("reflection", verdict, account, evidence)


def _diagnose_pictures(sample: ClipSample) -> Diagnosis:
    """Return the verdict on separate pictures: whether they mix the same two layers."""
    facts = survey(sample.frames, SeparationContext(FitSettings(), unordered=True))
    if facts.mixtures:
        account = f"the pictures are mixtures of the same two layers, in {facts.space} values"
        return Diagnosis("reflection", THERE, account, {"space": facts.space})
    return Diagnosis("reflection", NOT_THERE, "the pictures do not mix the same two layers")
