"""Check what this machine can do.

Number formats are timed. File formats are checked by writing and reading a tiny clip in each.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch

from models.precision import Precision, probe
from stages.errors import UnlayerError
from stages.media.clip import ClipInfo, Frames
from stages.media.formats import LayerFormat
from stages.media.read import open_clip
from stages.media.write import LayerWriter
from stages.mixing.psnr import psnr_of

FORMATS: dict[str, LayerFormat] = {
    "H.264 in MP4": LayerFormat(),
    "FFV1 in Matroska": LayerFormat(lossless=True),
    "PNG": LayerFormat(lossless=True, pictures=True),
    "alpha: ProRes 4444 in MOV": LayerFormat(alpha="prores"),
    "alpha: VP9 in WebM": LayerFormat(alpha="vp9"),
    "alpha: FFV1 in Matroska": LayerFormat(alpha="ffv1"),
    "alpha: PNG in MOV": LayerFormat(alpha="png"),
}
"""Every format that layers are written in, by its name for people."""
FRAMES, HEIGHT, WIDTH = 3, 48, 64  # of the test clip
LEAST_PSNR = 30.0  # dB; every format that works is above it by far


@dataclass(frozen=True)
class FormatCheck:
    """The result for one format. fault: why it does not work; empty where it works."""

    name: str
    fault: str = ""


def probe_precision(device: torch.device) -> Precision:
    """Time float32 and bfloat16 on a device and say which of them the networks would use."""
    return probe(device)


def check_formats(folder: Path) -> list[FormatCheck]:
    """Write a tiny clip in every format into the existing ``folder`` and read it back."""
    return [
        FormatCheck(name, _fault(folder / f"format-{number}", layer_format))
        for number, (name, layer_format) in enumerate(FORMATS.items())
    ]


def _fault(path: Path, layer_format: LayerFormat) -> str:
    """Return why a format does not work, or nothing."""
    count = 1 if layer_format.pictures else FRAMES
    # Smooth frames that differ: any coder keeps them well.
    y = torch.linspace(0, 1, HEIGHT)[:, None].expand(HEIGHT, WIDTH)
    x = torch.linspace(0, 1, WIDTH).expand(HEIGHT, WIDTH)
    pixels = torch.stack(
        [torch.stack([x, y, torch.full_like(x, 0.3 + 0.2 * number)]) for number in range(count)]
    )
    times = tuple(Fraction(number, 25) for number in range(count))
    info = ClipInfo(path, WIDTH, HEIGHT, count, Fraction(25), Fraction(1, 25))
    try:
        with LayerWriter(path, info, layer_format) as writer:
            writer.write(Frames(pixels, times))
        clip = open_clip([writer.path])
        if layer_format.alpha and not clip.info.has_alpha:
            return "its alpha channel is lost"
        again = torch.cat([block.pixels for block in clip.blocks()])
    except (UnlayerError, OSError, ValueError) as error:
        return " ".join(str(error).split())
    if again.shape != pixels.shape:
        return f"{len(again)} of {count} frames come back"
    psnr = psnr_of(float(((again - pixels) ** 2).mean()))
    return "" if psnr >= LEAST_PSNR else f"what comes back is another picture ({psnr:.0f} dB)"
