"""The weighted sum that most forward models are: ``(1 - w) A + w B``."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

ValuesT = TypeVar("ValuesT", Tensor, NDArray[np.float32])
"""Tensors of layers ``(..., C, H, W)``, or the arrays ``(..., H, W, C)`` of the search."""


def blend(first: ValuesT, second: ValuesT, weight: ValuesT | float) -> ValuesT:
    """Return ``(1 - w) first + w second``, where the weight w in [0, 1] broadcasts to both.

    It computes both products. :func:`torch.lerp` computes ``first + w (second - first)``, which
    differs in its last bit.
    """
    return weight * second + (1 - weight) * first
