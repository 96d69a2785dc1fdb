"""Draw a mark's soft outline, and the soft edges between its pieces.

Maps ``(1, H, W)``, boolean, of the marked pixels; colours ``(3, H, W)`` in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.mark import Mark
from stages.watermark.outline_law import inner_pixels

KERNEL_REACH = 3  # pixels to each side that a Gaussian covers
CONTINUED = 2  # pixels around a mark to which its colour is continued
USUAL_SOFTNESS = 0.5  # standard deviation of a usual outline, in pixels


def soft_outline(chosen: Tensor, softness: float) -> Tensor:
    """Return the coverage of ``chosen`` (1, H, W), boolean, with an outline of this softness.

    softness: standard deviation of the Gaussian that blurs it, in pixels; 0 leaves it hard.
    """
    if softness == 0:
        return chosen.float()
    return _blurred(chosen.float(), softness)


def inner_coverage(chosen: Tensor) -> float:
    """Return the mean coverage of a mark's inner pixels: 1, or less if its strokes are thin.

    These pixels are those from which its opacity is measured.

    chosen: the marked pixels, ``(H, W)``, boolean.
    """
    if not torch.equal(inner_pixels(chosen), chosen):
        return 1.0
    return float(soft_outline(chosen[None], USUAL_SOFTNESS)[0][chosen].mean())


def soft_colors(mark: Mark, softness: float) -> Tensor:
    """Return the colour ``(3, H, W)`` of ``mark``, continued around it, with soft edges inside.

    Pixels between two pieces of different colours hold a mixture of both.

    softness: as in :func:`soft_outline`.
    """
    chosen = mark.matte > 0
    color = continued(mark.color, chosen)
    if softness == 0:
        return color
    covered = _blurred(chosen.float(), softness).clamp_min(1e-6)
    mixed = _blurred(mark.color * chosen, softness) / covered
    return torch.where(chosen, mixed.clamp(0, 1), color)


def _blurred(planes: Tensor, deviation: float) -> Tensor:
    """Return ``planes`` (C, H, W) blurred by a Gaussian of this standard deviation in pixels."""
    place = torch.arange(-KERNEL_REACH, KERNEL_REACH + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (place / deviation).square())
    kernel = kernel / kernel.sum()
    soft = F.pad(planes[:, None], (KERNEL_REACH,) * 4, mode="replicate")
    soft = F.conv2d(soft, kernel.view(1, 1, 1, -1))
    return F.conv2d(soft, kernel.view(1, 1, -1, 1))[:, 0]


def continued(color: Tensor, chosen: Tensor) -> Tensor:
    """Return ``color`` (3, H, W) with that of ``chosen`` (1, H, W) extended to the pixels around.

    It reaches :data:`CONTINUED` pixels far.
    """
    known = chosen.float()
    side = 2 * CONTINUED + 1
    total = F.avg_pool2d((color * known)[None], side, 1, CONTINUED)[0]
    count = F.avg_pool2d(known[None], side, 1, CONTINUED)[0]
    mean = total / count.clamp_min(1e-6)
    is_near = F.max_pool2d(known[None], side, 1, CONTINUED)[0] > 0
    return torch.where(chosen, color, torch.where(is_near, mean, color)).clamp(0, 1)
