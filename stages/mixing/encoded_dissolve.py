"""Cross-dissolve in encoded values: ``I = (1 - w) A + w B``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.mixing.dissolve import Dissolve
from stages.mixing.forward_model import Pair
from stages.mixing.into_range import into_range


@dataclass(frozen=True)
class EncodedDissolve(Dissolve):
    """``I = (1 - w) A + w B`` in values as encoded (gamma), as most editors mix."""

    def mix(self, first: Tensor, second: Tensor) -> Tensor:
        """Return ``(1 - w) A + w B``."""
        return torch.lerp(first, second, self.weight)

    def slopes(self, first: Tensor, second: Tensor, mixed: Tensor) -> Pair:
        """Return ``(1 - w, w)``."""
        return 1 - self.weight, self.weight

    def reconcile(self, frame: Tensor, first: Tensor, second: Tensor) -> Pair:
        """Return the layers in [0, 1] that mix to ``frame`` and are nearest to the given ones."""
        return into_range(frame, *self.distribute_residual(frame, first, second), self.weight)
