"""The clean frames beside a transition, carried into it by dense optical flow.

This is a second look at true mixtures that the cameras of :mod:`stages.find.track` do not explain:
objects that move against their background, or cameras too fast for the tracks.
"""

from __future__ import annotations

import numpy as np
import torch

from stages.find.features import Array
from stages.find.track import CameraWarp
from stages.mixing.mixture import Mixture
from stages.motion.carry import KNOWN_FRAMES, carry

LEVELS = ((4, 15), (2, 15), (1, 8))  # the pyramid: scale and steps of each level of the flow


class FlowWarp:
    """Two clean frames carried to the frames between them by flows fitted to the mixture.

    It has the interface of :class:`stages.find.track.CameraWarp`.

    frames: ``(T, H, W, 3)``.
    affine: the same clean frames carried by their cameras; it serves outside of the transition.
    low, high: the first and the last frame of the two shots.
    weights: a first estimate for the frames in between, ``(after - before - 1,)``.
    """

    def __init__(
        self, frames: Array, affine: CameraWarp, low: int, high: int, weights: Array
    ) -> None:
        self.affine = affine
        before, after = affine.before, affine.after
        low, high = max(low, before - KNOWN_FRAMES), min(high, after + KNOWN_FRAMES)
        pixels = torch.from_numpy(np.ascontiguousarray(frames[low : high + 1]))
        weight = np.concatenate(
            [np.zeros(before - low + 1), weights, np.ones(high - after + 1)]
        ).astype(np.float32)
        mixture = Mixture(
            pixels.permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(weight).view(-1, 1, 1, 1),
            before - low + 1,
            after - low - 1,
        )
        layers = carry(mixture, LEVELS, proposals=False).layers
        self.outgoing: Array = layers[0].permute(0, 2, 3, 1).contiguous().numpy()
        self.incoming: Array = layers[1].permute(0, 2, 3, 1).contiguous().numpy()

    def outgoing_at(self, time: int) -> Array:
        """Return the outgoing shot's clean frame as it would be at ``time``, ``(H, W, 3)``."""
        if not self._inside(time):
            return self.affine.outgoing_at(time)
        return np.asarray(self.outgoing[time - self.affine.before - 1])

    def incoming_at(self, time: int) -> Array:
        """Return the incoming shot's clean frame as it would be at ``time``, ``(H, W, 3)``."""
        if not self._inside(time):
            return self.affine.incoming_at(time)
        return np.asarray(self.incoming[time - self.affine.before - 1])

    def _inside(self, time: int) -> bool:
        return self.affine.before < time < self.affine.after
