"""Zooms: the outgoing scene is enlarged to one colour, which dissolves into the incoming scene.

FFmpeg has one. Until its middle the outgoing scene is enlarged, up to a single pixel. From there on
the colour of this pixel dissolves into the incoming scene.
"""

from __future__ import annotations

from stages.kinds.base import AffineMap, Placement, TransitionKind, smoothstep

SMALLEST_PART = 1e-3  # part of the outgoing scene's width that fills the frame in the end


def _zoom_in(progress: float, aspect: float) -> Placement:
    """Return the placement of FFmpeg's ``zoomin``."""
    part = max(SMALLEST_PART, 1 - smoothstep(2 * progress))
    return Placement(
        outgoing=AffineMap(scale=(part, part)), incoming_weight=smoothstep(2 * progress - 1)
    )


KIND = TransitionKind(
    "zoom", undo="placement", effects={"zoomin": _zoom_in}, found_around_fade=True
)
