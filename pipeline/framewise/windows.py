"""Read a clip twice: first as an overview of the whole, then window by window."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, pairwise, repeat

import torch
from torch import Tensor

from pipeline.runtime.progress import Step
from stages.dark_bars import Border, BorderWatch
from stages.media.clip import Frames
from stages.media.read import Clip
from stages.optim.threads import read_ahead


@dataclass
class Overview:
    """What the first pass over a clip finds.

    first: number of the first frame that is read.
    times: presentation time of every frame in seconds.
    sample_frames: numbers of the frames in ``sample``, rising.
    sample: evenly spaced frames, ``(S, 3, H, W)`` in [0, 1].
    border: the dark bars around the picture of all frames.
    """

    first: int
    times: list[Fraction]
    sample_frames: list[int]
    sample: Tensor
    border: Border = field(default_factory=Border)


def read_overview(clip: Clip, sample_size: int, step: Step) -> Overview:
    """Count the clip's frames and keep up to ``sample_size`` of them, evenly spaced.

    The clip's length is not known in advance. So every ``stride``-th frame is kept, and the
    stride doubles whenever too many are kept.
    """
    times: list[Fraction] = []
    kept: list[tuple[int, Tensor]] = []
    first, stride = 0, 1
    watch = BorderWatch()
    for block in read_ahead(clip.blocks()):
        if not times:
            first = block.first
        for pixels, time in zip(block.pixels, block.times, strict=True):
            if len(times) % stride == 0:
                kept.append((first + len(times), pixels.clone()))
                if len(kept) >= 2 * sample_size:
                    kept = kept[::2]
                    stride *= 2
            watch.add(pixels)
            times.append(time)
        step(len(times) / max(len(times), clip.info.frames or 1), f"frame {block.last + 1}")
    if len(kept) > sample_size:
        last = len(kept) - 1
        kept = [kept[round(place * last / (sample_size - 1))] for place in range(sample_size)]
    sample = torch.stack([pixels for _, pixels in kept])
    return Overview(first, times, [index for index, _ in kept], sample, watch.border(sample))


def window_lengths(frame_count: int, length: int, overlap: int) -> list[int]:
    """Return the lengths of the windows that cover ``frame_count`` frames.

    There are as few as possible, and their lengths differ by one at most. A short last window would
    show little motion and little of what things hide.

    length: most frames of a window. overlap: how many frames a window shares with the one before.
    """
    new_frames = max(1, frame_count - overlap)
    count = math.ceil(new_frames / (length - overlap))
    ends = [number * new_frames // count for number in range(count + 1)]
    return [end - begin + overlap for begin, end in pairwise(ends)]


def windows(clip: Clip, length: int, overlap: int, frame_count: int) -> Iterator[Frames]:
    """Yield the clip in windows as long as each other, see :func:`window_lengths`.

    length: most frames of a window. overlap: how many frames a window shares with the one before.
    frame_count: how many frames the clip is said to have. More of them follow in further windows.
    """
    lengths = chain(window_lengths(frame_count, length, overlap), repeat(length))
    wanted = next(lengths)
    pending: Frames | None = None
    unseen = 0  # frames of ``pending`` that no window has had yet
    for block in read_ahead(clip.blocks()):
        pending = block if pending is None else concatenated(pending, block)
        unseen += len(block)
        while len(pending) >= wanted:
            yield frame_range(pending, 0, wanted)
            pending = frame_range(pending, wanted - overlap, len(pending))
            unseen = len(pending) - overlap
            wanted = next(lengths)
    if pending is not None and unseen > 0:
        yield pending


def concatenated(earlier: Frames, later: Frames) -> Frames:
    """Return two consecutive windows as one."""
    return Frames(
        torch.cat([earlier.pixels, later.pixels]), earlier.times + later.times, earlier.first
    )


def frame_range(frames: Frames, begin: int, end: int) -> Frames:
    """Return the frames at places ``begin`` to ``end - 1`` of a window, as a copy."""
    # A view would keep the whole window in memory.
    return Frames(frames.pixels[begin:end].clone(), frames.times[begin:end], frames.first + begin)
