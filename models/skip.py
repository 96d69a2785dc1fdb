"""The published network of Double-DIP: Deep Image Prior's hourglass with skip connections.

Written from the papers (Ulyanov et al., CVPR 2018; Gandelsman et al., CVPR 2019) for comparison,
as the preset ``paper``. The network comes in a few shapes (:class:`SkipShape`): most layers are
drawn by 8 to 128 channels over five levels, with skip connections of 4 channels at the two deepest
levels only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.generator import NEGATIVE_SLOPE, convolution


@dataclass(frozen=True)
class SkipShape:
    """The shape of a network.

    channels: of each level, from the finest to the deepest. skips: channels of each level's skip
    connection; 0 means that there is none. side: of the convolutions' filters, in pixels.
    """

    channels: tuple[int, ...]
    skips: tuple[int, ...]
    side: int


FIVE_LEVELS = SkipShape((8, 16, 32, 64, 128), (0, 0, 0, 4, 4), 5)
"""The usual shape: 1,544,787 parameters from 2 channels to 3."""

FIVE_LEVELS_3X3 = SkipShape((8, 16, 32, 64, 128), (0, 0, 0, 4, 4), 3)
"""The same with small filters, for haze and for marks: 573,187 parameters from 8 channels to 3."""

FOUR_LEVELS_3X3 = SkipShape((8, 16, 32, 64), (0, 0, 0, 4), 3)
"""For the matte of a mark in one picture."""

THREE_LEVELS_3X3 = SkipShape((8, 16, 32), (0, 0, 0), 3)
"""For segmentation: no skip connections, 35,179 parameters from 2 channels to 3."""


def normalize(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Return the batch norm of ``x`` ``(B, C, H, W)``.

    A single value per channel, as at the deepest levels of tiny pictures, has no spread to divide
    by; then ``x`` is returned as it is.
    """
    single_value = norm.training and x.shape[0] * x.shape[2] * x.shape[3] == 1
    normal: Tensor = x if single_value else norm(x)
    return normal


class ReflectingConvolution(nn.Module):
    """A convolution with bias over a picture reflected at its edges, batch norm and leaky ReLU.

    inputs, outputs: channels. kernel: side of the filter, in pixels. stride: 1 or 2.
    """

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
        """Return the features of ``x`` ``(B, inputs, H, W)``."""
        if self.margin:
            # A picture that is no larger than the margin cannot be reflected: repeat its edge.
            mode = "reflect" if min(x.shape[-2:]) > self.margin else "replicate"
            x = F.pad(x, [self.margin] * 4, mode=mode)
        return F.leaky_relu(normalize(self.norm, self.convolve(x)), NEGATIVE_SLOPE)


class HourglassLevel(nn.Module):
    """One level of the hourglass.

    Halve the size, convolve twice, apply the deeper level, double the size, append the skip
    connection, and convolve with the shape's filters and then with 1x1 filters.

    inputs: channels. depth: 0 for the finest level. shape: of the whole network.
    """

    def __init__(
        self, inputs: int, depth: int, generator: torch.Generator, shape: SkipShape
    ) -> None:
        super().__init__()
        width = shape.channels[depth]
        skip = shape.skips[depth]
        self.skip = ReflectingConvolution(inputs, skip, 1, generator) if skip else None
        self.down = nn.Sequential(
            ReflectingConvolution(inputs, width, shape.side, generator, stride=2),
            ReflectingConvolution(width, width, shape.side, generator),
        )
        self.deeper: HourglassLevel | None = None
        below = width
        if depth + 1 < len(shape.channels):
            self.deeper = HourglassLevel(width, depth + 1, generator, shape)
            below = shape.channels[depth + 1]
        self.norm = nn.BatchNorm2d(below + skip)
        self.up = nn.Sequential(
            ReflectingConvolution(below + skip, width, shape.side, generator),
            ReflectingConvolution(width, width, 1, generator),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return this level's features at the size of ``x`` ``(B, inputs, H, W)``."""
        below = self.down(x)
        if self.deeper is not None:
            below = self.deeper(below)
        # To the exact size of this level, as an odd size is not the double of its half. The
        # published networks align the corners.
        below = F.interpolate(below, size=x.shape[-2:], mode="bilinear", align_corners=True)
        joined = below if self.skip is None else torch.cat([self.skip(x), below], 1)
        picture: Tensor = self.up(normalize(self.norm, joined))
        return picture


class Skip(nn.Module):
    """The whole network: noise ``(B, channels_in, H, W)``, of any size, to pictures in (0, 1).

    channels_in, channels_out: of the noise and of the pictures. seed: of the initial values.
    shape: levels, skip connections and filters.
    """

    def __init__(
        self,
        channels_in: int = 2,
        channels_out: int = 3,
        *,
        seed: int = 0,
        shape: SkipShape = FIVE_LEVELS,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.body = HourglassLevel(channels_in, 0, generator, shape)
        self.last = convolution(shape.channels[0], channels_out, 1, generator, bias=True)

    def forward(self, noise: Tensor) -> Tensor:
        """Return pictures ``(B, channels_out, H, W)``."""
        return torch.sigmoid(self.last(self.body(noise)))
