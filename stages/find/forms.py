"""The forms of wipes and irises: in which order the places of a picture change from one scene to the other.

A form gives one or two maps; the time at which a place changes is a weighted sum of them. A new form is one entry of :data:`FORMS`.
Places are given in picture widths from the middle: ``x`` in [-0.5, 0.5], ``y`` in [-aspect / 2, aspect / 2] with the aspect height / width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Order = Callable[[Tensor, Tensor, float], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Form:
    """One form. order: maps of ``x`` and ``y``, from the centre where it has one, and of the aspect. kind: as the manifest has it."""

    kind: Literal["wipe", "iris"]
    order: Order
    centred: bool = False


def _corner(right: float, down: float) -> Order:
    """Return the distance from a corner along the farther side: 0 in the corner, 1 on the two sides away from it."""

    def order(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
        return (torch.maximum(0.5 - right * x, 0.5 - down * y / aspect),)

    return order


def _bent(right: float, down: float) -> Order:
    """Return the product of the ways from two sides: 0 on both, 1 in the corner away from them."""

    def order(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
        return ((0.5 + right * x) * (0.5 + down * y / aspect),)

    return order


def _clock(turn: float) -> Order:
    """Return the angle of a hand that goes round clockwise, in turns from its start at ``turn`` (0: up, 0.25: right)."""

    def order(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
        return ((torch.atan2(x, -y) / (2 * math.pi) - turn) % 1.0,)

    return order


FORMS: dict[str, Form] = {
    "plane": Form("wipe", lambda x, y, aspect: (x, y)),
    "circle": Form("iris", lambda x, y, aspect: (torch.sqrt(x * x + y * y + 1e-8),), centred=True),
    "box": Form(
        "iris", lambda x, y, aspect: (torch.maximum(x.abs(), (y / aspect).abs()),), centred=True
    ),
    "columns": Form("wipe", lambda x, y, aspect: (x.abs(),), centred=True),
    "rows": Form("wipe", lambda x, y, aspect: (y.abs(),), centred=True),
    "corner-nw": Form("wipe", _corner(-1, -1)),
    "corner-ne": Form("wipe", _corner(1, -1)),
    "corner-sw": Form("wipe", _corner(-1, 1)),
    "corner-se": Form("wipe", _corner(1, 1)),
    "bent-nw": Form("wipe", _bent(-1, -1)),
    "bent-ne": Form("wipe", _bent(1, -1)),
    "bent-sw": Form("wipe", _bent(-1, 1)),
    "bent-se": Form("wipe", _bent(1, 1)),
    "clock-n": Form("wipe", _clock(0.0), centred=True),
    "clock-e": Form("wipe", _clock(0.25), centred=True),
    "clock-s": Form("wipe", _clock(0.5), centred=True),
    "clock-w": Form("wipe", _clock(0.75), centred=True),
}
"""All forms by name. Each goes either way: a negative weight turns its order round."""
