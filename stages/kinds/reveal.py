"""Reveals: the outgoing scene slides away from the incoming one, which lies still below it."""

from __future__ import annotations

from stages.kinds.base import (
    AffineMap,
    Direction,
    Placement,
    Placer,
    TransitionKind,
    in_all_directions,
)


def _reveal(direction: Direction) -> Placer:
    """Return the placement of a reveal in a direction."""
    right, down = direction

    def place(progress: float, aspect: float) -> Placement:
        shift = (-right * progress, -down * progress * aspect)
        return Placement(outgoing=AffineMap(shift=shift), top="outgoing")

    return place


KIND = TransitionKind(
    "reveal",
    undo="placement",
    effects=in_all_directions("reveal", _reveal),
)
