"""A foreground over a background, by a matte: ``I = m F + (1 - m) B``."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stages.mixing.blend import blend
from stages.mixing.forward_model import ForwardModel, Pair
from stages.mixing.into_range import into_range


@dataclass(frozen=True)
class MatteComposite(ForwardModel):
    """``I = m F + (1 - m) B`` (Porter and Duff, SIGGRAPH 1984, "over").

    The first layer is the background B, the second the foreground F.

    matte: m in [0, 1], ``(T, 1, H, W)``.
    """

    matte: Tensor

    def mix(self, first: Tensor, second: Tensor) -> Tensor:
        """Return ``m F + (1 - m) B``."""
        return blend(first, second, self.matte)

    def residual(self, frame: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return ``I - m F - (1 - m) B``."""
        return frame - self.matte * second - (1 - self.matte) * first

    def distribute_residual(self, frame: Tensor, first: Tensor, second: Tensor) -> Pair:
        """Return ``F + m r / (m² + (1 - m)²)``, and B likewise: the nearest layers that mix to I.

        r is the residual.
        """
        squares = self.matte**2 + (1 - self.matte) ** 2
        rest = self.residual(frame, first, second)
        background = first + (1 - self.matte) / squares * rest
        return background, second + self.matte / squares * rest

    def reconcile(self, frame: Tensor, first: Tensor, second: Tensor) -> Pair:
        """Return the nearest layers in [0, 1] that mix to ``frame``, to rounding."""
        layers = self.distribute_residual(frame, *self.clamp(first, second))
        return into_range(frame, *layers, self.matte)
