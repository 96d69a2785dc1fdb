"""Kept converters: the same pixels as a new converter for every frame."""

from __future__ import annotations

import random

import numpy as np
from av import VideoFrame

from stages.media.convert import EXACT, converted

STORED = ("yuv420p", "yuv422p", "yuvj444p", "nv12", "gray", "rgb24", "yuv420p10le")


def drawn(draw: random.Random) -> VideoFrame:
    """Return a frame of noise of any format and size."""
    height, width = draw.randint(1, 40), draw.randint(1, 60)
    noise = np.random.default_rng(draw.randint(0, 99)).integers(0, 256, (height, width, 3))
    made = VideoFrame.from_ndarray(noise.astype(np.uint8), "rgb24").reformat(
        format=draw.choice(STORED), threads=1
    )
    made.colorspace = draw.choice((1, 5, 2))
    return made


def test_the_pixels_are_those_of_a_new_converter() -> None:
    draw = random.Random(0)
    for number in range(80):
        frame = drawn(draw)
        wanted = draw.choice(("rgb24", "gray", "gbrpf32le"))
        size = draw.choice((None, (draw.randint(1, 40), draw.randint(1, 60))))
        height, width = size or (frame.height, frame.width)
        flags = draw.choice((EXACT, EXACT & ~0x4 | 0x20))
        expected = frame.reformat(width, height, wanted, interpolation=flags, threads=1)
        made = converted(frame, wanted, size, flags)
        assert np.array_equal(made.to_ndarray(), expected.to_ndarray()), (number, frame, wanted)
