"""Reading: files to upright RGB frames with exact times.

Files are untrusted: only local files of known containers are opened, picture sizes are bounded before anything is decoded, and
whatever is wrong with a file ends in one :class:`UnlayerError` line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import torch
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stages.errors import UnlayerError, UsageError
from stages.media import bombs, colour, picture_folders, sniff
from stages.media.clip import ClipInfo, FrameIndex, Frames, SoundSpan
from stages.media.decode import (
    MAX_PIXELS,
    MEDIA_ERRORS,
    choose_stream,
    first_frame,
    next_time,
    open_media,
    video_frames,
)
from stages.media.deinterlace import deinterlaced
from stages.media.describe import PICTURE_RATE, describe
from stages.media.sniff import printable, sha256

__all__ = ["MAX_PIXELS", "Clip", "SoundSpan", "choose_stream", "open_clip", "open_media", "sha256"]

# A block of full-size 4K frames must not take gigabytes.
_BLOCK_VALUES = 1 << 26
# Closer to the start than this, decoding from the start is as fast as seeking.
_SEEK_FROM = 32


class _LostError(Exception):
    """A seek did not land on a frame that is known; decode from the start instead."""


class Clip:
    """One video, or pictures of one size taken as frames. Made by :func:`open_clip`.

    info: facts from the header and the first frame. paths: the files that are read.
    salvaged: how many frames a damaged file gave; ``None`` for a sound file, and until its end. seen: what is known of the frames.
    transparent: whether a frame that was read so far was not opaque.
    """

    def __init__(
        self,
        info: ClipInfo,
        paths: tuple[Path, ...],
        *,
        salvage: bool,
        start: Fraction | None,
        end: Fraction | None,
        max_pixels: int,
        zero: Fraction,
        damaged: bool = False,
    ) -> None:
        self.info = info
        self.paths = paths
        self.salvaged: int | None = None
        self._salvage, self._max_pixels = salvage, max_pixels
        self._start = None if start is None else start + zero
        self._end = None if end is None else end + zero
        self.seen = FrameIndex()
        self._damaged = damaged
        self.transparent = False

    def blocks(
        self,
        first: int = 0,
        last: int | None = None,
        size: tuple[int, int] | None = None,
        length: int = 16,
    ) -> Iterator[Frames]:
        """Stream the frames ``first`` to ``last`` (inclusive, ``None``: to the end) that lie within the trim.

        size: ``(H, W)`` to scale the upright frames to, by area averages. length: the most frames a block holds; large frames come
        in shorter blocks (256 MiB). Each block is ``(T, 3, H, W)`` RGB in [0, 1], ``T >= 1``, indices as decoded before any trim.

        Raises :class:`UnlayerError` naming the frame where the file is damaged or changes its size, and :class:`UsageError` where
        the trim holds no frame at all.
        """
        height, width = size or (self.info.height, self.info.width)
        length = max(1, min(length, _BLOCK_VALUES // (3 * height * width)))
        pictures: list[colour.Picture] = []
        times: list[Fraction] = []
        begin = first
        empty = True
        with contextlib.closing(self._decode(first)) as frames:
            for index, time, frame in frames:
                if (last is not None and index > last) or (
                    self._end is not None and time >= self._end
                ):
                    break
                if self._start is not None and time < self._start:
                    continue
                if not pictures:
                    begin, empty = index, False
                pictures.append(colour.rgb_picture(frame, size, self.info.crop))
                times.append(time)
                if len(pictures) == length:
                    yield Frames(colour.stack(pictures), tuple(times), begin)
                    pictures, times = [], []
        if pictures:
            yield Frames(colour.stack(pictures), tuple(times), begin)
        if (
            empty
            and first == 0
            and last is None
            and (self._start is not None or self._end is not None)
        ):
            raise UsageError(
                f"{printable(self.info.path)}: no frame lies between --start and --end; choose a range inside the clip"
            )

    def frames(self, first: int, last: int, size: tuple[int, int] | None = None) -> Frames:
        """The frames ``first`` to ``last`` (inclusive) as one ``(T, 3, H, W)`` stack; see :meth:`blocks`.

        Raises :class:`UsageError` where the clip (or its trim) does not hold all of them.
        """
        parts = list(self.blocks(first, last, size))
        found = sum(len(part) for part in parts)
        if found != last - first + 1 or not found:
            raise UsageError(
                f"{printable(self.info.path)}: frames {first} to {last} were asked for, but the clip has {found} of them"
            )
        if len(parts) == 1:
            return parts[0]
        return Frames(
            torch.cat([part.pixels for part in parts]),
            tuple(time for part in parts for time in part.times),
            parts[0].first,
        )

    def sound(self, start: Fraction, end: Fraction) -> SoundSpan | None:
        """The clip's sound between two times of its frames; ``None`` where it has none."""
        return SoundSpan(self.info.path, start, end) if self.info.audio_streams else None

    def _decode(self, first: int) -> Generator[tuple[int, Fraction, VideoFrame]]:
        """Every frame from ``first`` on, progressive, with its index and time."""
        scan = self.info.scan
        # The frame before the first tells what moves in it.
        frames = self._decode_stored(max(0, first - 1) if scan.deinterlaced else first)
        if scan.deinterlaced:
            frames = deinterlaced(frames, scan)
        for index, time, frame in frames:
            if index < first:
                continue
            if self.info.has_alpha and not self.transparent:
                # VP8 and VP9 keep it in a stream of its own, which is not decoded here.
                self.transparent = not colour.has_alpha(frame) or colour.is_transparent(frame)
            yield index, time, frame

    def _decode_stored(self, first: int) -> Generator[tuple[int, Fraction, VideoFrame]]:
        """Every frame from ``first`` on as it is stored, with its index and time."""
        if len(self.paths) > 1 or self.info.is_picture:
            yield from self._pictures(first)
            return
        at = first
        known = len(self.seen.times)
        if first >= _SEEK_FROM and known > first and self.seen.rising and not self._salvage:
            try:
                for item in self._video(seek=first):
                    yield item
                    at = item[0] + 1
                return
            except (_LostError, UnlayerError):
                # Seeking goes wrong in ways that decoding from the start does not; a true fault shows again there.
                pass
        for item in self._video():
            if item[0] >= at:
                yield item

    def _video(self, seek: int | None = None) -> Generator[tuple[int, Fraction, VideoFrame]]:
        """Decode the video, from the start or, where ``seek`` is an index seen before, from there; check each against what was seen."""
        seen, path = self.seen, self.info.path
        step = 1 / self.info.rate
        with open_media(path, self._max_pixels) as container:
            stream = container.streams[self.info.stream]
            assert isinstance(stream, VideoStream)
            index = 0
            time: Fraction | None = None
            wanted = None if seek is None else seen.stamps[seek]
            if wanted is not None:
                try:
                    container.seek(wanted, stream=stream)
                except MEDIA_ERRORS as error:
                    raise _LostError from error
            for frame in video_frames(
                container, stream, path, self._salvage, self._max_pixels, self._note_damage
            ):
                if seek is not None and wanted is not None:
                    if frame.pts is None or frame.pts > wanted:
                        raise _LostError
                    if frame.pts < wanted:
                        continue
                    index, wanted = seek, None
                crc = colour.frame_checksum(frame)
                if index < len(seen.times):
                    if seek is not None and (
                        frame.pts != seen.stamps[index] or crc != seen.prints[index]
                    ):
                        raise _LostError
                    time = seen.times[index]
                else:
                    time = next_time(time, frame, step)
                if self._end is None or time < self._end:
                    self._check_size(frame, index)
                seen.add(index, time, frame.pts, crc)
                yield index, time, frame
                index += 1
            if wanted is not None:
                raise _LostError
        if index == 0:
            raise UnlayerError(
                f"{printable(path)}: no frame of its video can be decoded; it is damaged or of an unknown kind"
            )
        if self._damaged:
            self.salvaged = index

    def _note_damage(self) -> None:
        self._damaged = True

    def _pictures(self, first: int) -> Generator[tuple[int, Fraction, VideoFrame]]:
        for index, path in enumerate(self.paths[first:], first):
            with open_media(path, self._max_pixels) as container:
                stream = choose_stream(
                    container, path, self.info.stream if len(self.paths) == 1 else None
                )
                frame = first_frame(container, stream, path, self._salvage, self._max_pixels)
                self._check_size(frame, index, path)
                yield index, index / PICTURE_RATE, frame

    def _check_size(self, frame: VideoFrame, index: int, path: Path | None = None) -> None:
        height, width = colour.upright_size(frame, self.info.crop)
        if (height, width) == (self.info.height, self.info.width):
            return
        if path is not None:
            first = printable(self.paths[0])
            raise UnlayerError(
                f"{printable(path)}: is {width}x{height}, but {first} is {self.info.width}x{self.info.height}; give pictures of one size"
            )
        raise UnlayerError(
            f"{printable(self.info.path)}: changes its size at frame {index} from {self.info.width}x{self.info.height} "
            f"to {width}x{height}; convert it to one size, or end before it with --end"
        )


