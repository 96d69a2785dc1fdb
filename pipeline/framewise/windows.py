"""The two passes over a clip of a task that works in windows: a look at the whole, then window by window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from pipeline.runtime.progress import Step
from stages.media.clip import Frames
from stages.media.read import Clip


@dataclass
class Overview:
    """What the first pass learnt: the frames' times, the first one's index, and evenly spread frames."""

    first: int
    times: list[Fraction]
    kept: list[int]
    sample: Tensor


def look(clip: Clip, most: int, step: Step) -> Overview:
    """The first pass: counts, and keeps every ``stride``-th frame, with ``stride`` doubled whenever too many are kept."""
    times: list[Fraction] = []
    kept: list[tuple[int, Tensor]] = []
    first, stride = 0, 1
    for block in clip.blocks():
        first = block.first if not times else first
        for pixels in block.pixels:
            if len(times) % stride == 0:
                kept.append((first + len(times), pixels.clone()))
                if len(kept) > 2 * most - 1:
                    kept, stride = kept[::2], 2 * stride
            times.append(block.times[len(times) - (block.first - first)])
        step(len(times) / max(len(times), clip.info.frames or 1), f"frame {block.last + 1}")
    if len(kept) > most:
        kept = [kept[round(place * (len(kept) - 1) / (most - 1))] for place in range(most)]
    return Overview(
        first, times, [index for index, _ in kept], torch.stack([pixels for _, pixels in kept])
    )


def windows(clip: Clip, length: int, overlap: int) -> Iterator[Frames]:
    """The clip in windows of ``length`` frames that share ``overlap`` with the one before; the last may be shorter."""
    held: Frames | None = None
    fresh = 0
    for block in clip.blocks():
        held = block if held is None else joined(held, block)
        fresh += len(block)
        while len(held) >= length:
            yield cut(held, 0, length)
            held = cut(held, length - overlap, len(held))
            fresh = len(held) - overlap
    if held is not None and fresh > 0:
        yield held


def joined(one: Frames, other: Frames) -> Frames:
    """Two windows, one behind the other."""
    return Frames(torch.cat([one.pixels, other.pixels]), one.times + other.times, one.first)


def cut(frames: Frames, begin: int, end: int) -> Frames:
    """Frames ``begin`` to ``end`` - 1 of a window."""
    # A copy: what is cut off must not be held in memory by what is kept.
    return Frames(frames.pixels[begin:end].clone(), frames.times[begin:end], frames.first + begin)
