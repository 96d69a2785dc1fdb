"""Bring layers into [0, 1] and keep their mixture: ``I = (1 - w) A + w B``."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.mixing.forward_model import Pair

LEAST_SHARE = 1e-6
"""A layer with a smaller share of a pixel may have any value there: it moves the frame by less."""


def into_range(frame: Tensor, first: Tensor, second: Tensor, weight: Tensor) -> Pair:
    """Return the layers in [0, 1] that mix to ``frame`` and are nearest to the given ones.

    The given layers mix to ``frame``, but may lie outside of [0, 1]. All pairs that mix to a value
    lie on one line, so the nearest pair in range is found by moving along it. One exists for every
    value in [0, 1].

    frame, first, second: values of any shape; the frame's are in [0, 1]. weight: of the second
    layer, in [0, 1]. All broadcast against each other.
    """
    # Dividing by the larger share keeps the rounding small.
    mostly_first = weight < 0.5
    if weight.numel() == 1 and weight.device.type == "cpu":
        if mostly_first:
            incoming, outgoing = _completed(frame, second, weight)
            return outgoing, incoming
        return _completed(frame, first, 1 - weight)
    from_first = _completed(frame, first, 1 - weight)
    from_second = _completed(frame, second, weight)
    return (
        torch.where(mostly_first, from_second[1], from_first[0]),
        torch.where(mostly_first, from_second[0], from_first[1]),
    )


def _completed(frame: Tensor, layer: Tensor, share: Tensor) -> Pair:
    """Return ``layer``, brought into range, and the other layer that mixes with it to ``frame``.

    share: of ``layer`` in the frame. The other layer has the rest, which is not 0 where the pair is
    used. ``layer`` changes as far as its own range and that of the other layer demand.
    """
    rest = (1 - share).clamp_min(LEAST_SHARE)
    divisor = share.clamp_min(LEAST_SHARE)
    least = ((frame - rest) / divisor).clamp(0, 1)
    most = (frame / divisor).clamp(0, 1)
    bounded = torch.where(share < LEAST_SHARE, layer.clamp(0, 1), layer.clamp(least, most))
    return bounded, ((frame - share * bounded) / rest).clamp(0, 1)