def open_clip(
    inputs: Sequence[Path],
    *,
    stream: int | None = None,
    salvage: bool = False,
    start: Fraction | None = None,
    end: Fraction | None = None,
    max_pixels: int = MAX_PIXELS,
    interlaced: str = "auto",
) -> Clip:
    """Open a video, a picture, a folder of numbered pictures, or several pictures of one size.

    stream: index in the file of the video stream (as ``probe`` and FFmpeg count all streams); the first that is no cover picture
    unless told. salvage: take what decodes of a damaged file. start, end: seconds from the file's beginning; frames with
    ``start <= time < end`` are read. max_pixels: larger pictures are refused before they are decoded. interlaced: ``auto``
    deinterlaces what is seen or flagged to be interlaced, ``deinterlace`` everything, ``keep`` nothing.

    Raises :class:`UnlayerError` for files that cannot be used and :class:`UsageError` for options that do not fit them.
    """
    if not inputs:
        raise UsageError("no input was given; name a video, a picture or a folder of pictures")
    if (start is not None and start < 0) or (end is not None and end <= (start or 0)):
        raise UsageError(
            f"--start {start or 0} and --end {end} hold no time; --end must be after --start, both in seconds from 0"
        )
    paths = tuple(Path(path) for path in inputs)
    folder = len(paths) == 1 and paths[0].is_dir()
    if folder:
        paths = picture_folders.numbered_pictures(paths[0])
    with open_media(paths[0], max_pixels) as container:
        video = choose_stream(container, paths[0], stream)
        zero = Fraction(container.start_time or 0, av.time_base)
        if (
            cut := sniff.cut_short(paths[0], container.format.name, video.index_entries)
        ) and not salvage:
            raise UnlayerError(
                f"{printable(paths[0])}: {cut}; get the whole file, or take what decodes with --salvage"
            )
        info, frame = describe(container, video, paths[0], salvage, max_pixels, interlaced)
        if end is None:
            bombs.check_animation(paths[0], container.format.name, frame.width, frame.height)
    if len(paths) > 1 or folder:
        if not info.is_picture:
            raise UsageError(
                f"{printable(paths[0])}: is a video; give one video, or several pictures of one size"
            )
        for path in paths[1:]:
            if sniff.check_file(path, max_pixels) not in sniff.PICTURES:
                raise UsageError(
                    f"{printable(path)}: is no picture; give one video, or several pictures of one size"
                )
        info = replace(info, frames=len(paths), is_picture=not folder)
    zero = Fraction(0) if info.is_picture or folder else zero
    return Clip(
        info,
        paths,
        salvage=salvage,
        start=start,
        end=end,
        max_pixels=max_pixels,
        zero=zero,
        damaged=cut is not None,
    )
