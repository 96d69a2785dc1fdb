"""Pushes: the incoming scene pushes the outgoing one out of the picture; both move as one."""

from __future__ import annotations

from stages.kinds.base import AffineMap, Placement, Placer, TransitionKind


def _push(right: int, down: int) -> Placer:
    """Return the placement of a push. right, down: its direction, 1, 0 or -1 each."""

    def place(progress: float, aspect: float) -> Placement:
        rest = 1 - progress
        return Placement(
            outgoing=AffineMap(shift=(-right * progress, -down * progress * aspect)),
            incoming=AffineMap(shift=(right * rest, down * rest * aspect)),
        )

    return place


KIND = TransitionKind(
    "push",
    undo="placement",
    effects={
        "slideleft": _push(-1, 0),
        "slideright": _push(1, 0),
        "slideup": _push(0, -1),
        "slidedown": _push(0, 1),
    },
    resembles_pan=True,
)
