"""The published network of Double-DIP: the hourglass with skip connections of Deep Image Prior (Ulyanov et al. 2018).

Written from the papers. Here for comparison (``--preset paper``): 8 to 128 channels over five levels, 5x5 filters, skip connections of
4 channels at the two deepest levels only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.generator import convolution

CHANNELS = (8, 16, 32, 64, 128)
SKIPS = (0, 0, 0, 4, 4)
FILTER = 5


def normalise(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Batch norm, but for one lone value per channel, which has no spread to divide by (tiny pictures, at the deepest levels)."""
    lone = norm.training and x.shape[0] * x.shape[2] * x.shape[3] == 1
    normal: Tensor = x if lone else norm(x)
    return normal


class ReflectingConvolution(nn.Module):
    """Convolution (stride 1 or 2, with bias) of a picture that is reflected at its edges, then batch norm and leaky ReLU of 0.2."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, generator: torch.Generator, *, stride: int = 1
    ) -> None:
        super().__init__()
        self.convolve = convolution(inputs, outputs, kernel, generator, bias=True)
        self.convolve.padding = (0, 0)
        self.convolve.stride = (stride, stride)
        self.norm = nn.BatchNorm2d(outputs)
        self.margin = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        if self.margin:
            # A picture not larger than the margin cannot be reflected; its edge is repeated.
            mode = "reflect" if min(x.shape[-2:]) > self.margin else "replicate"
            x = F.pad(x, [self.margin] * 4, mode=mode)
        return F.leaky_relu(normalise(self.norm, self.convolve(x)), 0.2)


class Level(nn.Module):
    """One level: halve, two convolutions down, the deeper level, double, join the skip connection, convolutions up (5x5, then 1x1)."""

    def __init__(self, inputs: int, depth: int, generator: torch.Generator) -> None:
        super().__init__()
        width, skip = CHANNELS[depth], SKIPS[depth]
        self.skip = ReflectingConvolution(inputs, skip, 1, generator) if skip else None
        self.down = nn.Sequential(
            ReflectingConvolution(inputs, width, FILTER, generator, stride=2),
            ReflectingConvolution(width, width, FILTER, generator),
        )
        self.deeper = Level(width, depth + 1, generator) if depth + 1 < len(CHANNELS) else None
        below = width if self.deeper is None else CHANNELS[depth + 1]
        self.norm = nn.BatchNorm2d(below + skip)
        self.up = nn.Sequential(
            ReflectingConvolution(below + skip, width, FILTER, generator),
            ReflectingConvolution(width, width, 1, generator),
        )

    def forward(self, x: Tensor) -> Tensor:
        below = self.down(x)
        if self.deeper is not None:
            below = self.deeper(below)
        # To the very size of this level: an odd size has no exact double.
        below = F.interpolate(below, size=x.shape[-2:], mode="bilinear", align_corners=False)
        joined = below if self.skip is None else torch.cat([self.skip(x), below], 1)
        picture: Tensor = self.up(normalise(self.norm, joined))
        return picture


class Skip(nn.Module):
    """Noise ``(B, channels_in, H, W)`` to pictures ``(B, channels_out, H, W)`` in (0, 1), of any size."""

    def __init__(self, channels_in: int = 2, channels_out: int = 3, *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.body = Level(channels_in, 0, generator)
        self.last = convolution(CHANNELS[0], channels_out, 1, generator, bias=True)

    def forward(self, noise: Tensor) -> Tensor:
        return torch.sigmoid(self.last(self.body(noise)))
