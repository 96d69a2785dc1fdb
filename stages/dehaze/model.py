"""The haze model: how clear picture, transmission and airlight make a frame, and what it allows.

Koschmieder's law per pixel and channel: ``I = t J + (1 - t) A``. Pictures are ``(T, 3, H, W)`` RGB
in [0, 1] as encoded, transmissions ``(T, 1, H, W)`` in (0, 1]. An airlight is ``(T or 1, 3, H, W)``
or ``(1, 3, 1, 1)``; one that varies is kept as a field on a few nodes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_TRANSMISSION = 0.05
"""Least transmission. Below it nothing of the scene is left: the rounding to 8 bits alone would be
amplified 20 times."""
LEAST_DIVISOR = 1e-3
"""Least airlight, and least distance of it from white, that is divided by."""


def fraction_between(value: float, none: float, full: float) -> float:
    """Return how far ``value`` has come from ``none``, which gives 0, to ``full``, which gives 1.

    Beyond them it stays 0 or 1. ``none`` may be above ``full``.
    """
    return min(1.0, max(0.0, (value - none) / (full - none)))


def over_picture(airlight: Tensor, size: tuple[int, int]) -> Tensor:
    """Return an airlight at every pixel: a field ``(1, 3, h, w)`` interpolated to ``(1, 3, H, W)``.

    One colour, ``(1, 3, 1, 1)``, is returned as it is. size: (H, W).
    """
    if airlight.shape[-2:] == (1, 1):
        return airlight
    log = F.interpolate(airlight.log(), size=size, mode="bicubic", align_corners=False)
    return log.exp().clamp(0, 1)


def dark_bound(frames: Tensor, airlight: Tensor) -> Tensor:
    """Return the transmission below which a channel of the clear picture would be negative.

    ``max_c (1 - I_c / A_c)``, ``(T, 1, H, W)``. It equals ``t`` where a channel is black, which the
    dark channel prior assumes of every patch (He et al., CVPR 2009, eq. 11).
    """
    return (1 - frames / airlight.clamp_min(LEAST_DIVISOR)).amax(1, keepdim=True).clamp(0, 1)


def least_transmission(frames: Tensor, airlight: Tensor) -> Tensor:
    """Return the least transmission that keeps the clear picture in [0, 1], ``(T, 1, H, W)``.

    The larger of :func:`dark_bound` and ``max_c (I_c - A_c) / (1 - A_c)``.
    """
    above = (frames - airlight) / (1 - airlight).clamp_min(LEAST_DIVISOR)
    bright = above.amax(1, keepdim=True)
    return torch.maximum(dark_bound(frames, airlight), bright).clamp(LEAST_TRANSMISSION, 1)


def rounded(picture: Tensor) -> Tensor:
    """Return a picture, of any shape, with its values as a file of 8 bits holds them."""
    return (picture.clamp(0, 1) * 255).round() / 255


def guided(guide: Tensor, signal: Tensor, full: Tensor, radius: int, noise: float) -> Tensor:
    """Filter ``signal`` to the edges of ``guide``, and return it at the size of ``full``.

    The colour guided filter (He et al., ECCV 2010, eq. 19): in each window the signal is an affine
    function of the guide's colour. Its coefficients are computed at the small size and enlarged (He
    and Sun, arXiv 2015).

    guide: ``(T, 3, h, w)``. signal: ``(T, 1, h, w)``. full: ``(T, 3, H, W)``. radius: of the
    window, in pixels of the guide. noise: variance of edges to ignore. Returns ``(T, 1, H, W)``.
    """
    mean, middle = local_mean(guide, radius), local_mean(signal, radius)
    products = local_mean(guide[:, :, None] * guide[:, None], radius)
    covariance = products - mean[:, :, None] * mean[:, None]
    share = local_mean(guide * signal, radius) - mean * middle
    ridge = noise * torch.eye(3, dtype=guide.dtype, device=guide.device)
    slope = torch.linalg.solve(covariance.permute(0, 3, 4, 1, 2) + ridge, share.permute(0, 2, 3, 1))
    slope = slope.permute(0, 3, 1, 2)
    offset = middle - (slope * mean).sum(1, keepdim=True)
    lines = local_mean(torch.cat([slope, offset], 1), radius)
    if lines.shape[-2:] != full.shape[-2:]:
        lines = F.interpolate(lines, size=full.shape[-2:], mode="bilinear", align_corners=False)
    return (lines[:, :3] * full).sum(1, keepdim=True) + lines[:, 3:]


def local_mean(picture: Tensor, radius: int) -> Tensor:
    """Return the mean over squares of ``2 radius + 1`` pixels, of ``(T, ..., H, W)``.

    Only the part of a square that lies in the picture counts. Columns first and rows then: for a
    radius of 12 that takes a tenth of the time of squares.
    """
    flat = picture.flatten(1, -3)
    side = 2 * radius + 1
    columns = F.avg_pool2d(flat, (side, 1), 1, (radius, 0), count_include_pad=False)
    mean = F.avg_pool2d(columns, (1, side), 1, (0, radius), count_include_pad=False)
    return mean.view(picture.shape)
