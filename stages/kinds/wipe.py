"""Wipes: an edge passes over the picture, straight, from a corner or the middle, or as a clock.

Or the picture is cut into ten strips, FFmpeg's slices, and each has an edge of its own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stages.kinds.base import Order, TransitionKind, WipePattern, effect_by_direction

SLANT = 0.1  # part of the edge's way along one side up to which it counts as parallel to the other
STRIPS = 10  # into which FFmpeg's slices cut the picture
SMOOTH = 0.5  # softness, as part of the whole way, from which FFmpeg calls a wipe smooth


def _plane(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
    """Return both places: a straight edge at any angle."""
    return x, y


def _plane_effect(slopes: tuple[float, ...], soft: float, aspect: float) -> str | None:
    """Return FFmpeg's name of a straight edge along a side of the picture: where it moves to."""
    across, down = slopes[0], slopes[1] * aspect
    prefix = "smooth" if soft >= SMOOTH else "wipe"
    if abs(down) <= SLANT * abs(across):
        return prefix + ("right" if across > 0 else "left")
    if abs(across) <= SLANT * abs(down):
        return prefix + ("down" if down > 0 else "up")
    return None


def _from_middle_column(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
    """Return the distance from the vertical line through the centre: doors that open sideways."""
    return (x.abs(),)


def _from_middle_row(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
    """Return the distance from the horizontal line through the centre: shutters."""
    return (y.abs(),)


def _corner(right: float, down: float) -> Order:
    """Return the distance from a corner along the farther side.

    It is 0 in the corner and 1 on the two sides away from it. right, down: 1 or -1, which corner.
    """

    def order(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
        return (torch.maximum(0.5 - right * x, 0.5 - down * y / aspect),)

    return order


def _bent(right: float, down: float) -> Order:
    """Return the product of the distances from two sides.

    It is 0 on both sides and 1 in the corner away from them. right, down: 1 or -1, which corner.
    """

    def order(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
        return ((0.5 + right * x) * (0.5 + down * y / aspect),)

    return order


def _clock(start: float) -> Order:
    """Return the angle of a hand that goes round clockwise, in turns from where it starts.

    start: 0 is up, 0.25 is right.
    """

    def order(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
        return ((torch.atan2(x, -y) / (2 * math.pi) - start) % 1.0,)

    return order


def _strips(place: Tensor) -> Tensor:
    """Return the order of strips side by side that open one after the other, the last one first.

    In FFmpeg's slices the place p, from 0 to 1 along the picture, changes at the progress
    ``(1 - p + S(10 p mod 1)) / 1.5``. S rises from 0 to 0.5: it is half the inverse of smoothstep.
    """
    part = (STRIPS * place) % 1.0
    return 0.5 * (0.5 - torch.sin(torch.asin(1 - 2 * part) / 3)) - place


def _strips_across(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
    """Return the order of upright strips, from the right to the left."""
    return (_strips(0.5 + x),)


def _strips_down(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
    """Return the order of lying strips, from the bottom to the top."""
    return (_strips(0.5 + y / aspect),)


KIND = TransitionKind(
    "wipe",
    undo="matte",
    patterns={
        "plane": WipePattern(_plane, simple=True, effect=_plane_effect),
        "columns": WipePattern(
            _from_middle_column, centered=True, effect=effect_by_direction("vertopen", "vertclose")
        ),
        "rows": WipePattern(
            _from_middle_row, centered=True, effect=effect_by_direction("horzopen", "horzclose")
        ),
        "corner-nw": WipePattern(_corner(-1, -1), effect=effect_by_direction(None, "wipetl")),
        "corner-ne": WipePattern(_corner(1, -1), effect=effect_by_direction(None, "wipetr")),
        "corner-sw": WipePattern(_corner(-1, 1), effect=effect_by_direction(None, "wipebl")),
        "corner-se": WipePattern(_corner(1, 1), effect=effect_by_direction(None, "wipebr")),
        "bent-nw": WipePattern(_bent(-1, -1), effect=effect_by_direction("diagtl", "diagbr")),
        "bent-ne": WipePattern(_bent(1, -1), effect=effect_by_direction("diagtr", "diagbl")),
        "bent-sw": WipePattern(_bent(-1, 1), effect=effect_by_direction("diagbl", "diagtr")),
        "bent-se": WipePattern(_bent(1, 1), effect=effect_by_direction("diagbr", "diagtl")),
        "clock-n": WipePattern(
            _clock(0.0), centered=True, effect=effect_by_direction("radial", None)
        ),
        "clock-e": WipePattern(_clock(0.25), centered=True),
        "clock-s": WipePattern(_clock(0.5), centered=True),
        "clock-w": WipePattern(_clock(0.75), centered=True),
        "strips-across": WipePattern(
            _strips_across, fine=True, effect=effect_by_direction("hlslice", "hrslice")
        ),
        "strips-down": WipePattern(
            _strips_down, fine=True, effect=effect_by_direction("vuslice", "vdslice")
        ),
    },
)
