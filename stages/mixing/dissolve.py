"""Distribute a residual by trust: the base of both cross-dissolves."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from stages.mixing.forward_model import ForwardModel, Pair

Trust = tuple[Tensor | float, Tensor | float]
"""Trust in the outgoing and in the incoming layer, above 0; tensors broadcast against layers."""

EXACT = 1e5
"""Weight of the frame, relative to trusts of about 1: the layers then mix to it almost exactly."""


@dataclass(frozen=True)
class Dissolve(ForwardModel):
    """A mixture of an outgoing layer A and an incoming layer B, with weights 1 - w and w.

    weight: w in [0, 1]. trust: how little each layer is to be moved, both alike unless given.
    data: weight of the frame, relative to the trusts.
    """

    weight: Tensor
    trust: Trust = (1.0, 1.0)
    data: float = EXACT

    @abstractmethod
    def slopes(self, first: Tensor, second: Tensor, mixed: Tensor) -> Pair:
        """Return the derivatives ``(dI/dA, dI/dB)`` at two layers that mix to ``mixed``."""

    def distribute_residual(self, frame: Tensor, first: Tensor, second: Tensor) -> Pair:
        """Return the layers that mix to ``frame`` and are nearest to the given ones, by trust.

        Per value, they are the minimum over a and b of

            ``data (α a + β b - c)² + u_A (a - A)² + u_B (b - B)²``

        with the slopes α and β, the trusts u, and c such that a = A, b = B leaves the residual r.
        With ``g = data r / (1 + data (α² / u_A + β² / u_B))`` the solution is
        ``a = A + α g / u_A`` and ``b = B + β g / u_B``. It is exact for mixing in encoded values,
        and one Gauss-Newton step for mixing in light.
        """
        mixed = self.mix(first, second)
        alpha, beta = self.slopes(first, second, mixed)
        curvature = alpha**2 / self.trust[0] + beta**2 / self.trust[1]
        gain = self.data * (frame - mixed) / (1 + self.data * curvature)
        return first + alpha * gain / self.trust[0], second + beta * gain / self.trust[1]
