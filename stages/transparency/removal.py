"""Decide how much of a reflection is removed, from the evidence and the user's settings.

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

import torch
from torch import Tensor

from stages.context import FORCED, Note, SeparationContext, notes_where
from stages.transparency.sum_evidence import ENOUGH_FRAMES, FEWEST_FRAMES

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
    """How much of a reflection is removed.

    times: how often it is removed, 0 to 2; ``None`` leaves the input as it is.
    note: what the user is told about it; empty for nothing.
    """

    times: float | None
    note: str = ""

    def notes(self, where: Tensor) -> tuple[Note, ...]:
        """Return the note about the frames at which ``where`` ``(T,)`` is true."""
        return notes_where(self.note, where) if self.note else ()

    def notes_on_all(self, count: int) -> tuple[Note, ...]:
        """Return the note about all of ``count`` frames."""
        return self.notes(torch.ones(count))


def decide_on_clip(is_sum: bool, count: int, context: SeparationContext) -> RemovalDecision:
    """Decide on a clip of ``count`` frames.

    is_sum: whether there is evidence that two layers add up.
    """
    if is_sum:
        return RemovalDecision(context.strength)
    if FEWEST_FRAMES <= count < ENOUGH_FRAMES:
        # So few frames cannot speak against a reflection, and the user expects one.
        return RemovalDecision(context.strength, TOO_FEW_FRAMES)
    return _decide_without_evidence(context, NO_SUM)


def decide_on_short_part(context: SeparationContext) -> RemovalDecision:
    """Decide on a few frames between cuts.

    In a whole clip of so few frames, the user expects a reflection. Here other shots may have it.
    """
    return _decide_without_evidence(context, NO_SUM)


def decide_on_picture(context: SeparationContext) -> RemovalDecision:
    """Decide on pictures without a second view that do not repeat in two ways."""
    return _decide_without_evidence(context, GUESS)


def _decide_without_evidence(context: SeparationContext, refusal: str) -> RemovalDecision:
    """Decide by the user's settings alone. refusal: the note if the input stays as it is."""
    if context.force:
        return RemovalDecision(context.strength, FORCED)
    if context.strength > 1:
        return RemovalDecision(context.strength - 1)
    return RemovalDecision(None, refusal)
