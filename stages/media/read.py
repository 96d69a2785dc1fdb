"""Read files to upright RGB frames with exact times.

Files are untrusted: only local files of known containers are opened, picture sizes are bounded
before anything is decoded, and any fault of a file ends in one :class:`UnlayerError` line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stages.errors import UnlayerError, UsageError
from stages.media import bombs, frame_pixels, picture_folders
from stages.media.clip import ClipInfo, FrameIndex, Frames, SourceSpan
from stages.media.decode import (
    MAX_PIXELS,
    OpenVideo,
    SeekError,
    choose_stream,
    first_frame,
    frames_from,
    next_time,
    no_frame_error,
    open_media,
    video_frames,
)
from stages.media.deinterlace import deinterlaced
from stages.media.describe import PICTURE_RATE, describe, with_picture_labels
from stages.media.input_checks import (
    check_complete,
    check_pictures,
    check_trim,
    frame_size_error,
    picture_size_error,
)
from stages.media.library_errors import READ_ERRORS
from stages.media.orientation import Picture, upright_size
from stages.media.sniff import printable
from stages.media.stored_frame import StoredFrame

_BLOCK_VALUES = 1 << 24
"""Most float32 values of a block (64 MiB). It is small because callers copy blocks as well."""
_SEEK_FROM = 32
"""First frame index worth a seek. For earlier frames, decoding from the start is as fast."""


@dataclass(frozen=True)
class ReadOptions:
    """How to read a clip.

    salvage: whether to go on after damage, with what decodes.
    start, end: the trim in seconds on the clip's own clock; frames with ``start <= time < end``
        are read. ``None`` for no limit.
    max_pixels: larger frames are refused.
    """

    salvage: bool = False
    start: Fraction | None = None
    end: Fraction | None = None
    max_pixels: int = MAX_PIXELS


class Clip:
    """One video, or pictures of one size taken as frames. Made by :func:`open_clip`.

    A frame passes these generators, each of which can be read from the middle of the clip:

    1. ``_video_frames`` or ``_picture_frames`` decodes it, and gives it its index and its time.
    2. ``_decoded_frames`` chooses between the two, and between a seek and the file's beginning.
    3. ``_progressive_frames`` deinterlaces it, where the clip is interlaced.
    4. :meth:`stored_frames` leaves out what lies outside of the trim.
    5. :meth:`pictures` converts it to RGB.
    6. :meth:`blocks` collects several to one tensor, and :meth:`frames` all of a range.

    info: facts from the header and the first frame. paths: the files that are read.
    salvaged: how many frames a damaged file gave; ``None`` for an undamaged file, and until the
        file was read to its end.
    frame_index: what earlier passes over the file learned about its frames.
    transparent: whether any frame that was read so far was not opaque.
    """

    def __init__(
        self, info: ClipInfo, paths: tuple[Path, ...], options: ReadOptions, damaged: bool = False
    ) -> None:
        self.info = info
        self.paths = paths
        self.salvaged: int | None = None
        self.frame_index = FrameIndex()
        self.transparent = False
        self._options = options
        self._damaged = damaged
        self._picture_rate = PICTURE_RATE

    def take_pictures_at(self, rate: Fraction) -> None:
        """Give numbered pictures ``rate`` frames per second, instead of 25."""
        self._picture_rate = rate
        self.info = replace(self.info, rate=rate, time_base=1 / rate)

    def picture_info(self, index: int) -> ClipInfo:
        """Return the facts with the profile, EXIF data and resolution of picture ``index``."""
        return with_picture_labels(self.info, self.paths[index])

    def blocks(
        self,
        first: int = 0,
        last: int | None = None,
        size: tuple[int, int] | None = None,
        length: int = 16,
    ) -> Iterator[Frames]:
        """Stream the frames ``first`` to ``last`` that lie within the trim.

        first, last: indices as decoded, before any trim, both inclusive; ``None``: to the end.
        size: ``(H, W)`` to scale the upright frames to, by area averages. Frames of 8 bits are
            rounded to 8 bits after scaling.
        length: the most frames in a block. Large frames come in shorter blocks (64 MiB).

        Yields blocks of at least one frame, ``(T, 3, H, W)`` RGB in [0, 1].

        Raises :class:`UnlayerError` naming the frame where the file is damaged or changes its
        size, and :class:`UsageError` where the trim holds no frame at all.
        """
        height, width = size or (self.info.height, self.info.width)
        length = max(1, min(length, _BLOCK_VALUES // (3 * height * width)))
        pictures: list[Picture] = []
        times: list[Fraction] = []
        begin = first
        with contextlib.closing(self.pictures(first, last, size)) as decoded:
            for index, time, picture in decoded:
                if not pictures:
                    begin = index
                pictures.append(picture)
                times.append(time)
                if len(pictures) == length:
                    yield Frames(frame_pixels.stack(pictures), tuple(times), begin)
                    pictures, times = [], []
        if pictures:
            yield Frames(frame_pixels.stack(pictures), tuple(times), begin)

    def pictures(
        self, first: int = 0, last: int | None = None, size: tuple[int, int] | None = None
    ) -> Generator[tuple[int, Fraction, Picture]]:
        """Decode the same frames as :meth:`blocks`, with the same errors, one after another.

        Yields a frame's index, its time in seconds, and its upright picture ``(H, W, 3)``: uint8,
        or float32 in [0, 1] above 8 bits.
        """
        for stored in self.stored_frames(first, last):
            yield stored.index, stored.time, stored.scaled_picture(size)

    def stored_frames(self, first: int = 0, last: int | None = None) -> Generator[StoredFrame]:
        """Decode the same frames as :meth:`blocks`, with the same errors, and convert none."""
        start, end = self._options.start, self._options.end
        empty = True
        with contextlib.closing(self._progressive_frames(first)) as frames:
            for stored in frames:
                is_after_end = end is not None and stored.time >= end
                if is_after_end or (last is not None and stored.index > last):
                    break
                if start is not None and stored.time < start:
                    continue
                empty = False
                yield stored
        trimmed = start is not None or end is not None
        if empty and trimmed and first == 0 and last is None:
            raise UsageError(
                f"{printable(self.info.path)}: no frame lies between the start and the end that "
                "were given; choose a range inside the clip",
                settings=("start", "end"),
            )

    def frames(self, first: int, last: int, size: tuple[int, int] | None = None) -> Frames:
        """Return the frames ``first`` to ``last`` (inclusive) as one stack; see :meth:`blocks`.

        Raises :class:`UsageError` where the clip (or its trim) does not hold all of them.
        """
        parts = list(self.blocks(first, last, size))
        count = sum(len(part) for part in parts)
        if count != last - first + 1 or not count:
            raise UsageError(
                f"{printable(self.info.path)}: frames {first} to {last} were asked for, "
                f"but the clip has {count} of them"
            )
        if len(parts) == 1:
            return parts[0]
        return Frames(
            torch.cat([part.pixels for part in parts]),
            tuple(time for part in parts for time in part.times),
            parts[0].first,
        )

    def source_span(self, start: Fraction, end: Fraction, tracks: bool = True) -> SourceSpan | None:
        """Return what goes with a layer of the frames between two times: tags and chapters.

        tracks: whether the audio and the subtitles go with it, too. ``None`` for pictures.
        """
        info = self.info
        if info.is_picture or len(self.paths) > 1:
            return None
        return SourceSpan(
            info.path,
            start,
            end,
            audio=tracks and info.audio_streams > 0,
            subtitles=tracks and info.subtitle_streams > 0,
            labels=True,
            stream=info.stream,
        )

    def alpha(self) -> torch.Tensor | None:
        """Return the first frame's alpha ``(1, H, W)`` in [0, 1]; ``None`` where there is none."""
        with contextlib.closing(self._progressive_frames(0)) as frames:
            first = next(frames)
            return frame_pixels.alpha_of(first.frame, first.crop)

    def _progressive_frames(self, first: int) -> Generator[StoredFrame]:
        """Yield every frame from ``first`` on, made progressive."""
        scan = self.info.scan
        # Deinterlacing looks at a frame's neighbours, so it needs the frame before ``first``.
        frames = self._decoded_frames(max(0, first - 1) if scan.deinterlaced else first)
        if scan.deinterlaced:
            frames = deinterlaced(frames, scan)
        for stored in frames:
            if stored.index < first:
                continue
            if self.info.has_alpha and not self.transparent:
                # VP8 and VP9 keep alpha in a stream of its own, which is not decoded here.
                is_stored = frame_pixels.has_alpha(stored.frame)
                self.transparent = not is_stored or frame_pixels.is_transparent(stored.frame)
            yield stored

    def _decoded_frames(self, first: int) -> Generator[StoredFrame]:
        """Yield every frame from ``first`` on, as the decoder returns it."""
        if len(self.paths) > 1 or self.info.is_picture:
            yield from self._picture_frames(first)
            return
        next_index = first
        if self._can_seek(first):
            try:
                for stored in self._video_frames(seek=first):
                    yield stored
                    next_index = stored.index + 1
                return
            except (SeekError, UnlayerError):
                # Seeking can fail where decoding from the start works. A real fault of the file
                # shows up again below.
                pass
        for stored in self._video_frames():
            if stored.index >= next_index:
                yield stored

    def _can_seek(self, first: int) -> bool:
        """Return whether a seek to frame ``first`` is worth it, and its result can be checked."""
        is_known = self.frame_index.rising and len(self.frame_index.times) > first
        return first >= _SEEK_FROM and is_known and not self._options.salvage

    def _video_frames(self, seek: int | None = None) -> Generator[StoredFrame]:
        """Decode the video and compare each frame with what earlier passes saw.

        seek: the index of a known frame to start from; ``None`` to start from the beginning.
        Raises :class:`SeekError` where the frames after a seek are not the known ones.
        """
        path = self.info.path
        with open_media(path, self._options.max_pixels) as container:
            stream = container.streams[self.info.stream]
            assert isinstance(stream, VideoStream)
            begin = 0
            video = self._open_video(path, container, stream)
            frames: Iterator[VideoFrame] = video_frames(video, self._note_damage)
            if seek is not None and (timestamp := self.frame_index.timestamps[seek]) is not None:
                try:
                    container.seek(timestamp, stream=stream)
                except READ_ERRORS as error:
                    raise SeekError from error
                frames = frames_from(frames, timestamp)
                begin = seek
            end = yield from self._with_index_and_time(frames, begin, sought=seek is not None)
        if end == 0:
            raise no_frame_error(path)
        if self._damaged:
            self.salvaged = end

    def _with_index_and_time(
        self, frames: Iterator[VideoFrame], begin: int, *, sought: bool
    ) -> Generator[StoredFrame, None, int]:
        """Yield frames with index and time, and enter them in the frame index.

        begin: the first one's index. sought: whether they were sought, so that the ones that are
        known must be found again.
        Returns the index after the last one. Raises :class:`SeekError` for other frames.
        """
        known = self.frame_index
        step = 1 / self.info.rate
        index = begin
        time: Fraction | None = None
        for frame in frames:
            checksum = frame_pixels.frame_checksum(frame)
            if index < len(known.times):
                if sought and not known.has(index, frame.pts, checksum):
                    raise SeekError
                time = known.times[index]
            else:
                time = next_time(time, frame, step)
            if self._options.end is None or time < self._options.end:
                self._check_size(frame, index)
            known.add(index, time, frame.pts, checksum)
            yield StoredFrame(index, time, frame, self.info.crop)
            index += 1
        return index

    def _open_video(self, path: Path, container: InputContainer, stream: VideoStream) -> OpenVideo:
        """Return a stream of an open file, to be decoded as this clip is."""
        return OpenVideo(path, container, stream, self._options.salvage, self._options.max_pixels)

    def _note_damage(self) -> None:
        """Take note that the file is damaged."""
        self._damaged = True

    def _picture_frames(self, first: int) -> Generator[StoredFrame]:
        """Decode the pictures from number ``first`` on, each with its index and time."""
        for index, path in enumerate(self.paths[first:], first):
            with open_media(path, self._options.max_pixels) as container:
                wanted = self.info.stream if len(self.paths) == 1 else None
                stream = choose_stream(container, path, wanted)
                frame = first_frame(self._open_video(path, container, stream))
                self._check_size(frame, index, path)
                yield StoredFrame(index, index / self._picture_rate, frame, self.info.crop)

    def _check_size(self, frame: VideoFrame, index: int, path: Path | None = None) -> None:
        """Raise UnlayerError for a frame of another size than the first one.

        index: the frame's number. path: its file, where it is a picture.
        """
        size = upright_size(frame, self.info.crop)
        if size == (self.info.height, self.info.width):
            return
        if path is not None:
            raise picture_size_error(path, size, self.paths[0], self.info)
        raise frame_size_error(index, size, self.info)


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

    stream: index of the video stream among all streams of the file, as ``probe`` and FFmpeg count
        them; by default the first that is not a cover picture.
    salvage: whether to take what decodes of a damaged file.
    start, end: seconds from the file's beginning; frames with ``start <= time < end`` are read.
    max_pixels: larger pictures are refused before they are decoded.
    interlaced: ``auto`` deinterlaces what looks or is flagged interlaced, ``deinterlace``
        everything, ``keep`` nothing.

    Raises :class:`UnlayerError` for files that cannot be used and :class:`UsageError` for options
    that do not fit them.
    """
    if not inputs:
        raise UsageError("no input was given; name a video, a picture or a folder of pictures")
    check_trim(start, end)
    paths = tuple(Path(path) for path in inputs)
    is_folder = len(paths) == 1 and paths[0].is_dir()
    if is_folder:
        paths = picture_folders.numbered_pictures(paths[0])
    with open_media(paths[0], max_pixels) as container:
        video = choose_stream(container, paths[0], stream)
        file_start = Fraction(container.start_time or 0, av.time_base)
        is_cut_short = check_complete(paths[0], container, video, salvage=salvage)
        opened = OpenVideo(paths[0], container, video, salvage, max_pixels)
        info, frame = describe(opened, interlaced)
        if end is None:
            bombs.check_animation(paths[0], container.format.name, frame.width, frame.height)
    if len(paths) > 1 or is_folder:
        check_pictures(paths, info, max_pixels)
        info = replace(info, frames=len(paths), is_picture=not is_folder)
    if info.is_picture or is_folder:
        file_start = Fraction(0)
    options = ReadOptions(
        salvage,
        None if start is None else start + file_start,
        None if end is None else end + file_start,
        max_pixels,
    )
    return Clip(info, paths, options, damaged=is_cut_short)
