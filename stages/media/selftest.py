"""What this machine can do, tried out: number formats by their speed, file formats by writing and reading a tiny clip in each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from models.precision import Precision, probe
from stages.errors import UnlayerError
from stages.media.clip import ClipInfo, Frames
from stages.media.read import open_clip
from stages.media.write import LayerWriter

FORMATS: dict[str, dict[str, Any]] = {
    "H.264 in MP4": {"lossless": False},
    "FFV1 in Matroska": {"lossless": True},
    "PNG": {"lossless": True, "pictures": True},
    "alpha: ProRes 4444 in MOV": {"lossless": False, "alpha": "prores"},
    "alpha: VP9 in WebM": {"lossless": False, "alpha": "vp9"},
    "alpha: FFV1 in Matroska": {"lossless": False, "alpha": "ffv1"},
    "alpha: PNG in MOV": {"lossless": False, "alpha": "png"},
}
"""Every format that layers are written in."""
FRAMES, HEIGHT, WIDTH = 3, 48, 64
LEAST_PSNR = 30.0


@dataclass(frozen=True)
class Tried:
    """A format that was tried: its name, and why it does not work (empty where it does)."""

    name: str
    fault: str = ""


def precision(device: torch.device) -> Precision:
    """The speed of float32 and bfloat16 on a device, and which of them the networks would take."""
    return probe(device)


def try_formats(folder: Path) -> list[Tried]:
    """Writes a tiny clip in every format into ``folder``, which is there, and reads it back."""
    return [
        Tried(name, _fault(folder / f"format-{number}", options))
        for number, (name, options) in enumerate(FORMATS.items())
    ]


def _fault(path: Path, options: dict[str, Any]) -> str:
    count = 1 if options.get("pictures") else FRAMES
    # Smooth, and every frame another: what any coder keeps well.
    y, x = (
        torch.linspace(0, 1, HEIGHT)[:, None].expand(HEIGHT, WIDTH),
        torch.linspace(0, 1, WIDTH).expand(HEIGHT, WIDTH),
    )
    pixels = torch.stack(
        [torch.stack([x, y, torch.full_like(x, 0.3 + 0.2 * number)]) for number in range(count)]
    )
    times = tuple(Fraction(number, 25) for number in range(count))
    info = ClipInfo(path, WIDTH, HEIGHT, count, Fraction(25), Fraction(1, 25))
    try:
        with LayerWriter(path, info, **options) as writer:
            writer.write(Frames(pixels, times))
        clip = open_clip([writer.path])
        if options.get("alpha") and not clip.info.has_alpha:
            return "its alpha channel is lost"
        again = torch.cat([block.pixels for block in clip.blocks()])
    except (UnlayerError, OSError, ValueError) as error:
        return " ".join(str(error).split())
    if again.shape != pixels.shape:
        return f"{len(again)} of {count} frames come back"
    psnr = -10 * math.log10(max(float(((again - pixels) ** 2).mean()), 1e-10))
    return "" if psnr >= LEAST_PSNR else f"what comes back is another picture ({psnr:.0f} dB)"
