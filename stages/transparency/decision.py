"""Decide whether a reflection is removed, and how much of it, from the evidence and the settings.

The first row that applies holds. Strength and force are the user's settings.

    of a clip                    of a picture       the reflection is removed    note
    ----------------------------------------------------------------------------------------------
    evidence for a sum           -                  strength times
    too few frames to tell       -                  strength times               TOO_FEW_FRAMES
    force                        force              strength times               FORCED
    strength above 1             strength above 1   strength - 1 times
    none of these                none of these      not at all: the input stays  NO_SUM, GUESS

A picture is no evidence by itself, because one view does not tell its two layers apart. A picture
that repeats in two ways is another matter: see :mod:`stages.transparency.repeats`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stages.context import FORCED, Note, SeparationContext, notes_where
from stages.transparency.evidence import ENOUGH, FEWEST
from stages.transparency.judgement import BELIEVED

NO_SUM = (
    "no reflection was found in {frames}: the transmission is the input itself; "
    "nothing shows that two moving layers add up here; {strength} 2 separates them all the same"
)
GUESS = (
    "no reflection is believed in {frames}: the transmission is the input itself; "
    "one view does not tell its two layers apart, so give several pictures or a moving clip of it, "
    "or remove a guess with {strength} 2"
)
TOO_FEW_FRAMES = (
    "{frames} are too few to show that two layers add up: they are separated all the same; "
    "if there is no reflection, keep the input"
)


@dataclass(frozen=True)
class RemovalDecision:
    """Hold what is done with a reflection.

    times: how often it is removed, 0 to 2; ``None`` leaves the input as it is.
    note: what the user is told about it; empty for nothing.
    """

    times: float | None
    note: str = ""

    def notes(self, where: Tensor) -> tuple[Note, ...]:
        """Return the note about the frames at which ``where`` ``(T,)`` is true."""
        return notes_where(self.note, where) if self.note else ()


def decide_on_clip(is_sum: bool, count: int, context: SeparationContext) -> RemovalDecision:
    """Decide on a clip of ``count`` frames.

    is_sum: whether there is evidence that two layers add up.
    """
    if is_sum:
        return RemovalDecision(context.strength)
    if FEWEST <= count < ENOUGH:
        # So few frames cannot speak against a reflection, and the user expects one.
        return RemovalDecision(context.strength, TOO_FEW_FRAMES)
    return _decide_without_evidence(context, NO_SUM)


def decide_on_picture(context: SeparationContext) -> RemovalDecision:
    """Decide on pictures without a second view that do not repeat in two ways."""
    return _decide_without_evidence(context, GUESS)


def _decide_without_evidence(context: SeparationContext, refusal: str) -> RemovalDecision:
    """Decide by the settings alone.

    refusal: the note if the input stays as it is.
    """
    if context.should_separate(0.0, BELIEVED):
        return RemovalDecision(context.strength, FORCED)
    if context.strength > 1:
        return RemovalDecision(context.strength - 1)
    return RemovalDecision(None, refusal)
