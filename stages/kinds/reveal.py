"""Reveals: the outgoing scene slides away from the incoming one, which lies still below it."""

from __future__ import annotations

from stages.kinds.base import AffineMap, Placement, Placer, TransitionKind


def _reveal(right: int, down: int) -> Placer:
    """Return the placement of a reveal. right, down: its direction, 1, 0 or -1 each."""

    def place(progress: float, aspect: float) -> Placement:
        shift = (-right * progress, -down * progress * aspect)
        return Placement(outgoing=AffineMap(shift=shift), top="outgoing")

    return place


KIND = TransitionKind(
    "reveal",
    undo="placement",
    effects={
        "revealleft": _reveal(-1, 0),
        "revealright": _reveal(1, 0),
        "revealup": _reveal(0, -1),
        "revealdown": _reveal(0, 1),
    },
)
