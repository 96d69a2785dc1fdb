"""Haze before a scene, by Koschmieder's law: ``I = t J + (1 - t) A``."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from stages.mixing.forward_model import ForwardModel, Pair

LEAST_TRANSMISSION = 1e-3
"""Least transmission that is divided by."""


@dataclass(frozen=True)
class Haze(ForwardModel):
    """``I = t J + (1 - t) A`` (Koschmieder 1924; He et al., CVPR 2009, eq. 1).

    The first layer is the airlight A, ``(T or 1, 3, H, W)`` or ``(1, 3, 1, 1)``; the second is the
    clear picture J.

    transmission: t in (0, 1], ``(T, 1, H, W)``.
    """

    transmission: Tensor

    def mix(self, first: Tensor, second: Tensor) -> Tensor:
        """Return ``A + t (J - A)``."""
        return first + self.transmission * (second - first)

    def distribute_residual(self, frame: Tensor, first: Tensor, second: Tensor) -> Pair:
        """Return the airlight as it is, and ``J = A + (I - A) / t``.

        The airlight is taken as known, so the clear picture gets the whole residual.
        """
        clear = first + (frame - first) / self.transmission.clamp_min(LEAST_TRANSMISSION)
        return first, clear
