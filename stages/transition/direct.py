"""The result of a separation without a fit: of still scenes, or scenes that move as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.shots import Transition
from stages.transition.window import Window

PutLayers = Callable[[int, Tensor, Pair, Tensor | None], None]
"""Takes a frame's number from 0, the frame ``(3, H, W)``, its two layers, and its matte or None."""


def mixed_frames(
    window: Window, transition: Transition, progress: Callable[[float, str], None], note: str
) -> Iterator[tuple[int, Tensor]]:
    """Yield the number, from 0, and the pixels ``(3, H, W)`` of each mixed frame.

    progress: called with the fraction done and ``note`` after each frame.
    """
    number = 0
    for block in window.blocks(transition.first_frame, transition.last_frame):
        for frame in block.pixels:
            yield number, frame
            number += 1
            progress(number / len(transition), note)


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
