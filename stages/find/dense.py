"""The clean frames beside a transition carried into it by two dense flows: a second look, where cameras explain too little.

What moves against its background, or a camera too fast for the tracks of :mod:`stages.find.track`, leaves a true mixture unexplained.
"""

from __future__ import annotations

import numpy as np
import torch

from stages.find.features import Array
from stages.find.track import Carried
from stages.mixing.mixture import Mixture
from stages.motion.carry import KNOWN, carry

LEVELS = ((4, 15), (2, 15), (1, 8))


class Dense:
    """As :class:`stages.find.track.Carried`, with the frames in between carried by flows fitted to the mixture.

    frames: ``(T, H, W, 3)``; affine: the same clean frames ``before`` and ``after`` carried by their cameras, which serves outside of the
    transition; low, high: the first and last frame of the two shots; weights: ``(after - before - 1,)``, a first estimate.
    """

    def __init__(self, frames: Array, affine: Carried, low: int, high: int, weights: Array) -> None:
        self.affine = affine
        before, after = affine.before, affine.after
        low, high = max(low, before - KNOWN), min(high, after + KNOWN)
        pixels = (
            torch.from_numpy(np.ascontiguousarray(frames[low : high + 1]))
            .permute(0, 3, 1, 2)
            .contiguous()
        )
        weight = np.concatenate(
            [np.zeros(before - low + 1), weights, np.ones(high - after + 1)]
        ).astype(np.float32)
        mixture = Mixture(
            pixels, torch.from_numpy(weight).view(-1, 1, 1, 1), before - low + 1, after - low - 1
        )
        self.outgoing, self.incoming = (
            layer.permute(0, 2, 3, 1).contiguous().numpy()
            for layer in carry(mixture, LEVELS).layers
        )

    def outgoing_at(self, time: int) -> Array:
        """The outgoing shot's clean frame as it would be at ``time``, ``(H, W, 3)``."""
        return (
            self.outgoing[time - self.affine.before - 1]
            if self._inside(time)
            else self.affine.outgoing_at(time)
        )

    def incoming_at(self, time: int) -> Array:
        """The incoming shot's clean frame as it would be at ``time``, ``(H, W, 3)``."""
        return (
            self.incoming[time - self.affine.before - 1]
            if self._inside(time)
            else self.affine.incoming_at(time)
        )

    def _inside(self, time: int) -> bool:
        return self.affine.before < time < self.affine.after
