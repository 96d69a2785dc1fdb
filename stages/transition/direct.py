"""The result of a separation without a fit: of still scenes, or scenes that move as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from stages.mixing.forward_model import Pair

PutLayers = Callable[[int, Tensor, Pair, Tensor | None], None]
"""Takes a frame's number from 0, the frame ``(3, H, W)``, its two layers, and its matte or None."""


@dataclass(frozen=True)
class DirectSeparation:
    """What was learnt about a transition, in addition to its layers.

    mix: the mean weight of the incoming scene in each frame.
    visible: the part of both scenes that the frames show, 0 to 1.
    reconstruction_psnr: in dB. seconds: by stage.
    """

    mix: tuple[float, ...]
    visible: float
    reconstruction_psnr: float
    seconds: dict[str, float]
