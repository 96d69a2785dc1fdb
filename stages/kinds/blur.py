"""Blurs: a dissolve whose scenes are blurred or coarsened, most in its middle.

FFmpeg has two. ``hblur`` averages each row over a growing and shrinking length, ``pixelize`` shows
one value for each block of pixels. Fine detail is gone from these frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from stages.kinds.base import Filter, TransitionKind
from stages.mixing.blend import blend

LEVELS = 50  # FFmpeg rounds the size of the blocks up to this part of the whole way
LEAST_EXPECTED = 1e-4
"""Least energy that a filter has to take from a dissolve of clean frames, in squared RGB, to tell
anything. A filter takes nothing from a picture that is even along its direction."""
BLOCKS = 10.0  # blocks along the shorter side, in the middle of ``pixelize``


def blurred_rows(picture: Tensor, progress: float) -> Tensor:
    """Return ``(C, H, W)`` as ``hblur`` shows it at a progress in [0, 1].

    Each pixel is the mean of itself and of those to its right, up to half of the width.
    """
    width = picture.shape[-1]
    length = 1 + round(width / 2 * 2 * min(progress, 1 - progress))
    sums = torch.cat([torch.zeros_like(picture[..., :1]), picture.cumsum(-1)], -1)
    begin = torch.arange(width, device=picture.device)
    end = (begin + length).clamp(max=width)
    return (sums[..., end] - sums[..., begin]) / (end - begin)


def in_blocks(picture: Tensor, progress: float) -> Tensor:
    """Return ``(C, H, W)`` as ``pixelize`` shows it: each block has the value of its middle."""
    height, width = picture.shape[-2:]
    part = -(-min(progress, 1 - progress) * LEVELS // 1) / LEVELS
    side = 2 * part * min(height, width) / (2 * BLOCKS)
    if side <= 0:
        return picture
    middles = []
    for count in (height, width):
        blocks = torch.arange(count, device=picture.device) // side
        middles.append(((blocks + 0.5) * side).long().clamp(0, count - 1))
    return picture[..., middles[0], :][..., middles[1]]


FILTERS: dict[str, Filter] = {"hblur": blurred_rows, "pixelize": in_blocks}
"""What each of FFmpeg's two does to both scenes, by its name."""


def filtered_mix(apply: Filter, scenes: tuple[Tensor, Tensor], progress: float) -> Tensor:
    """Return the frame ``(C, H, W)`` in which two filtered scenes dissolve."""
    outgoing, incoming = (apply(scene, progress) for scene in scenes)
    return outgoing + progress * (incoming - outgoing)


def detail_left(
    apply: Filter, frames: Iterable[Tensor], scenes: tuple[Tensor, Tensor], mix: Sequence[float]
) -> float:
    """Return what a filter takes from mixed frames, relative to a plain dissolve of the scenes.

    It takes little where the frames were filtered before. The result is 1, as for frames that lack
    nothing, where it takes hardly anything from the dissolve either.

    frames: ``(C, H, W)`` each. scenes: clean frames ``(C, H, W)``. mix: the progress of each frame.
    """
    taken = expected = 0.0
    for frame, progress in zip(frames, mix, strict=True):
        plain = blend(*scenes, progress)
        taken += float((frame - apply(frame, progress)).square().mean())
        expected += float((plain - apply(plain, progress)).square().mean())
    return taken / expected if expected > LEAST_EXPECTED * len(mix) else 1.0


def least_detail(
    apply: Filter, frame: Tensor, scenes: tuple[Tensor, Tensor], guesses: Sequence[float]
) -> float:
    """Return the least :func:`detail_left` of one frame, whose progress is one of ``guesses``."""
    return min(detail_left(apply, [frame], scenes, [guess]) for guess in guesses)


KIND = TransitionKind("blur", undo="filter", filters=FILTERS)
