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
from stages.media.containers import LAYER_CONTAINERS
from stages.media.containers.base import LayerContainer
from stages.media.formats import LayerFormat
from stages.media.read import open_clip
from stages.media.write import LayerWriter
from stages.mixing.psnr import psnr_of

FORMATS = {
    ("alpha: " if container.alpha else "") + container.title: container
    for container in LAYER_CONTAINERS.values()
}
"""Every container that layers are written in, by its name for people."""
FRAMES, HEIGHT, WIDTH = 3, 48, 64  # of the test clip, or what the container needs at least
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
        FormatCheck(name, _fault(folder / f"format-{number}", container))
        for number, (name, container) in enumerate(FORMATS.items())
    ]


def _fault(path: Path, container: LayerContainer) -> str:
    """Return why a container does not work, or nothing."""
    count = 1 if container.is_pictures else FRAMES
    height, width = max(HEIGHT, container.least_size[0]), max(WIDTH, container.least_size[1])
    # Smooth frames that differ: any coder keeps them well.
    y = torch.linspace(0, 1, height)[:, None].expand(height, width)
    x = torch.linspace(0, 1, width).expand(height, width)
    pixels = torch.stack(
        [torch.stack([x, y, torch.full_like(x, 0.3 + 0.2 * number)]) for number in range(count)]
    )
    if container.gray:
        pixels = pixels[:, :1].expand(-1, 3, -1, -1)
    times = tuple(Fraction(number, 25) for number in range(count))
    info = ClipInfo(path, width, height, count, Fraction(25), Fraction(1, 25))
    try:
        encoding = container.encoding(info, 8, container.alpha)
        # As data, so that linear light is not asked for.
        with LayerWriter(path, info, LayerFormat(data=True), encoding=encoding) as writer:
            writer.write(Frames(pixels, times))
        clip = open_clip([writer.path])
        if container.alpha and not clip.info.has_alpha:
            return "its alpha channel is lost"
        again = torch.cat([block.pixels for block in clip.blocks()])
    except (UnlayerError, OSError, ValueError) as error:
        return " ".join(str(error).split())
    if again.shape != pixels.shape:
        return f"{len(again)} of {count} frames come back"
    psnr = psnr_of(float(((again - pixels) ** 2).mean()))
    return "" if psnr >= LEAST_PSNR else f"what comes back is another picture ({psnr:.0f} dB)"
