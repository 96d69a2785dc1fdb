"""Say whether something moves before a background: where it is, and how much it covers."""

from __future__ import annotations

from stages.context import FitSettings, SeparationContext
from stages.diagnosis import NOT_THERE, ClipSample, Diagnosis, verdict_of
from stages.motion.flow import shrunk
from stages.segment.foreground_odds import foreground_odds
from stages.segment.motion import find_motion, shown_motion
from stages.segment.parallax import outline_motion
from stages.segment.survey import survey
from stages.segment.votes import VOTE_PIXELS

EVERY = 2
"""One in so many frames of a run is looked at: about a second of motion for half of its cost."""
LEAST_PART, MOST_PART = 0.005, 0.7
"""Part of the picture that a foreground covers, at least and at most."""
SHOWN = 0.3
"""Shown motion of a foreground, see :func:`stages.segment.motion.shown_motion`: the flow leaves at
most three quarters of the error that the camera's motion leaves. Of 15 drawn movers, those that
cover enough had 0.48 to 1.5; what flow invents on plain walls and stripes had 0.02 to 0.19."""
DOUBTFUL, CLEAR = 0.2, 0.3
"""Jump of the motion along the outline, from 0 to 1, above which a foreground may be there, and
above which it is. The upper one is :data:`stages.segment.foreground_odds.LEAST_JUMP`."""


def diagnose(sample: ClipSample) -> Diagnosis:
    """Return the verdict on a foreground.

    The candidate is the one that the task's votes find by motion. The evidence is how much the
    motion jumps along its outline (:func:`stages.segment.parallax.outline_motion`).
    """
    if not sample.runs or max(len(run) for run in sample.runs) < 3 * EVERY:
        account = "no frames follow each other here, so nothing can be seen to move"
        return Diagnosis("foreground", NOT_THERE, account)
    context = SeparationContext(FitSettings())
    facts = survey(sample.frames, context)
    if facts.still:
        return Diagnosis("foreground", NOT_THERE, "nothing moves", {"jump": 0.0})
    best: tuple[float, float, list[int]] = (0.0, 0.0, [])
    for run in sample.runs:
        if len(run) < 3 * EVERY:
            continue
        work = shrunk(run[::EVERY], VOTE_PIXELS)
        motion = find_motion(work)
        shown = shown_motion(work, motion)
        if float((shown > SHOWN).float().mean()) < LEAST_PART / 2:
            # The camera alone explains these frames.
            continue
        inside = foreground_odds(work, motion, facts, context, {}) > 0
        part = float(inside.float().mean())
        jump = outline_motion(motion, inside)
        if not LEAST_PART < part < MOST_PART or float(shown[inside].mean()) < SHOWN:
            jump = 0.0
        if jump >= best[0]:
            middle = inside[len(inside) // 2]
            best = jump, part, sample.box_of(middle)
        if jump > CLEAR:
            break
    jump, part, box = best
    verdict = verdict_of(jump, DOUBTFUL, CLEAR)
    evidence: dict[str, object] = {"jump": round(jump, 3), "part": round(part, 4)}
    account = "nothing moves differently from what is around it"
    if verdict != NOT_THERE:
        evidence["box"] = box
        account = f"covers {100 * part:.1f} % of the picture and moves apart from what is around it"
    return Diagnosis("foreground", verdict, account, evidence)
