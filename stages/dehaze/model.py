"""The haze model: how a clear picture, its transmission and the airlight make a frame, and what the model allows.

Pictures are ``(T, 3, H, W)`` RGB in [0, 1] as encoded, transmissions ``(T, 1, H, W)`` in (0, 1], an airlight is ``(T or 1, 3, H, W)`` or
``(1, 3, 1, 1)``; a field of it is kept on a few nodes. Koschmieder's law per pixel and channel: ``I = t J + (1 - t) A``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST = 0.05
"""Below this a transmission says that nothing of the scene is left: rounding to 8 bits alone would be amplified 20 times."""


def spread(airlight: Tensor, size: tuple[int, int]) -> Tensor:
    """A field ``(1, 3, h, w)`` at ``size``: ``(1, 3, H, W)``, smooth; one colour stays ``(1, 3, 1, 1)``."""
    if airlight.shape[-2:] == (1, 1):
        return airlight
    return F.interpolate(airlight.log(), size=size, mode="bicubic", align_corners=False).exp().clamp(0, 1)


def haze(clear: Tensor, transmission: Tensor, airlight: Tensor) -> Tensor:
    """The hazy picture ``t J + (1 - t) A``."""
    return airlight + transmission * (clear - airlight)


def recover(frames: Tensor, transmission: Tensor, airlight: Tensor) -> Tensor:
    """The clear picture ``J = A + (I - A) / t``, in [0, 1] where ``t`` is at least :func:`least_transmission`."""
    return (airlight + (frames - airlight) / transmission.clamp_min(1e-3)).clamp(0, 1)


def dark_bound(frames: Tensor, airlight: Tensor) -> Tensor:
    """The transmission below which a channel of the clear picture would be negative: ``max_c (1 - I_c / A_c)``.

    Equal to ``t`` where a channel is black, which is what the dark channel prior says of every patch (He et al., CVPR 2009, eq. 11).
    """
    return (1 - frames / airlight.clamp_min(1e-3)).amax(1, keepdim=True).clamp(0, 1)


def least_transmission(frames: Tensor, airlight: Tensor) -> Tensor:
    """The least transmission with which the clear picture stays in [0, 1]: :func:`dark_bound`, and ``max_c (I_c - A_c) / (1 - A_c)``."""
    bright = ((frames - airlight) / (1 - airlight).clamp_min(1e-3)).amax(1, keepdim=True)
    return torch.maximum(dark_bound(frames, airlight), bright).clamp(LEAST, 1)


def rounded(picture: Tensor) -> Tensor:
    """As a file of 8 bits a value holds it."""
    return (picture.clamp(0, 1) * 255).round() / 255


def guided(guide: Tensor, signal: Tensor, full: Tensor, radius: int, noise: float) -> Tensor:
    """``signal`` ``(T, 1, h, w)`` drawn to the edges of ``guide`` ``(T, 3, h, w)``, at the size of ``full`` ``(T, 3, H, W)``.

    The colour guided filter (He et al., ECCV 2010, eq. 19): in each window the signal is an affine function of the guide's colour; its
    coefficients are found at the small size and brought to the full one (He and Sun 2015). ``noise``: variance of edges to ignore.
    """
    mean, middle = _mean(guide, radius), _mean(signal, radius)
    pairs = _mean(guide[:, :, None] * guide[:, None], radius) - mean[:, :, None] * mean[:, None]
    share = _mean(guide * signal, radius) - mean * middle
    ridge = noise * torch.eye(3, dtype=guide.dtype, device=guide.device)
    slope = torch.linalg.solve(pairs.permute(0, 3, 4, 1, 2) + ridge, share.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    offset = middle - (slope * mean).sum(1, keepdim=True)
    lines = _mean(torch.cat([slope, offset], 1), radius)
    if lines.shape[-2:] != full.shape[-2:]:
        lines = F.interpolate(lines, size=full.shape[-2:], mode="bilinear", align_corners=False)
    return (lines[:, :3] * full).sum(1, keepdim=True) + lines[:, 3:]


def _mean(picture: Tensor, radius: int) -> Tensor:
    """Mean over the part of a square of ``2 radius + 1`` pixels that lies in the picture; any channels, ``(T, ..., H, W)``."""
    flat = picture.flatten(1, -3)
    return F.avg_pool2d(flat, 2 * radius + 1, 1, radius, count_include_pad=False).view(picture.shape)
