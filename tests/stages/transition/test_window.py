"""A transition's window: its frames at the working size, and some of them in full."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
from torch.nn import functional

from stages.errors import UsageError
from stages.media.clip import Frames
from stages.transition.window import Window


def frames(count: int = 6, first: int = 10) -> Frames:
    """Return ``count`` random frames of 24 by 32 pixels."""
    pixels = torch.rand(count, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    return Frames(pixels, tuple(Fraction(index, 25) for index in range(count)), first)


def test_all_frames_are_averaged_to_the_working_size() -> None:
    given = frames()
    window = Window.of(given)
    assert torch.equal(window.shrunk(24 * 32), given.pixels)
    small = window.shrunk(12 * 16)
    assert torch.allclose(small, functional.avg_pool2d(given.pixels, 2), atol=1e-6)


def test_a_frame_that_is_asked_for_twice_is_read_once() -> None:
    given = frames()
    reads: list[tuple[int, int]] = []

    def blocks(first: int, last: int) -> Iterator[Frames]:
        reads.append((first, last))
        place = slice(first - given.first, last - given.first + 1)
        yield Frames(given.pixels[place], given.times[place], first)

    window = Window(blocks, 10, 15, (24, 32))
    assert torch.equal(window.frames([12, 12, 15]), given.pixels[[2, 2, 5]])
    assert reads == [(12, 12), (15, 15)]


def test_missing_frames_are_refused() -> None:
    given = frames()

    def blocks(first: int, last: int) -> Iterator[Frames]:
        yield Frames(given.pixels[:4], given.times[:4], first)

    with pytest.raises(UsageError, match="film.mkv: frames 10 to 15 were asked for, but it has 4"):
        Window(blocks, 10, 15, (24, 32), "film.mkv").shrunk(100)
