"""What is smooth in one picture that is the sum of two: a reflection out of focus.

Edges that are sharp and strong belong to what the eye sits on, the transmission, and what is left where they are taken
out is smooth and dim, a reflection out of focus (Li and Brown, CVPR 2014: half-quadratic splitting, each step in closed form by Fourier
transform). In places full of fine texture that is not so: there the weak gradients are the texture's own. Light is ``(T, 3, H, W)`` in
[0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.transparency.contrast import smooth

SMOOTH = 20.0  # weight of the reflection's second derivatives
FIRST, LAST = (
    20.0,
    1e5,
)  # the splitting's weight, doubled from step to step; a gradient counts as an edge where its square is over 1 / weight
LEVELLED = 20  # steps towards a channel's level
TEXTURE = 0.04  # root mean square of fine detail, in encoded values, at which a place counts as half textured
DARK = 0.005  # quantile of the reflection that is brought to black: a sum leaves its level open


def out_of_focus(light: Tensor) -> Tensor:
    """What is smooth in one picture ``(1, 3, H, W)``, less where it is full of fine texture."""
    found = light - sharp_layer(light)
    flat = found.flatten(2)
    level = flat.kthvalue(max(1, round(DARK * flat.shape[-1])), dim=-1).values[..., None, None]
    return (1 - textured(light)) * (found - level).clamp_min(0)


def sharp_layer(light: Tensor) -> Tensor:
    """The layer T of one picture I ``(1, 3, H, W)`` with few, strong edges, the rest being smooth: the least of
    ``SMOOTH |lap(I - T)|² + #{x: grad T(x) != 0}``, 0 <= T <= I, with edges at the same places in all channels."""
    height, width = light.shape[-2:]
    # Mirrored, so that the Fourier transform meets no edge at the border.
    mirrored = torch.cat([light, light.flip(-1)], -1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], -2).double()
    rows, columns = mirrored.shape[-2:]
    kernels = torch.zeros(3, rows, columns, dtype=torch.float64)
    kernels[0, 0, 0] -= 1
    kernels[0, 0, -1] += 1
    kernels[1, 0, 0] -= 1
    kernels[1, -1, 0] += 1
    kernels[2, 0, 0] -= 4
    for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        kernels[2, y, x] += 1
    across, down, bend = torch.fft.rfft2(kernels)
    slopes = across.abs() ** 2 + down.abs() ** 2
    bends = SMOOTH * bend.abs() ** 2
    given = torch.fft.rfft2(mirrored)
    layer, weight = mirrored, FIRST
    while weight < LAST:
        spectrum = torch.fft.rfft2(layer)
        total = bends * given
        for filtered in (across, down):
            edges = torch.fft.irfft2(filtered * spectrum, s=(rows, columns))
            edges = edges * ((edges**2).sum(1, keepdim=True) > 1 / weight)
            total = total + weight * filtered.conj() * torch.fft.rfft2(edges)
        solved = total / (bends + weight * slopes).clamp_min(1e-12)
        solved[..., 0, 0] = given[..., 0, 0]
        layer = torch.fft.irfft2(solved, s=(rows, columns))
        # The edges leave each channel's level open: that with which most of it lies within [0, I].
        for _ in range(LEVELLED):
            outside = layer - torch.minimum(layer.clamp_min(0), mirrored)
            layer = layer - 2 * outside.mean((-2, -1), keepdim=True)
        layer = torch.minimum(layer.clamp_min(0), mirrored)
        weight *= 2
    return layer[..., :height, :width].to(light)


def textured(light: Tensor) -> Tensor:
    """How far a place is full of fine detail, ``(1, 1, H, W)`` in [0, 1]."""
    seen = light.clamp_min(0).sqrt().mean(1, keepdim=True)
    longest = max(light.shape[-2:])
    detail = (seen - smooth(seen, 1.5 * longest / 256)) ** 2
    return 1 - 1 / (1 + smooth(detail, longest / 32) / TEXTURE**2)
