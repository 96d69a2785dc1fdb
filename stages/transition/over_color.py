"""Take the incoming scene out of frames in which it lies over one colour of the outgoing scene."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.mixing.mixture import RELATIVE_INPUT_ERROR


def over_one_color(frame: Tensor, incoming: Tensor, weight: float) -> Tensor:
    """Return the incoming scene ``(3, H, W)`` of a frame in which it lies over one colour.

    frame: ``(3, H, W)``. incoming: the scene as other frames show it, ``(3, H, W)``. weight: of the
    scene, 0 to 1.

    The colour's part is the median of what the scene leaves of the frame, so what moves in the
    scene does not count. Its weight is the rest to 1, so it is no larger than that. The scene gets
    what remains, as far as that is more than the input's own error.
    """
    rest = frame - weight * incoming
    color_part = rest.flatten(1).median(1).values.clamp(0, 1 - weight).view(3, 1, 1)
    gain = weight / (weight**2 + RELATIVE_INPUT_ERROR**2)
    return torch.clamp(incoming + gain * (rest - color_part), 0, 1)
