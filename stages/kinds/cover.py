"""Covers: the incoming scene slides over the outgoing one, which stays where it is."""

from __future__ import annotations

from stages.kinds.base import AffineMap, Placement, Placer, TransitionKind


def _cover(right: int, down: int) -> Placer:
    """Return the placement of a cover. right, down: its direction, 1, 0 or -1 each."""

    def place(progress: float, aspect: float) -> Placement:
        rest = 1 - progress
        return Placement(incoming=AffineMap(shift=(right * rest, down * rest * aspect)))

    return place


KIND = TransitionKind(
    "cover",
    undo="placement",
    effects={
        "coverleft": _cover(-1, 0),
        "coverright": _cover(1, 0),
        "coverup": _cover(0, -1),
        "coverdown": _cover(0, 1),
    },
)
