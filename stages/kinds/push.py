"""Pushes: the incoming scene pushes the outgoing one out of the picture; both move as one."""

from __future__ import annotations

from stages.kinds.base import (
    AffineMap,
    Direction,
    Placement,
    Placer,
    TransitionKind,
    in_all_directions,
)


def _push(direction: Direction) -> Placer:
    """Return the placement of a push in a direction."""
    right, down = direction

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
    effects=in_all_directions("slide", _push),
    resembles_pan=True,
)
