"""Say what was not found, what is a guess, and where the background comes from."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from stages.context import Note, SeparationContext, notes_where

HintedSide = Literal["foreground", "background"] | None
"""The side that the user marked, or ``None`` for neither."""

OPAQUE = 0.95
"""Matte above which a pixel shows the foreground alone."""

EMPTY = 1e-4
"""Share of a frame below which its foreground counts as empty."""

FULL = 0.999
"""Share of a frame above which its foreground counts as everything."""


def background_shares(matte: Tensor, missing: Tensor) -> dict[str, float]:
    """Return where the background comes from, as shares of all pixels, for the report.

    ``explained``: hidden here and seen in other frames. ``invented``: seen in no frame, so it is
    drawn. ``untouched``: not hidden.

    matte: ``(T, 1, H, W)`` in [0, 1].
    missing: ``(T, H, W)`` or ``(T, 1, H, W)``, true where no frame shows the background.
    """
    hidden = (matte[:, 0] > 1 - OPAQUE) | missing.reshape(matte[:, 0].shape)
    invented = float(missing.float().mean())
    covered = float(hidden.float().mean())
    return {"explained": covered - invented, "invented": invented, "untouched": 1 - covered}


def hinted_side(context: SeparationContext) -> HintedSide:
    """Return the side that the user's hints mark; the foreground where they mark both."""
    if context.hint is not None or any(region.foreground for region in context.hint_regions):
        return "foreground"
    return "background" if context.hint_regions else None


def matte_notes(matte: Tensor, *, moving: bool, hinted: HintedSide) -> tuple[Note, ...]:
    """Return notes about frames without a foreground and about frames without a background.

    matte: ``(T, 1, H, W)`` in [0, 1].
    moving: whether the foreground was found by its motion. hinted: the side that the user marked.
    """
    nothing = "nothing that stands out was found"
    advice = "mark the thing in white on black and give that picture as {hint}"
    if hinted == "background":
        nothing = "nothing was found that stands out from what {hint_background} marks"
        advice = "mark the thing, too, with {hint}"
    elif hinted == "foreground":
        nothing = "nothing that {hint} marks was found"
        advice = "draw the mark over the whole thing"
    elif moving:
        nothing = "nothing that moves against the camera was found"
    share = _foreground_shares(matte)
    empty = nothing + " in {frames}, so the foreground is empty there; " + advice
    full = (
        "nearly the whole picture was taken for the foreground in {frames}, "
        "so the background is made up there; " + advice
    )
    return notes_where(empty, share < EMPTY) + notes_where(full, share > FULL)


def guess_notes(matte: Tensor, context: SeparationContext) -> tuple[Note, ...]:
    """Return a note about pictures without motion and without hints, whose foreground is a guess.

    matte: ``(T, 1, H, W)`` in [0, 1].
    """
    are_pictures = context.unordered or len(matte) == 1
    if not are_pictures or hinted_side(context) is not None:
        return ()
    text = (
        "nothing moves and nothing is marked in {frames}, so the foreground is a guess: it is what "
        "stands out from the picture's outer edge. Look at the matte; to say what the foreground "
        "is, give a box, points or a mask as {hint}"
    )
    share = _foreground_shares(matte)
    return notes_where(text, (share >= EMPTY) & (share <= FULL))


def _foreground_shares(matte: Tensor) -> Tensor:
    """Return the part of each frame that the foreground covers, ``(T,)``.

    matte: ``(T, 1, H, W)`` in [0, 1].
    """
    return (matte > 0.5).float().mean((1, 2, 3))
