"""The small decoder that stands for one layer of a clip, and the layer itself: its codes and its decoder.

No encoder and no layer at full size: FINDINGS.md measured it 50 to 100 times faster a step than Double-DIP's network, and better.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.noise import CoupledNoise

CODE_CHANNELS = 32
CODE_SCALE = 16
WIDTHS = (128, 128, 128, 96)
NARROW_WIDTHS = (64, 64, 64, 48)
"""At a quarter of a clip's size as good within 0.1 dB, in half the time."""


def code_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the codes for a picture of ``size`` (H, W): 1/16, rounded up.

    At least 2: batch norm in training needs more than one value per channel, even for one frame.
    """
    return max(2, -(-size[0] // CODE_SCALE)), max(2, -(-size[1] // CODE_SCALE))


def convolution(
    inputs: int, outputs: int, kernel: int, generator: torch.Generator, *, bias: bool
) -> nn.Conv2d:
    """A "same" convolution with torch's usual initial values, drawn from ``generator`` and not from the global one."""
    # Made without values (on "meta"), as a module fills itself from the global generator.
    layer = nn.Conv2d(
        inputs, outputs, kernel, padding=kernel // 2, bias=bias, device="meta"
    ).to_empty(device="cpu")
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        bound = 1 / math.sqrt(inputs * kernel * kernel)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


class Generator(nn.Module):
    """Codes ``(B, 32, h, w)`` to pictures ``(B, channels_out, H, W)`` in (0, 1).

    Four blocks (3x3 convolution, batch norm, leaky ReLU) at 1/16, 1/8, 1/4 and 1/2 of the size, then a 3x3 convolution, a pixel shuffle
    by 2, a crop to ``size`` and a sigmoid. ``still`` starts the last convolution at zero: every pixel is 0.5 until the fit moves it.
    """

    def __init__(
        self,
        channels_out: int,
        size: tuple[int, int],
        *,
        seed: int = 0,
        channels_in: int = CODE_CHANNELS,
        widths: tuple[int, ...] = WIDTHS,
        still: bool = False,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.size = size
        pairs = list(zip((channels_in, *widths[:-1]), widths, strict=True))
        # Without bias: the batch norm behind it would take it out again.
        self.convolutions = nn.ModuleList(
            convolution(a, b, 3, generator, bias=False) for a, b in pairs
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b in pairs)
        self.last = convolution(widths[-1], 4 * channels_out, 3, generator, bias=True)
        if still:
            nn.init.zeros_(self.last.weight)
            assert self.last.bias is not None
            nn.init.zeros_(self.last.bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, codes: Tensor) -> Tensor:
        x = codes.contiguous(memory_format=torch.channels_last)
        for number, (convolve, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if number:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(norm(convolve(x)), 0.2, inplace=True)
        x = F.pixel_shuffle(self.last(x), 2)[..., : self.size[0], : self.size[1]]
        # In float32: half-precision steps near white and black are wider than those of an 8-bit picture.
        return torch.sigmoid(x.float())


class Layer(nn.Module):
    """One layer of a clip: ``frames`` codes and the generator that they share. ``layer(index)`` gives ``(B, channels, H, W)``, float32.

    dtype: what the convolutions are computed in (autocast; weights, codes and outputs stay float32).
    """

    def __init__(
        self,
        frames: int,
        channels: int,
        size: tuple[int, int],
        *,
        seed: int,
        dtype: torch.dtype = torch.float32,
        learnable: bool = True,
        still: bool = False,
        widths: tuple[int, ...] = WIDTHS,
    ) -> None:
        super().__init__()
        self.dtype = dtype
        self.frames = frames
        # Distinct streams: the first code must not be made of the numbers that made the first filter.
        self.noise = CoupledNoise(
            frames, CODE_CHANNELS, code_size(size), 2 * seed, learnable=learnable
        )
        self.generator = Generator(channels, size, seed=2 * seed + 1, still=still, widths=widths)

    def forward(self, index: Tensor) -> Tensor:
        codes = self.noise(index)
        with torch.autocast(codes.device.type, self.dtype, enabled=self.dtype != torch.float32):
            picture: Tensor = self.generator(codes)
        return picture

    @torch.no_grad()
    def render(self, batch: int = 8) -> Tensor:
        """All frames ``(T, channels, H, W)``, each by itself: batch norm with the statistics that it ran up while fitting."""
        was = self.training
        self.eval()
        device = next(self.parameters()).device
        pictures = [
            self(torch.arange(at, min(at + batch, self.frames), device=device))
            for at in range(0, self.frames, batch)
        ]
        self.train(was)
        return torch.cat(pictures)
