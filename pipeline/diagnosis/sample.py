"""Read the frames that the diagnoses look at: some tens of them, at a small size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipeline.frame_ranges import consecutive_ranges
from pipeline.runtime.progress import Step
from stages.diagnosis import ClipSample
from stages.media.read import Clip

PIXELS = 424 * 240
"""Most pixels of a frame of the sample; about what the tasks search at."""
PICTURE_PIXELS = 1_500_000
"""Most pixels of a single picture, which is also looked at at this size."""
SPREAD_FRAMES = 24
"""Frames that are spread over the clip, as many as the tasks survey."""
STRETCH_FRAMES = 24
"""Frames of a stretch of consecutive ones, about a second."""
MAX_STRETCHES = 2
"""Stretches of consecutive frames, at most."""
ONE_PASS_FRAMES = 768
"""Frames up to which a clip is read in one pass. Reading single frames out of it would decode more,
because a frame is decoded from the key frame before it."""


def sample_size(height: int, width: int, pixels: int = PIXELS) -> tuple[int, int]:
    """Return the size ``(h, w)`` at which a clip of this size is looked at, in pixels.

    pixels: as many at most.
    """
    scale = min(1.0, (pixels / (height * width)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def read_sample(clip: Clip, search: Mapping[str, Any], step: Step, *, seek: bool) -> ClipSample:
    """Return the sample of a clip that was searched, or of pictures.

    search: what the search found, as ``probe --json`` prints it. seek: whether single frames can be
    read; if not, only the first :data:`ONE_PASS_FRAMES` frames are looked at.
    """
    full = clip.info.height, clip.info.width
    size = sample_size(*full)
    pictures = clip.info.is_picture
    first, last = _extent(search)
    if not seek:
        last = min(last, first + ONE_PASS_FRAMES - 1)
    numbers = _spread(first, last, SPREAD_FRAMES)
    runs = [] if pictures else _stretches(search["shots"], first, last)
    wanted = sorted({*numbers, *(number for run in runs for number in run)})
    frames: dict[int, torch.Tensor] = {}
    is_one_pass = last - first < ONE_PASS_FRAMES
    for span in [(first, wanted[-1])] if is_one_pass else consecutive_ranges(wanted):
        for block in clip.blocks(*span, size=size):
            for number, pixels in enumerate(block.pixels, block.first):
                if number in wanted:
                    frames[number] = pixels.clone()
            step(len(frames) / len(wanted), f"{len(frames)} of {len(wanted)} frames")
    picture = None
    if pictures and len(clip.paths) == 1 and numbers == [0]:
        for block in clip.blocks(0, 0, size=sample_size(*full, PICTURE_PIXELS)):
            picture = block.pixels[0].clone()
    # A damaged file may give fewer frames the second time.
    numbers = [number for number in numbers if number in frames]
    runs = [run for run in runs if all(number in frames for number in run)]
    return ClipSample(
        size=full,
        frames=torch.stack([frames[number] for number in numbers]),
        numbers=tuple(numbers),
        runs=tuple(torch.stack([frames[number] for number in run]) for run in runs),
        run_starts=tuple(run[0] for run in runs),
        unordered=pictures and len(clip.paths) > 1,
        search=search,
        picture=picture,
    )


def _extent(search: Mapping[str, Any]) -> tuple[int, int]:
    """Return the numbers of the first and the last frame that the search read."""
    parts = [*search["shots"], *search["transitions"], *search["colors"]]
    # A cut has no frame of its own.
    held = [part for part in parts if part["last_frame"] >= part["first_frame"]]
    if not held:
        return 0, max(0, search["frames"] - 1)
    return min(part["first_frame"] for part in held), max(part["last_frame"] for part in held)


def _spread(first: int, last: int, most: int) -> list[int]:
    """Return at most ``most`` evenly spread numbers from ``first`` to ``last``, both included."""
    count = min(most, last - first + 1)
    return sorted({first + round(at * (last - first) / max(1, count - 1)) for at in range(count)})


def _stretches(shots: Sequence[Mapping[str, int]], first: int, last: int) -> list[range]:
    """Return stretches of frames in the longest shots, or in both halves of the only one.

    Nothing outside of ``first`` to ``last`` is used.
    """
    spans = [range(max(first, s["first_frame"]), min(last, s["last_frame"]) + 1) for s in shots]
    spans = sorted((span for span in spans if len(span)), key=len, reverse=True)
    if len(spans) == 1 and len(spans[0]) >= 2 * STRETCH_FRAMES:
        middle = len(spans[0]) // 2
        spans = [spans[0][:middle], spans[0][middle:]]
    chosen = []
    for span in spans[:MAX_STRETCHES]:
        begin = span[0] + max(0, len(span) - STRETCH_FRAMES) // 2
        chosen.append(range(begin, begin + min(STRETCH_FRAMES, len(span))))
    return sorted(chosen, key=lambda run: run[0])
