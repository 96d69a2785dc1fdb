"""Irises: a circle or a box that opens or closes around a centre."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.kinds.base import TransitionKind, WipePattern, effect_by_direction

TINY = 1e-8  # under the root, so that the distance has a slope at the centre, too


def _distance(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
    """Return the distance from the centre."""
    return (torch.sqrt(x * x + y * y + TINY),)


def _box(x: Tensor, y: Tensor, aspect: float) -> tuple[Tensor, ...]:
    """Return the size of the box around the centre, of the picture's own shape, that ends here."""
    return (torch.maximum(x.abs(), (y / aspect).abs()),)


def _through_color(color: str, halves: tuple[str | None, str | None]) -> str | None:
    """Return FFmpeg's name of an iris that closes to a plain colour and opens from it again."""
    names = {
        ("circleclose", "circleopen"): "circlecrop",
        ("boxclose", "boxopen"): "rectcrop",
    }
    return names.get((halves[0] or "", halves[1] or ""))


KIND = TransitionKind(
    "iris",
    undo="matte",
    through_color=_through_color,
    patterns={
        "circle": WipePattern(
            _distance,
            centered=True,
            off_center=True,
            simple=True,
            effect=effect_by_direction("circleopen", "circleclose"),
        ),
        "box": WipePattern(_box, centered=True, effect=effect_by_direction("boxopen", "boxclose")),
    },
)
