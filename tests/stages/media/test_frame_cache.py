"""Frames that are decoded once and kept on disk are the frames that the reader gives."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import torch

from stages.media.frame_cache import FrameCache
from stages.media.read import Clip, open_clip
from stages.media.stored_frame import StoredFrame
from stages.optim.threads import read_ahead

HEIGHT, WIDTH, COUNT = 32, 48, 12
FIRST, LAST = 3, 9
FRAME_BYTES = 3 * HEIGHT * WIDTH
DEEP = {"c:v": "ffv1", "pix_fmt": "yuv420p10le"}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int | None]]:
    """Return a list that gets the first and last frame of every pass over a clip."""
    seen: list[tuple[int, int | None]] = []
    stored_frames = Clip.stored_frames

    def spy(self: Clip, first: int = 0, last: int | None = None) -> Generator[StoredFrame]:
        seen.append((first, last))
        yield from stored_frames(self, first, last)

    monkeypatch.setattr(Clip, "stored_frames", spy)
    return seen


def film(folder: Path, **options: Any) -> Clip:
    """Return a clip of frames that all differ."""
    return open_clip([media.save(folder / "in.mkv", media.moving(COUNT, HEIGHT, WIDTH), **options)])


def check_same(cache: FrameCache, clip: Clip, first: int = FIRST, last: int = LAST) -> None:
    """Check that the cache gives what the clip has, one frame at a time."""
    want = clip.frames(first, last)
    got = list(cache.blocks(first, last))
    assert torch.equal(torch.cat([block.pixels for block in got]), want.pixels)
    assert tuple(time for block in got for time in block.times) == want.times
    assert [(block.first, len(block)) for block in got] == [
        (index, 1) for index in range(first, last + 1)
    ]


@pytest.mark.parametrize("options", [{}, DEEP], ids=["8 bits", "10 bits"])
def test_each_frame_is_decoded_once(
    tmp_path: Path, reads: list[tuple[int, int | None]], options: dict[str, Any]
) -> None:
    clip, other = film(tmp_path, **options), film(tmp_path, **options)
    folder = tmp_path / "work"
    folder.mkdir()
    with closing(FrameCache(clip, FIRST, LAST, folder, 2**20)) as cache:
        assert reads == [], "a clip is read when a frame is asked for"
        for first, last in ((FIRST, LAST), (5, 5), (6, LAST), (FIRST, 4)):
            check_same(cache, other, first, last)
        assert reads.count((FIRST, LAST)) == 2 and list(folder.iterdir()) == []
    assert len(reads) == 5, "the cache read once, the other clip four times"


@pytest.mark.parametrize("kept", [0, 1, 5])
def test_frames_without_room_are_decoded_again(tmp_path: Path, kept: int) -> None:
    clip = film(tmp_path)
    with closing(FrameCache(clip, FIRST, LAST, tmp_path, kept * FRAME_BYTES + 1)) as cache:
        for first, last in ((FIRST, LAST), (LAST, LAST), (FIRST, FIRST), (5, 8)):
            check_same(cache, clip, first, last)


def test_a_full_disk_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, written = film(tmp_path), [0]
    cache = FrameCache(clip, FIRST, LAST, tmp_path, 2**30)

    class FullDisk:
        """A file on a disk that takes two and a half frames."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: Any) -> int:
            room = 2 * FRAME_BYTES + FRAME_BYTES // 2 - written[0]
            if room <= 0:
                raise OSError(28, "No space left on device")
            written[0] += self.file.write(data[:room])
            return min(room, len(data))

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    make = tempfile.TemporaryFile
    files: list[FullDisk] = []

    def full(**options: Any) -> Any:
        files.append(FullDisk(make(**options)))
        return files[-1]

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with closing(cache):
        check_same(cache, clip)
        check_same(cache, clip, 4, 6)
        assert files[0].file.seek(0, 2) == 2 * FRAME_BYTES, "half a frame is given back"
    assert files[0].file.closed


def test_frames_that_are_missing_stay_missing(tmp_path: Path) -> None:
    with closing(FrameCache(film(tmp_path), FIRST, COUNT + 4, tmp_path, 2**20)) as cache:
        found = [block.first for block in cache.blocks(FIRST, COUNT + 4)]
    assert np.array_equal(found, range(FIRST, COUNT))


def test_a_closed_cache_decodes_anew(tmp_path: Path) -> None:
    clip = film(tmp_path)
    cache = FrameCache(clip, FIRST, LAST, tmp_path, 2**20)
    for first, last in ((FIRST, LAST), (4, 6)):
        with closing(cache):
            check_same(cache, clip, first, last)


def test_two_threads_read_their_own_frames(tmp_path: Path) -> None:
    """Frames are read ahead in one thread while another one reads others."""
    clip = film(tmp_path)
    with closing(FrameCache(clip, FIRST, LAST, tmp_path, 10**9)) as cache:
        expected = [block.pixels for block in cache.blocks(FIRST, LAST)]
        file = cache._file
        assert file is not None

        class SlowFile:
            """A file in which another thread has time to move between a seek and a read."""

            def seek(self, place: int) -> None:
                assert file is not None
                file.seek(place)
                time.sleep(0.001)

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

        cache._file = SlowFile()  # type: ignore[assignment]
        torch.set_num_threads(2)
        try:
            for _ in range(3):
                both = zip(
                    expected,
                    read_ahead(cache.blocks(FIRST, LAST)),
                    cache.blocks(FIRST, LAST),
                    strict=True,
                )
                for pixels, one, other in both:
                    assert torch.equal(one.pixels, pixels) and torch.equal(other.pixels, pixels)
        finally:
            torch.set_num_threads(1)
