"""Make clips for the writer, and read back what it wrote."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.media.clip import ClipInfo, Frames
from stages.media.read import open_clip


def clip_of(
    pictures: np.ndarray, ticks: list[int] | None = None, **changes: object
) -> tuple[ClipInfo, Frames]:
    """Return the facts about a clip, and its frames.

    pictures: ``(T, H, W, 3)`` uint8. ticks: their times in 1/90000 s; 25 frames a second if absent.
    """
    times = tuple(Fraction(index, 25) for index in range(len(pictures)))
    if ticks is not None:
        times = tuple(Fraction(tick, 90000) for tick in ticks)
    settings: dict[str, Any] = {
        "path": Path("clip.mp4"),
        "width": pictures.shape[2],
        "height": pictures.shape[1],
        "frames": len(pictures),
        "rate": Fraction(25),
        "time_base": Fraction(1, 90000),
        **changes,
    }
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return ClipInfo(**settings), Frames(pixels, times)


def back(path: Path) -> Frames:
    """Return all frames of a file."""
    blocks = list(open_clip([path]).blocks(length=1000))
    return Frames(
        torch.cat([block.pixels for block in blocks]),
        tuple(time for block in blocks for time in block.times),
    )


def levels(frames: Frames) -> np.ndarray:
    """Return frames as ``(T, H, W, 3)`` uint8."""
    return np.asarray(np.rint(frames.pixels.permute(0, 2, 3, 1).numpy() * 255), np.uint8)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
