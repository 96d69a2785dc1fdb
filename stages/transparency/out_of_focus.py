"""Split one picture into sharp edges and smooth light, for reflections that are out of focus.

Sharp, strong edges belong to what the camera focuses on, the transmission. What is left without
them is smooth and dim: a reflection out of focus (Li and Brown, CVPR 2014; half-quadratic
splitting, each step in closed form by Fourier transform). This fails in fine texture, whose own
gradients are weak, so such places count less. Light is ``(T, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.transparency.filters import channel_quantile, gaussian_blur

SMOOTHNESS = 20.0
"""Weight of the reflection's second derivatives."""
FIRST_WEIGHT = 20.0
"""Weight of the splitting in the first step. It is doubled from step to step. A gradient counts as
an edge where its square is above 1 / weight."""
LAST_WEIGHT = 1e5
"""Weight at which the steps end."""
LEVEL_STEPS = 20
"""Steps towards the level of a channel."""
TEXTURE = 0.04
"""Root mean square of fine detail, in encoded values, at which a place counts as half textured."""
DARKEST = 0.005
"""Quantile of the reflection that is shifted to black: a sum does not tell its level."""
DETAIL_BLUR = 1.5 / 256
"""Standard deviation of the blur that removes fine detail, in parts of the longer side."""
TEXTURE_PART = 32
"""Parts of the longer side of which one is the blur over which detail is averaged."""


def out_of_focus_light(light: Tensor) -> Tensor:
    """Return the smooth part of one picture ``(1, 3, H, W)``, less of it in fine texture."""
    smooth = light - _sharp_layer(light)
    level = channel_quantile(smooth, DARKEST)
    return (1 - _texture_share(light)) * (smooth - level).clamp_min(0)


def _sharp_layer(light: Tensor) -> Tensor:
    """Return the layer T of one picture I ``(1, 3, H, W)`` that has few, strong edges.

    Minimises ``SMOOTHNESS |lap(I - T)|² + #{x: grad T(x) != 0}`` with 0 <= T <= I; the edges lie at
    the same places in all channels.
    """
    height, width = light.shape[-2:]
    # Mirrored, so that the Fourier transform meets no jump at the outer edge.
    mirrored = torch.cat([light, light.flip(-1)], -1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], -2).double()
    rows, columns = mirrored.shape[-2:]
    across, down, laplacian = _derivatives(rows, columns)
    slopes = across.abs() ** 2 + down.abs() ** 2
    bends = SMOOTHNESS * laplacian.abs() ** 2
    given = torch.fft.rfft2(mirrored)
    layer = mirrored
    weight = FIRST_WEIGHT
    while weight < LAST_WEIGHT:
        spectrum = torch.fft.rfft2(layer)
        total = bends * given
        for derivative in (across, down):
            edges = torch.fft.irfft2(derivative * spectrum, s=(rows, columns))
            edges = edges * ((edges**2).sum(1, keepdim=True) > 1 / weight)
            total = total + weight * derivative.conj() * torch.fft.rfft2(edges)
        solved = total / (bends + weight * slopes).clamp_min(1e-12)
        solved[..., 0, 0] = given[..., 0, 0]
        layer = _levelled(torch.fft.irfft2(solved, s=(rows, columns)), mirrored)
        weight *= 2
    return layer[..., :height, :width].to(light)


def _derivatives(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the Fourier transforms of three derivatives, for pictures of this size.

    They are the differences to the right and down, and the Laplacian.
    """
    kernels = torch.zeros(3, rows, columns, dtype=torch.float64)
    kernels[0, 0, 0] -= 1
    kernels[0, 0, -1] += 1
    kernels[1, 0, 0] -= 1
    kernels[1, -1, 0] += 1
    kernels[2, 0, 0] -= 4
    for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        kernels[2, y, x] += 1
    across, down, laplacian = torch.fft.rfft2(kernels)
    return across, down, laplacian


def _levelled(layer: Tensor, light: Tensor) -> Tensor:
    """Return a layer within [0, I] of ``light``, with each channel's level chosen to fit.

    Edges do not tell a channel's level. The one taken keeps most values within [0, I].
    """
    for _ in range(LEVEL_STEPS):
        outside = layer - torch.minimum(layer.clamp_min(0), light)
        layer = layer - 2 * outside.mean((-2, -1), keepdim=True)
    return torch.minimum(layer.clamp_min(0), light)


def _texture_share(light: Tensor) -> Tensor:
    """Return how much fine detail each place has, ``(1, 1, H, W)`` from 0 to 1."""
    seen = light.clamp_min(0).sqrt().mean(1, keepdim=True)
    longest = max(light.shape[-2:])
    detail = (seen - gaussian_blur(seen, DETAIL_BLUR * longest)) ** 2
    return 1 - 1 / (1 + gaussian_blur(detail, longest / TEXTURE_PART) / TEXTURE**2)
