"""Keep the layers of each window of a frame-wise run, so that a resumed run need not redo them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from stages.context import ExpectedQuality, Note, Separation, SeparationContext
from stages.media.clip import Frames
from stages.occlusion import Occlusion
from stages.storage.checkpoint import Checkpoints

WINDOWS_OF_RESERVE = 4
"""Windows whose checkpoints must fit on the disk for one to be kept."""

KEPT_KINDS = (Separation, Note, Occlusion, ExpectedQuality)
"""The dataclasses in the checkpoint of a window."""

_LEVELS = 65535
"""The largest value of 16 bits, in which checkpoints keep layers. Values of 8 bits fit exactly."""


def load_or_separate(
    checkpoints: Checkpoints,
    separate: Callable[[], Separation],
    window: Frames,
    context: SeparationContext,
    disk_reserve: int,
) -> Separation:
    """Return a window's layers from its checkpoint, or compute and keep them.

    separate: computes the layers of ``window``, whose losses ``context`` collects.
    disk_reserve: bytes of disk that must stay free. Nothing is kept where the checkpoints of this
        window and of a few more would not leave that much.

    Layers are rounded to 16 bits in both cases, so that a resumed run gives the same bytes.
    """

    def compute() -> Separation:
        separated = separate()
        rounded = {
            name: (pixels.clamp(0, 1) * _LEVELS).round().to(torch.int32).to(torch.uint16)
            for name, pixels in separated.layers.items()
        }
        return Separation(
            layers=rounded,
            shared=separated.shared,
            report=dict(separated.report),
            seconds=dict(separated.seconds),
            trace=context.trace.curves(),
            notes=separated.notes,
            occlusions=separated.occlusions,
            expected=dict(separated.expected),
            shown=separated.shown,
        )

    # Two bytes a value, and as many values as three layers of the window's size have.
    window_bytes = 2 * 3 * window.pixels.numel()
    free = shutil.disk_usage(_nearest_existing_folder(checkpoints.folder)).free
    if free < disk_reserve + WINDOWS_OF_RESERVE * window_bytes:
        kept = compute()
    else:
        kept = checkpoints.get_or_compute("layers", compute, *KEPT_KINDS)
    layers: dict[str, Tensor] = {
        name: pixels.to(torch.int32).float() / _LEVELS for name, pixels in kept.layers.items()
    }
    return replace(kept, layers=layers)


def _nearest_existing_folder(path: Path) -> Path:
    """Return ``path``, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
