"""Read the mark that the user gives as a picture (``--mark``)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pipeline.settings import Settings
from stages.errors import UsageError
from stages.media.read import open_clip
from stages.media.sniff import printable
from stages.watermark.mark_file import MarkFile


def read_mark(settings: Settings) -> Tensor | None:
    """Return the mark's picture: ``(3, h, w)`` in [0, 1], or ``(4, h, w)`` with its alpha.

    ``None`` where the user gave none. Raises UsageError where it is a clip, or where all of it is
    transparent or has one colour.
    """
    if settings.mark is None:
        return None
    name = f"--mark {printable(Path(settings.known_as(settings.mark)))}"
    picture = open_clip([settings.mark], max_pixels=settings.max_pixels, interlaced="keep")
    if not picture.info.is_picture:
        raise UsageError(f"{name}: is a clip; give a picture of the mark, best a PNG with alpha")
    color = picture.frames(0, 0).pixels[0]
    alpha = picture.alpha()
    pixels = color if alpha is None else torch.cat([color, alpha])
    try:
        MarkFile.of_picture(pixels)
    except ValueError as error:
        raise UsageError(
            f"{name}: is even or transparent everywhere; give a picture that shows the mark"
        ) from error
    return pixels
