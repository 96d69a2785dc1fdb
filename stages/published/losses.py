"""The losses that only the published method has, one equation each.

The exclusion loss and the squared error are those of :mod:`stages.optim.losses`.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

BLUR_SIDE = 5
"""Side of the box that blurs, in pixels."""

LEAST_DISTANCE = 1e-3
"""Least mean distance of a matte from one half, which is divided by."""


def blur_loss(picture: Tensor) -> Tensor:
    """Return ``mean((x - blur(x))²)`` of the grey picture: how rough it is.

    The blur is a box of 5x5 pixels. Pixels at the outer edge, whose box leaves the picture, do not
    count. A picture that is smaller than the box gets a smaller one.

    picture: ``(B, C, H, W)``; grey is the mean of its channels.
    """
    gray = picture.mean(1, keepdim=True)
    shortest = min(BLUR_SIDE, *picture.shape[-2:])
    side = shortest - 1 + shortest % 2
    margin = side // 2
    middle = gray[..., margin : gray.shape[-2] - margin, margin : gray.shape[-1] - margin]
    return F.mse_loss(middle, F.avg_pool2d(gray, side, 1))


def hinted_error(layer: Tensor, target: Tensor, hint: Tensor) -> Tensor:
    """Return ``sum(h |x - I|) / sum(h)``: the mean error inside a hint, 0 for an empty one.

    layer, target: ``(B, C, H, W)``. hint: ``h``, ``(B, 1, H, W)`` in [0, 1].
    """
    error = (hint * (layer - target).abs()).sum() / layer.shape[1]
    return error / hint.sum().clamp_min(1.0)


def gray_loss(matte: Tensor) -> Tensor:
    """Return ``1 / mean|m - ½|``: 2 for a matte of zeros and ones, large for a grey one."""
    return 1 / (matte - 0.5).abs().mean().clamp_min(LEAST_DISTANCE)
