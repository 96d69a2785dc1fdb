"""The small decoder that draws one layer of a clip, and the layer itself: codes plus decoder.

There is no encoder, and no layer works at full size. A step takes 1 / 50 to 1 / 100 of the time of
one of Double-DIP's network (Gandelsman et al., CVPR 2019), and the layers come out better.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.noise import CoupledNoise

CODE_CHANNELS = 32
"""Channels of a frame's code."""

CODE_SCALE = 16
"""Pixels of the picture per element of the code, along each side."""

WIDTHS = (128, 128, 128, 96)
"""Channels of the four blocks, from the coarsest to the finest."""

NARROW_WIDTHS = (64, 64, 64, 48)
"""Channels for pictures at a quarter of a clip's size: within 0.1 dB, in half the time."""

NEGATIVE_SLOPE = 0.2
"""Slope of the leaky ReLU below zero."""


def code_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the codes for a picture of ``size`` (H, W): 1/16, rounded up.

    Both are at least 2, because batch norm needs more than one value per channel in training,
    even for a single frame.
    """
    return max(2, -(-size[0] // CODE_SCALE)), max(2, -(-size[1] // CODE_SCALE))


def convolution(
    inputs: int, outputs: int, kernel: int, generator: torch.Generator, *, bias: bool
) -> nn.Conv2d:
    """Return a "same" convolution with PyTorch's usual initial values, drawn from ``generator``.

    inputs, outputs: channels. kernel: side of the filter in pixels, odd. bias: whether it has one.
    """
    # Created on "meta", without values, because a module fills itself from the global generator.
    layer = nn.Conv2d(
        inputs, outputs, kernel, padding=kernel // 2, bias=bias, device="meta"
    ).to_empty(device="cpu")
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        bound = 1 / math.sqrt(inputs * kernel * kernel)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


class Generator(nn.Module):
    """A decoder from codes ``(B, 32, h, w)`` to pictures ``(B, channels_out, H, W)`` in (0, 1).

    Four blocks (3x3 convolution, batch norm, leaky ReLU) work at 1/16, 1/8, 1/4 and 1/2 of the
    size. A 3x3 convolution, a pixel shuffle by 2, a crop to ``size`` and a sigmoid follow.

    channels_out: channels of the pictures. size: their height and width.
    seed: of the initial values. channels_in: channels of the codes.
    widths: channels of the blocks. start_gray: start the last convolution at zero, so that every
        pixel is 0.5 until the fit moves it.
    """

    def __init__(
        self,
        channels_out: int,
        size: tuple[int, int],
        *,
        seed: int = 0,
        channels_in: int = CODE_CHANNELS,
        widths: tuple[int, ...] = WIDTHS,
        start_gray: bool = False,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.size = size
        pairs = list(zip((channels_in, *widths[:-1]), widths, strict=True))
        # Without bias: the batch norm that follows would remove it.
        self.convolutions = nn.ModuleList(
            convolution(a, b, 3, generator, bias=False) for a, b in pairs
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b in pairs)
        self.last = convolution(widths[-1], 4 * channels_out, 3, generator, bias=True)
        if start_gray:
            nn.init.zeros_(self.last.weight)
            assert self.last.bias is not None
            nn.init.zeros_(self.last.bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, codes: Tensor) -> Tensor:
        """Return the pictures ``(B, channels, H, W)`` in (0, 1) of ``codes``, float32."""
        x = codes.contiguous(memory_format=torch.channels_last)
        for number, (convolve, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if number:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(norm(convolve(x)), NEGATIVE_SLOPE, inplace=True)
        x = F.pixel_shuffle(self.last(x), 2)[..., : self.size[0], : self.size[1]]
        # In float32: near white and black, half-precision steps are wider than 8-bit ones.
        return torch.sigmoid(x.float())


class GeneratedLayer(nn.Module):
    """One layer of a clip: a code for each frame, and the generator that all frames share.

    ``layer(index)`` returns the frames ``index`` as ``(B, channels, H, W)``, float32 in (0, 1).

    frames: how many. channels, size: of the pictures. seed: of codes and initial values.
    dtype: of the convolutions, by autocast; weights, codes and pictures stay float32.
    start_gray, widths: as in :class:`Generator`.
    """

    def __init__(
        self,
        frames: int,
        channels: int,
        size: tuple[int, int],
        *,
        seed: int,
        dtype: torch.dtype = torch.float32,
        start_gray: bool = False,
        widths: tuple[int, ...] = WIDTHS,
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.frames = frames
        # Two streams, so that the first code and the first filter do not share their numbers.
        self.noise = CoupledNoise(frames, CODE_CHANNELS, code_size(size), 2 * seed)
        self.generator = Generator(
            channels, size, seed=2 * seed + 1, start_gray=start_gray, widths=widths
        )

    def code_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that learn at the code rate (see :func:`stages.optim.fit.fit`)."""
        return list(self.noise.parameters())

    def forward(self, index: Tensor) -> Tensor:
        """Return the frames ``index`` ``(B,)`` as ``(B, channels, H, W)`` in (0, 1)."""
        codes = self.noise(index)
        if self.dtype == torch.float32:
            picture: Tensor = self.generator(codes)
            return picture
        with torch.autocast(codes.device.type, self.dtype):
            picture = self.generator(codes)
        return picture

    @torch.no_grad()
    def render(self, batch: int = 8) -> Tensor:
        """Return all frames ``(T, channels, H, W)``, with batch norm's running statistics.

        So a frame does not depend on the frames that are drawn with it.
        """
        was_training = self.training
        self.eval()
        device = next(self.parameters()).device
        pictures = [
            self(torch.arange(begin, min(begin + batch, self.frames), device=device))
            for begin in range(0, self.frames, batch)
        ]
        self.train(was_training)
        return torch.cat(pictures)
