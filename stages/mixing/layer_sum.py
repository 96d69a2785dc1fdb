"""Two layers of light that add up, behind and on a pane of glass: ``I = T + R``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.mixing.forward_model import ForwardModel, Pair
from stages.mixing.light_dissolve import GAMMA


def to_space(encoded: Tensor, space: str) -> Tensor:
    """Return encoded values, clamped to [0, 1], in the space in which layers add.

    space: ``gamma`` for the encoded values themselves, or ``linear`` for light.
    """
    held = encoded.clamp(0, 1)
    return held**GAMMA if space == "linear" else held


def from_space(values: Tensor, space: str) -> Tensor:
    """Return the encoded values of :func:`to_space`'s result, which is clamped to [0, 1]."""
    held = values.clamp(0, 1)
    return held ** (1 / GAMMA) if space == "linear" else held


@dataclass(frozen=True)
class LayerSum(ForwardModel):
    """``I = T + R`` in values that add up: light, or encoded values (Xue et al., SIGGRAPH 2015).

    The first layer is the transmission T, the second the reflection R; neither exceeds the frame.
    Use :func:`to_space` and :func:`from_space` to get from encoded values to these and back.

    share: the reflection's part of a residual, in [0, 1]; the transmission gets the rest.
    """

    share: Tensor | float = 0.0

    def mix(self, first: Tensor, second: Tensor) -> Tensor:
        """Return ``T + R``."""
        return first + second

    def residual(self, frame: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return ``I - T - R``."""
        return frame - first - second

    def distribute_residual(self, frame: Tensor, first: Tensor, second: Tensor) -> Pair:
        """Return layers in [0, I] that add up to ``frame`` exactly.

        The reflection gets its share of the residual, as far as it stays in [0, I]; the
        transmission is what the reflection leaves.
        """
        moved = second + self.residual(frame, first, second) * self.share
        reflection = torch.minimum(moved.clamp_min(0), frame)
        return frame - reflection, reflection
