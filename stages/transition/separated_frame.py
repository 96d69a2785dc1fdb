"""One mixed frame and its layers, as a separation passes them on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SeparatedFrame:
    """One mixed frame and its layers at full size.

    frame, outgoing, incoming: ``(3, H, W)`` in [0, 1].
    matte: weight of the incoming scene, ``(1, H, W)``, where it varies over the picture.
    """

    frame: Tensor
    outgoing: Tensor
    incoming: Tensor
    matte: Tensor | None = None


PutFrame = Callable[[int, SeparatedFrame], None]
"""Takes the layers of one mixed frame; the first argument counts the mixed frames from 0."""
