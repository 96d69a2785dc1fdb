"""Filters and quantiles of pictures. At the outer edge, pixels are repeated."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def gaussian_blur(picture: Tensor, spread: float) -> Tensor:
    """Blur ``(T, C, H, W)`` by a Gaussian.

    spread: its standard deviation, in pixels.
    """
    radius = max(1, round(3 * spread))
    x = torch.arange(-radius, radius + 1, dtype=picture.dtype)
    kernel = torch.exp(-0.5 * (x / spread) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(picture.shape[1], -1, -1, -1)
    padded = functional.pad(picture, (radius,) * 4, mode="replicate")
    once = functional.conv2d(padded, kernel, groups=picture.shape[1])
    return functional.conv2d(once, kernel.transpose(-1, -2), groups=picture.shape[1])


def lower_envelope(picture: Tensor, reach: int) -> Tensor:
    """Return each channel's least value within ``reach`` pixels, of ``(1, C, H, W)``."""
    padded = functional.pad(picture, (reach,) * 4, mode="replicate")
    return -functional.max_pool2d(-padded, 2 * reach + 1, 1)


def channel_quantile(picture: Tensor, part: float) -> Tensor:
    """Return the value below which ``part`` of a channel's pixels lie, ``(1, C, 1, 1)``.

    picture: ``(1, C, H, W)``.
    """
    pixels = picture.flatten(2)
    rank = max(1, round(part * pixels.shape[-1]))
    return pixels.kthvalue(rank, dim=-1).values[..., None, None]
