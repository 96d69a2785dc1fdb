"""Keep the decoded frames of a part of a clip on disk, so that each is decoded only once."""

from __future__ import annotations

import contextlib
import math
import tempfile
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from stages.media import frame_pixels
from stages.media.clip import Frames
from stages.media.orientation import Picture
from stages.media.read import Clip
from stages.optim.threads import read_ahead


class FrameCache:
    """Frames ``first`` to ``last`` (inclusive) of a clip, decoded once and kept in a file.

    clip: it is read when a frame is first asked for. first, last: indices of the clip's frames.
    folder: where the file lies. It has no name there, so nothing is left of it after a crash.
    limit: bytes that the file may have at most. The frames that it has no room for, always the
        last ones, are decoded again each time.

    A frame is kept as it was decoded: 3 bytes a pixel, or 12 above 8 bits. So the frames that are
    read from the file have the same values as those of :meth:`stages.media.read.Clip.blocks`.
    """

    def __init__(self, clip: Clip, first: int, last: int, folder: Path, limit: int) -> None:
        self.clip = clip
        self.first = first
        self.last = last
        self._folder = folder
        self._limit = limit
        self._file: IO[bytes] | None = None
        # Frames may be read ahead in one thread while another one reads others.
        self._reading = threading.Lock()
        self._times: list[Fraction] = []
        self._shape: tuple[int, ...] = ()
        self._dtype: np.dtype[Any] = np.dtype(np.uint8)

    def close(self) -> None:
        """Remove the file. Frames that are asked for later are decoded anew."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._times.clear()

    def blocks(self, first: int, last: int) -> Iterator[Frames]:
        """Yield the frames ``first`` to ``last`` (inclusive) one by one, ``(1, 3, H, W)`` each.

        Both lie between the cache's own ``first`` and ``last``. The errors are those of
        :meth:`stages.media.read.Clip.blocks`.
        """
        if self._file is None:
            self._fill()
        end = self.first + len(self._times)
        for index in range(first, min(last + 1, end)):
            yield self._kept(index - self.first)
        if last >= end:
            yield from self.clip.blocks(max(first, end), last, length=1)

    def _fill(self) -> None:
        """Decode the frames and write as many of them as there is room for."""
        # Without a buffer: a full disk shows up in the write that finds it.
        self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        with contextlib.closing(read_ahead(self._pictures())) as pictures:
            for time, picture in pictures:
                self._shape, self._dtype = picture.shape, picture.dtype
                if not self._write(np.ascontiguousarray(picture)):
                    break
                self._times.append(time)

    def _pictures(self) -> Iterator[tuple[Fraction, Picture]]:
        """Decode the frames; yield the time and the picture of each."""
        with contextlib.closing(self.clip.stored_frames(self.first, self.last)) as frames:
            for stored in frames:
                yield stored.time, stored.picture

    def _write(self, picture: Picture) -> bool:
        """Write the next frame, and return whether there was room for it."""
        assert self._file is not None
        begin = len(self._times) * picture.nbytes
        if begin + picture.nbytes > self._limit:
            return False
        data = picture.data.cast("B")
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError:
            # The disk is needed for the layers: give back what half a frame took.
            self._file.truncate(begin)
            return False
        return True

    def _kept(self, place: int) -> Frames:
        """Return the frame number ``place`` of the file."""
        assert self._file is not None
        size = self._dtype.itemsize * math.prod(self._shape)
        with self._reading:
            self._file.seek(place * size)
            data = self._file.read(size)
        picture = np.frombuffer(data, self._dtype).reshape(self._shape)
        return Frames(frame_pixels.stack([picture]), (self._times[place],), self.first + place)
