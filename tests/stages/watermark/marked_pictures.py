"""Make pictures under a mark whose clean pictures, mark and matte are known."""

from __future__ import annotations

import torch
from clips import moving, psnr
from torch import Tensor
from torch.nn import functional as F

from stages.context import FitSettings, Separation, SeparationContext
from stages.watermark.layers import separate
from stages.watermark.mark import MarkedPictures
from stages.watermark.survey import survey

SIZE = (72, 96)
WHITE, RED = (1.0, 1.0, 1.0), (0.9, 0.1, 0.1)


def make_context(
    hint: Tensor | None = None,
    *,
    preset: str = "fast",
    seed: int = 0,
    seconds: float | None = None,
    unordered: bool = True,
) -> SeparationContext:
    """Return the context of a separation: of a few separate pictures by default.

    seconds: time budget.
    """
    return SeparationContext(
        FitSettings(preset=preset, seed=seed, max_seconds=seconds), hint=hint, unordered=unordered
    )


def scene(seed: int = 3, frames: int = 1, size: tuple[int, int] = SIZE) -> Tensor:
    """Return a smooth coloured pattern behind a square, both moving, ``(frames, 3, H, W)``."""
    return torch.from_numpy(moving(seed, frames, size)).permute(0, 3, 1, 2).float() / 255


def scenes(count: int, size: tuple[int, int] = SIZE) -> Tensor:
    """Return ``count`` pictures of different scenes, ``(count, 3, H, W)``."""
    return torch.cat([scene(10 + number, 1, size) for number in range(count)])


def letters(size: tuple[int, int] = SIZE) -> Tensor:
    """Return the coverage of an H beside a ring, with soft edges, ``(1, 1, H, W)`` in [0, 1]."""
    height, width = 4 * size[0], 4 * size[1]
    y, x = torch.arange(height)[:, None] / 4, torch.arange(width)[None] / 4
    bars = (
        ((x - 22.3).abs() < 4)
        | ((x - 42.6).abs() < 4)
        | (((y - 36.2).abs() < 4) & (x > 20) & (x < 44))
    )
    h = bars & (y > 20.4) & (y < 52.7)
    ring = (((x - 68.2) ** 2 + (y - 36.1) ** 2).sqrt() - 12).abs() < 4
    return F.avg_pool2d((h | ring).float()[None, None], 4)


def marked(
    clean: Tensor, shape: Tensor, opacity: float, color: tuple[float, float, float] | Tensor
) -> Tensor:
    """Return the pictures ``clean`` under a mark, rounded to 8 bits.

    shape: the mark's coverage, ``(1, 1, H, W)`` in [0, 1]. color: one, or ``(1, 3, H, W)``.
    """
    hue = torch.tensor(color).view(1, 3, 1, 1) if isinstance(color, tuple) else color
    return rounded((1 - opacity * shape) * clean + opacity * shape * hue)


def rounded(pixels: Tensor) -> Tensor:
    """Return ``pixels`` in [0, 1] rounded to 8 bits."""
    return (pixels * 255).round() / 255


def box_around(shape: Tensor) -> Tensor:
    """Return the hint that a user would give: a box around ``shape``, ``(1, 1, H, W)``."""
    rows, columns = shape[0, 0].amax(1).nonzero(), shape[0, 0].amax(0).nonzero()
    box = torch.zeros_like(shape)
    box[
        ...,
        int(rows.min()) - 4 : int(rows.max()) + 5,
        int(columns.min()) - 4 : int(columns.max()) + 5,
    ] = 1
    return box


def remove_mark(frames: Tensor, context: SeparationContext | None = None) -> Separation:
    """Return what survey and separation make of ``frames`` (T, 3, H, W)."""
    context = context or make_context()
    return separate(frames, survey(frames, context), context)


def psnr_inside(guess: Tensor, truth: Tensor, shape: Tensor) -> float:
    """Return the PSNR in dB of ``guess``, rounded to 8 bits, where ``shape`` is marked."""
    where = (shape > 0.02).expand_as(truth)
    return psnr(rounded(guess)[where][None], truth[where][None])


def remixed(separated: Separation) -> Tensor:
    """Return the frames that the layers, rounded to 8 bits, mix to."""
    layers = {name: rounded(pixels) for name, pixels in separated.layers.items()}
    return (1 - layers["matte"]) * layers["clean"] + layers["matte"] * layers["watermark"]


def searched(pictures: Tensor, allowed: Tensor | None = None) -> MarkedPictures:
    """Return ``pictures`` (K, 3, H, W) as a search reads them, where every pixel counts.

    allowed: ``(H, W)``, 0 where no mark may be; by default it may be anywhere.
    """
    everywhere = torch.ones(pictures.shape[-2:])
    return MarkedPictures(pictures, everywhere if allowed is None else allowed, everywhere)


def grass(size: tuple[int, int] = SIZE) -> Tensor:
    """Return a green of one hue and of uneven brightness, ``(1, 3, H, W)``."""
    rough = F.avg_pool2d(
        torch.randn(1, 1, size[0] + 2, size[1] + 2, generator=torch.Generator().manual_seed(4)),
        3,
        1,
    )
    return (0.45 + 0.35 * rough).clamp(0.1, 0.9) * torch.tensor([0.7, 1.0, 0.3]).view(1, 3, 1, 1)
