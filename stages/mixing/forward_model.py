"""The interface of a forward model: two layers and a frame that is their mixture.

Layers and frames are ``(T, 3, H, W)`` or ``(3, H, W)``, RGB in [0, 1]. A model's weight is a tensor
that broadcasts against them: ``(T, 1, 1, 1)`` for one number a frame, ``(T, 1, H, W)`` for a matte.
The weight is always that of the second layer, so weight 0 gives the first layer and weight 1 the
second.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

Pair = tuple[Tensor, Tensor]
"""Two layers of the same shape."""


class ForwardModel(ABC):
    """An equation that says how two layers make a frame.

    A subclass is a small frozen dataclass that holds what the layers do not: the weight, and how
    far each layer is trusted.
    """

    @abstractmethod
    def mix(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the frame that the layers make."""

    @abstractmethod
    def distribute_residual(self, frame: Tensor, first: Tensor, second: Tensor) -> Pair:
        """Return the layers changed so that they mix to ``frame``, not yet clamped."""

    def residual(self, frame: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return what the layers leave unexplained of ``frame``: ``I - mix(A, B)``."""
        return frame - self.mix(first, second)

    def clamp(self, first: Tensor, second: Tensor) -> Pair:
        """Return the layers brought into the range that they may have, [0, 1] unless overridden."""
        return first.clamp(0, 1), second.clamp(0, 1)

    def reconcile(self, frame: Tensor, first: Tensor, second: Tensor) -> Pair:
        """Return layers in range that mix to ``frame`` as nearly as one step brings them."""
        return self.clamp(*self.distribute_residual(frame, first, second))
