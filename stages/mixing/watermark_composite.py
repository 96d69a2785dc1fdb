"""A watermark over a picture: ``I = m W + (1 - m) C``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.mixing.blend import blend
from stages.mixing.forward_model import ForwardModel, Pair

MOST_OPAQUE = 0.97
"""Highest opacity that is inverted: above it 8 bits hold nothing of the picture beneath."""


@dataclass(frozen=True)
class WatermarkComposite(ForwardModel):
    """``I = m W + (1 - m) C``, the same mark W in all frames (Dekel et al., CVPR 2017, eq. 1).

    The first layer is the clean picture C, the second the mark W, ``(1, 3, H, W)``.

    matte: m in [0, 1], ``(1, 1, H, W)``. most_opaque: upper bound of m where ``1 - m`` divides.
    """

    matte: Tensor
    most_opaque: float = MOST_OPAQUE

    def mix(self, first: Tensor, second: Tensor) -> Tensor:
        """Return ``m W + (1 - m) C``."""
        return blend(first, second, self.matte)

    def distribute_residual(self, frame: Tensor, first: Tensor, second: Tensor) -> Pair:
        """Return ``C = (I - m W) / (1 - m)``, and the mark as it is.

        The mark is taken as known, so the clean picture gets the whole residual. Where nothing is
        marked it is the frame, bit for bit.
        """
        shown = (1 - self.matte).clamp_min(1 - self.most_opaque)
        clean = (frame - self.matte * second) / shown
        return torch.where(self.matte > 0, clean, frame), second
