"""Cross-dissolve in light: ``I = ((1 - w) A^2.2 + w B^2.2)^(1/2.2)``."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stages.mixing.dissolve import Dissolve
from stages.mixing.forward_model import Pair
from stages.mixing.into_range import into_range

GAMMA = 2.2
"""Exponent between encoded values and light, as in editors' "blend in linear light"."""

LEAST_VALUE = 1e-3
"""Least encoded value that is raised to the power, whose gradient vanishes at black."""

LEAST_LIGHT = 1e-6
"""Least light that the root is taken of, whose gradient is infinite at black."""

DARK = 0.02
"""Encoded value below which the slope of the power law is taken at this value. It vanishes at
black, where a layer would otherwise get nothing of the residual."""

LIGHT_STEPS = 2
"""Gauss-Newton steps after which layers mix to a frame, to rounding to 8 bits."""


@dataclass(frozen=True)
class LightDissolve(Dissolve):
    """``I = ((1 - w) A^2.2 + w B^2.2)^(1/2.2)``, for encoded values A, B and I."""

    def mix(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the mixture, encoded again."""
        light_first = first.clamp_min(LEAST_VALUE) ** GAMMA
        light_second = second.clamp_min(LEAST_VALUE) ** GAMMA
        light = (1 - self.weight) * light_first + self.weight * light_second
        return light.clamp_min(LEAST_LIGHT) ** (1 / GAMMA)

    def slopes(self, first: Tensor, second: Tensor, mixed: Tensor) -> Pair:
        """Return ``(1 - w) (A / I)^1.2`` and ``w (B / I)^1.2``."""
        base = mixed.clamp_min(DARK)
        power = GAMMA - 1
        slope_first = (1 - self.weight) * (first.clamp_min(DARK) / base) ** power
        slope_second = self.weight * (second.clamp_min(DARK) / base) ** power
        return slope_first, slope_second

    def reconcile(self, frame: Tensor, first: Tensor, second: Tensor) -> Pair:
        """Return layers in [0, 1] that mix to ``frame``, near the given ones.

        A few Gauss-Newton steps come first; in light, what leaves the range is brought back.
        """
        for _ in range(LIGHT_STEPS):
            first, second = self.distribute_residual(frame, first, second)
        light, light_first, light_second = (
            values.clamp_min(0) ** GAMMA for values in (frame, first, second)
        )
        first, second = into_range(light, light_first, light_second, self.weight)
        return first ** (1 / GAMMA), second ** (1 / GAMMA)
