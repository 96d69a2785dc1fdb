"""Say whether a clip or picture is hazy, and how much light the haze lets through."""

from __future__ import annotations

from dataclasses import replace

import torch

from stages.context import FitSettings, SeparationContext
from stages.dehaze.layers import DehazeSurvey, separate, survey
from stages.diagnosis import NOT_THERE, ClipSample, Diagnosis, spread, verdict_of

BELIEVED_EVIDENCE = 0.1
"""Part of the optical depth above which the verdict is ``there``.

Of 80 drawn clean inputs 2 had more than this, and of 80 with haze of at least 20 % 77 had. Any
limit from 0.02 to 0.1 gives the same verdicts.
"""
DEPTH_ERROR = 0.3
"""Part of the optical depth by which it may be wrong. Chosen by us."""
EVIDENCE_FRAMES = 4
"""Frames in which the evidence is sought, half as many as the task surveys."""
PLAIN_DEVIATION = 0.01
"""Standard deviation of all values up to which a picture is plain: about two steps of 8 bits."""
MEASURED_FRAMES = 2
"""Frames in which the transmission is measured."""


def diagnose(sample: ClipSample) -> Diagnosis:
    """Return the verdict on haze.

    The evidence is that of :func:`stages.dehaze.evidence.evidence`. The transmission is what a run
    would find. Its interval has two ends: all that may be haze is haze, or only the part that is
    believed is; each with :data:`DEPTH_ERROR` beyond it.
    """
    context = SeparationContext(FitSettings())
    frames = spread(sample.frames, EVIDENCE_FRAMES)
    if float(frames.std(unbiased=False)) < PLAIN_DEVIATION:
        return Diagnosis("haze", NOT_THERE, "the picture is plain, so it does not tell")
    groups = [frames]
    if sample.unordered:
        groups = list(frames.split(1))  # type: ignore[no-untyped-call]
    surveys = [survey(group, context) for group in groups]
    sure = sum(facts.sure for facts in surveys) / len(surveys)
    if sure == 0:
        account = "what is dark lies as deep as in clear air"
        return Diagnosis("haze", NOT_THERE, account, {"believed": 0.0, "transmission": 1.0})
    believed = _transmission(groups, surveys, context, power=None)
    least = _transmission(groups, surveys, context, power=1.0)
    low, high = least ** (1 + DEPTH_ERROR), believed ** (1 - DEPTH_ERROR)
    evidence = {
        "believed": round(sure, 3),
        "transmission": round(believed, 3),
        "transmission_interval": [round(low, 3), round(high, 3)],
    }
    account = f"it lets {100 * low:.0f} to {100 * high:.0f} % of the light through on average"
    return Diagnosis("haze", verdict_of(sure, 0.0, BELIEVED_EVIDENCE), account, evidence)


def _transmission(
    groups: list[torch.Tensor],
    surveys: list[DehazeSurvey],
    context: SeparationContext,
    power: float | None,
) -> float:
    """Return the mean transmission of some frames.

    power: the part of the optical depth that counts as haze; ``None`` for the part believed.
    """
    transmissions = []
    for frames, facts in zip(groups, surveys, strict=True):
        believed = facts.sure if power is None else power
        if believed == 0:
            transmissions.append(1.0)
            continue
        separation = separate(
            spread(frames, MEASURED_FRAMES), replace(facts, sure=believed), context
        )
        transmissions.append(separation.report["mean_transmission"])
    return sum(transmissions) / len(transmissions)
