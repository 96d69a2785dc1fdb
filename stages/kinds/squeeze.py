"""Squeezes: the outgoing scene shrinks to the picture's middle line and uncovers the incoming."""

from __future__ import annotations

from stages.kinds.base import AffineMap, Placement, TransitionKind

THINNEST = 1e-3  # size, as part of the picture's, at which the squeezed scene stops shrinking


def _flat(progress: float, aspect: float) -> Placement:
    """Return the placement where the outgoing scene loses its height."""
    size = max(1 - progress, THINNEST)
    return Placement(outgoing=AffineMap(scale=(1.0, 1 / size)), top="outgoing")


def _thin(progress: float, aspect: float) -> Placement:
    """Return the placement where the outgoing scene loses its width."""
    size = max(1 - progress, THINNEST)
    return Placement(outgoing=AffineMap(scale=(1 / size, 1.0)), top="outgoing")


KIND = TransitionKind("squeeze", undo="placement", effects={"squeezeh": _flat, "squeezev": _thin})
