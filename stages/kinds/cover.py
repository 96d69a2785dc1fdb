"""Covers: the incoming scene slides over the outgoing one, which stays where it is."""

from __future__ import annotations

from stages.kinds.base import (
    AffineMap,
    Direction,
    Placement,
    Placer,
    TransitionKind,
    in_all_directions,
)


def _cover(direction: Direction) -> Placer:
    """Return the placement of a cover in a direction."""
    right, down = direction

    def place(progress: float, aspect: float) -> Placement:
        rest = 1 - progress
        return Placement(incoming=AffineMap(shift=(right * rest, down * rest * aspect)))

    return place


KIND = TransitionKind(
    "cover",
    undo="placement",
    effects=in_all_directions("cover", _cover),
)
