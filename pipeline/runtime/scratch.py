"""Write frames from memory to a file that a run can read, without loss."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import torch

from stages.media.clip import ClipInfo, Frames
from stages.media.formats import LayerFormat
from stages.media.write import LayerWriter


def save_frames(
    path: Path,
    pixels: torch.Tensor,
    bits: int,
    rate: Fraction,
    *,
    picture: bool = False,
    alpha: torch.Tensor | None = None,
) -> Path:
    """Write frames to a file and return its path: ``path`` with a suffix.

    pixels: ``(T, 3, H, W)`` in [0, 1]. bits: 8 or 16 bits a value. rate: frames per second.
    picture: write a PNG instead of FFV1 in Matroska. alpha: of a picture, ``(1, 1, H, W)``.
    Raises UnlayerError where it cannot be written.
    """
    height, width = pixels.shape[-2:]
    info = ClipInfo(path, width, height, len(pixels), rate, 1 / rate, bit_depth=bits)
    wanted = LayerFormat(
        lossless=True,
        alpha=None if alpha is None else "",
        bit_depth=bits,
        pictures=picture,
    )
    with LayerWriter(path, info, wanted) as writer:
        for number in range(len(pixels)):
            writer.write(Frames(pixels[number : number + 1], (number / rate,), number), alpha)
    return writer.path
