"""Say whether something moves before a background: where it is, and how much it covers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.diagnosis import NOT_THERE, ClipSample, Diagnosis, verdict_of
from stages.motion.flow import shrunk
from stages.segment.foreground_odds import foreground_odds
from stages.segment.motion import find_motion, shown_motion
from stages.segment.outline_jumps import mean_outline_jump
from stages.segment.survey import SegmentSurvey, survey
from stages.segment.votes import VOTE_PIXELS

EVERY = 2
"""One in so many frames of a run is looked at: about a second of motion for half of its cost."""
LEAST_FRAMES = 3 * EVERY
"""Frames of a run in which motion can be seen."""
LEAST_PART, MOST_PART = 0.005, 0.7
"""Part of the picture that a foreground covers, at least and at most."""
LEAST_SHOWN = 0.3
"""Shown motion of a foreground, see :func:`stages.segment.motion.shown_motion`: the flow leaves at
most three quarters of the error that the camera's motion leaves. Of 15 drawn movers, those that
cover enough had 0.48 to 1.5; what flow invents on plain walls and stripes had 0.02 to 0.19."""
DOUBTFUL_JUMP, CLEAR_JUMP = 0.2, 0.3
"""Jump of the motion along the outline, from 0 to 1, above which a foreground may be there, and
above which it is. The upper one is :data:`stages.segment.foreground_odds.LEAST_JUMP`."""


@dataclass(frozen=True)
class _ForegroundCandidate:
    """What may be the foreground of a run.

    jump: of the motion along its outline, 0 to 1. part: how much of the picture it covers, 0 to 1.
    box: around it in the run's middle frame, ``[x, y, width, height]`` in the clip's pixels.
    """

    jump: float
    part: float
    box: list[int]


def diagnose(sample: ClipSample) -> Diagnosis:
    """Return the verdict on a foreground.

    The candidate is the one that the task's votes find by motion. The evidence is how much the
    motion jumps along its outline (:mod:`stages.segment.outline_jumps`).
    """
    runs = [run for run in sample.runs if len(run) >= LEAST_FRAMES]
    if not runs:
        account = "no frames follow each other here, so nothing can be seen to move"
        return Diagnosis("foreground", NOT_THERE, account)
    context = SeparationContext(FitSettings())
    facts = survey(sample.frames, context)
    if facts.still:
        return Diagnosis("foreground", NOT_THERE, "nothing moves", {"jump": 0.0})
    best = _ForegroundCandidate(0.0, 0.0, [])
    for run in runs:
        found = _find_candidate(shrunk(run[::EVERY], VOTE_PIXELS), facts, context, sample)
        if found is not None and found.jump >= best.jump:
            best = found
        if best.jump > CLEAR_JUMP:
            break
    verdict = verdict_of(best.jump, DOUBTFUL_JUMP, CLEAR_JUMP)
    evidence: dict[str, object] = {"jump": round(best.jump, 3), "part": round(best.part, 4)}
    account = "nothing moves differently from what is around it"
    if verdict != NOT_THERE:
        evidence["box"] = best.box
        percent = f"{100 * best.part:.1f} %"
        account = f"covers {percent} of the picture and moves apart from what is around it"
    return Diagnosis("foreground", verdict, account, evidence)


def _find_candidate(
    frames: Tensor, facts: SegmentSurvey, context: SeparationContext, sample: ClipSample
) -> _ForegroundCandidate | None:
    """Return what the votes find in frames ``(T, 3, h, w)``; ``None`` if the camera explains them.

    What is too small or too large, or hardly shows its motion, has no jump.
    """
    motion = find_motion(frames)
    shown = shown_motion(frames, motion)
    if float((shown > LEAST_SHOWN).float().mean()) < LEAST_PART / 2:
        return None
    inside = foreground_odds(frames, motion, facts, context, {}) > 0
    part = float(inside.float().mean())
    jump = mean_outline_jump(motion, inside)
    if not LEAST_PART < part < MOST_PART or float(shown[inside].mean()) < LEAST_SHOWN:
        jump = 0.0
    return _ForegroundCandidate(jump, part, sample.box_of(inside[len(inside) // 2]))
