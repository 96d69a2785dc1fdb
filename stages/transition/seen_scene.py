"""What the frames of a transition have shown so far of a scene that moves as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stages.find.track import Params
from stages.mixing.forward_model import Pair
from stages.transition.hidden import inverse, moved_on

SURE = 0.99
"""Part of a moved pixel that has to be shown surely, so that the pixel is."""

UNSURE_PIXELS = 2
"""Pixels at the edge of what is shown that are not kept for other frames."""


@dataclass(frozen=True)
class SeenScene:
    """What the frames have shown of a scene so far.

    picture: ``(3, H, W)``, at the places of the nearest clean frame, which it begins with.
    seen: where a mixed frame has shown it, ``(1, H, W)``; None where none has.
    """

    picture: Tensor
    seen: Tensor | None = None

    def at(self, motion: Params) -> Tensor:
        """Return the scene ``(3, H, W)`` as its camera sees it after a motion."""
        return moved_on(self.picture, motion)

    def with_latest(self, layer: Tensor, shown: Tensor, motion: Params) -> SeenScene:
        """Return the scene with what a frame shows of it, as it was seen last.

        layer: ``(3, H, W)``, after the motion. shown: where it is the scene's, ``(1, H, W)``.
        """
        layer, shown = _before_motion(layer, shown, motion)
        return SeenScene(torch.where(shown, layer, self.picture), shown)

    def with_new(self, layer: Tensor, shown: Tensor, motion: Params) -> SeenScene:
        """Return the scene with what no earlier frame has shown of it, as it was seen first."""
        layer, shown = _before_motion(layer, shown, motion)
        new = shown if self.seen is None else shown & ~self.seen
        seen = shown if self.seen is None else shown | self.seen
        return SeenScene(torch.where(new, layer, self.picture), seen)


def _before_motion(layer: Tensor, shown: Tensor, motion: Params) -> Pair:
    """Return a layer and where it is surely shown, as the camera saw them before a motion.

    At the edges of what is shown, a place that is a pixel off would keep a line of the other scene.
    """
    hidden = 1 - shown.float()
    is_sure = functional.max_pool2d(hidden, 2 * UNSURE_PIXELS + 1, 1, UNSURE_PIXELS) == 0
    if not motion.any():
        return layer, is_sure
    back = inverse(motion)
    return moved_on(layer, back), moved_on(is_sure.float(), back) > SURE
