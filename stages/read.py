"""Reading: files to upright RGB frames with exact times. The only module that opens media files for reading.

Files are untrusted: only local files of known containers are opened, picture sizes are bounded before anything is decoded, and
whatever is wrong with a file ends in one :class:`UnlayerError` line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import torch
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stages import colour, picture_folders, sniff
from stages.clip import ClipInfo, Frames, Seen, SoundSpan
from stages.errors import UnlayerError, UsageError
from stages.sniff import printable, reason, sha256

__all__ = ["MAX_PIXELS", "Clip", "SoundSpan", "choose_stream", "open_clip", "open_media", "sha256"]

MAX_PIXELS = 8192 * 8192
PICTURE_RATE = Fraction(25)
# A block of full-size 4K frames must not take gigabytes.
_BLOCK_VALUES = 1 << 26
# Closer to the start than this, decoding from the start is as fast as seeking.
_SEEK_FROM = 32
_MEDIA_ERRORS = (av.FFmpegError, ValueError, OverflowError, UnicodeDecodeError, MemoryError)


def open_media(path: Path, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a local media file and nothing else: no URL, playlist or script, whatever its name or content claims.

    Raises :class:`UnlayerError` in one line for whatever is no readable media file.
    """
    kind = sniff.check_file(path, max_pixels)
    options = {"protocol_whitelist": "file", "format_whitelist": sniff.CONTAINERS, "max_pixels": str(max_pixels)}
    try:
        return av.open(f"file:{path.absolute()}", "r", format=kind, options=options, metadata_errors="ignore")
    except _MEDIA_ERRORS as error:
        raise UnlayerError(f"{printable(path)}: cannot be opened: {sniff.explain(path)}") from error
    except OSError as error:
        raise UnlayerError(f"{printable(path)}: cannot be opened ({error.strerror})") from error


class _LostError(Exception):
    """A seek did not land on a frame that is known; decode from the start instead."""


class Clip:
    """One video, or pictures of one size taken as frames. Made by :func:`open_clip`.

    info: facts from the header and the first frame. paths: the files that are read.
    salvaged: how many frames a damaged file gave; ``None`` for a sound file, and until its end. seen: what is known of the frames.
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
        self.seen = Seen()
        self._damaged = damaged

    def blocks(self, first: int = 0, last: int | None = None, size: tuple[int, int] | None = None, length: int = 16) -> Iterator[Frames]:
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
                if (last is not None and index > last) or (self._end is not None and time >= self._end):
                    break
                if self._start is not None and time < self._start:
                    continue
                if not pictures:
                    begin, empty = index, False
                pictures.append(colour.rgb_picture(frame, size))
                times.append(time)
                if len(pictures) == length:
                    yield Frames(colour.stack(pictures), tuple(times), begin)
                    pictures, times = [], []
        if pictures:
            yield Frames(colour.stack(pictures), tuple(times), begin)
        if empty and first == 0 and last is None and (self._start is not None or self._end is not None):
            raise UsageError(f"{printable(self.info.path)}: no frame lies between --start and --end; choose a range inside the clip")

    def frames(self, first: int, last: int, size: tuple[int, int] | None = None) -> Frames:
        """The frames ``first`` to ``last`` (inclusive) as one ``(T, 3, H, W)`` stack; see :meth:`blocks`.

        Raises :class:`UsageError` where the clip (or its trim) does not hold all of them.
        """
        parts = list(self.blocks(first, last, size))
        found = sum(len(part) for part in parts)
        if found != last - first + 1 or not found:
            raise UsageError(f"{printable(self.info.path)}: frames {first} to {last} were asked for, but the clip has {found} of them")
        if len(parts) == 1:
            return parts[0]
        return Frames(torch.cat([part.pixels for part in parts]), tuple(time for part in parts for time in part.times), parts[0].first)

    def sound(self, start: Fraction, end: Fraction) -> SoundSpan | None:
        """The clip's sound between two times of its frames; ``None`` where it has none."""
        return SoundSpan(self.info.path, start, end) if self.info.audio_streams else None

    def _decode(self, first: int) -> Generator[tuple[int, Fraction, VideoFrame]]:
        """Every frame from ``first`` on with its index and time."""
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
                except _MEDIA_ERRORS as error:
                    raise _LostError from error
            for frame in _video_frames(container, stream, path, self._salvage, self._max_pixels, self._note_damage):
                if seek is not None and wanted is not None:
                    if frame.pts is None or frame.pts > wanted:
                        raise _LostError
                    if frame.pts < wanted:
                        continue
                    index, wanted = seek, None
                crc = colour.print_of(frame)
                if index < len(seen.times):
                    if seek is not None and (frame.pts != seen.stamps[index] or crc != seen.prints[index]):
                        raise _LostError
                    time = seen.times[index]
                else:
                    time = _next_time(time, frame, step)
                if self._end is None or time < self._end:
                    self._check_size(frame, index)
                seen.add(index, time, frame.pts, crc)
                yield index, time, frame
                index += 1
            if wanted is not None:
                raise _LostError
        if index == 0:
            raise UnlayerError(f"{printable(path)}: no frame of its video can be decoded; it is damaged or of an unknown kind")
        if self._damaged:
            self.salvaged = index

    def _note_damage(self) -> None:
        self._damaged = True

    def _pictures(self, first: int) -> Generator[tuple[int, Fraction, VideoFrame]]:
        for index, path in enumerate(self.paths[first:], first):
            with open_media(path, self._max_pixels) as container:
                stream = choose_stream(container, path, self.info.stream if len(self.paths) == 1 else None)
                frame = first_frame(container, stream, path, self._salvage, self._max_pixels)
                self._check_size(frame, index, path)
                yield index, index / PICTURE_RATE, frame

    def _check_size(self, frame: VideoFrame, index: int, path: Path | None = None) -> None:
        height, width = colour.upright_size(frame)
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
) -> Clip:
    """Open a video, a picture, a folder of numbered pictures, or several pictures of one size.

    stream: index in the file of the video stream (as ``probe`` and FFmpeg count all streams); the first that is no cover picture
    unless told. salvage: take what decodes of a damaged file. start, end: seconds from the file's beginning; frames with
    ``start <= time < end`` are read. max_pixels: larger pictures are refused before they are decoded.

    Raises :class:`UnlayerError` for files that cannot be used and :class:`UsageError` for options that do not fit them.
    """
    if not inputs:
        raise UsageError("no input was given; name a video, a picture or a folder of pictures")
    if (start is not None and start < 0) or (end is not None and end <= (start or 0)):
        raise UsageError(f"--start {start or 0} and --end {end} hold no time; --end must be after --start, both in seconds from 0")
    paths = tuple(Path(path) for path in inputs)
    folder = len(paths) == 1 and paths[0].is_dir()
    if folder:
        paths = picture_folders.numbered_pictures(paths[0])
    with open_media(paths[0], max_pixels) as container:
        video = choose_stream(container, paths[0], stream)
        zero = Fraction(container.start_time or 0, av.time_base)
        if (cut := sniff.cut_short(paths[0], container.format.name, video.index_entries)) and not salvage:
            raise UnlayerError(f"{printable(paths[0])}: {cut}; get the whole file, or take what decodes with --salvage")
        frame = first_frame(container, video, paths[0], salvage, max_pixels)
        info = _describe(container, video, frame, paths[0])
    if len(paths) > 1 or folder:
        if not info.is_picture:
            raise UsageError(f"{printable(paths[0])}: is a video; give one video, or several pictures of one size")
        for path in paths[1:]:
            if sniff.check_file(path, max_pixels) not in sniff.PICTURES:
                raise UsageError(f"{printable(path)}: is no picture; give one video, or several pictures of one size")
        info = replace(info, frames=len(paths), is_picture=not folder)
    zero = Fraction(0) if info.is_picture or folder else zero
    return Clip(info, paths, salvage=salvage, start=start, end=end, max_pixels=max_pixels, zero=zero, damaged=cut is not None)


def choose_stream(container: InputContainer, path: Path, wanted: int | None) -> VideoStream:
    """The video stream with the index ``wanted``, or the first that is no cover picture. Raises where there is none."""
    videos = [video for video in container.streams.video if not video.disposition & Disposition.attached_pic]
    if wanted is not None:
        for video in container.streams.video:
            if video.index == wanted:
                return video
        have = ", ".join(str(video.index) for video in container.streams.video) or "none"
        raise UsageError(f"{printable(path)}: stream {wanted} is no video stream (its video streams: {have}); choose another --stream")
    if not videos:
        what = "only sound" if container.streams.audio else "nothing that can be seen"
        raise UnlayerError(f"{printable(path)}: has no video, {what}; give a video or a picture")
    return videos[0]


def first_frame(container: InputContainer, stream: VideoStream, path: Path, salvage: bool, max_pixels: int) -> VideoFrame:
    """The first frame that decodes. Raises :class:`UnlayerError` where there is none."""
    with contextlib.closing(_video_frames(container, stream, path, salvage, max_pixels, lambda: None)) as frames:
        for frame in frames:
            return frame
    raise UnlayerError(f"{printable(path)}: no frame of its video can be decoded; it is damaged or of an unknown kind")


def _video_frames(
    container: InputContainer, stream: VideoStream, path: Path, salvage: bool, max_pixels: int, on_damage: Callable[[], None]
) -> Generator[VideoFrame]:
    """Decode in the order of display from where the container stands until its end, drained.

    Damage raises :class:`UnlayerError` naming the frame. With ``salvage`` it makes the decoder go on at the next key frame instead:
    what lies between is predicted from frames that are lost.
    """
    if (context := getattr(stream, "codec_context", None)) is None:
        raise UnlayerError(f"{printable(path)}: no decoder here reads its video; convert it with FFmpeg")
    sniff.check_size(path, context.width, context.height, max_pixels)
    context.options = {"max_pixels": str(max_pixels)}
    # With frame threads an error comes late, after frames that were predicted from the lost one.
    context.thread_type = "SLICE" if salvage else "AUTO"
    turn = colour.ORIENTATIONS[sniff.orientation(path) - 1] if container.format.name == "jpeg_pipe" else None
    count = 0
    waiting = False
    for packet, problem in _packets(container, stream):
        if packet is not None and packet.size and waiting:
            if not packet.is_keyframe:
                continue
            waiting = False
        frames: list[VideoFrame] = []
        if problem is None:
            frames, problem = _decode_packet(context, packet)
        for frame in frames:
            count += 1
            frame.opaque = turn
            yield frame
        if problem is None:
            continue
        if container.format.name in sniff.PICTURES:
            raise UnlayerError(
                f"{printable(path)}: cannot be decoded ({problem}); it is damaged or of a kind that no decoder here reads: "
                "convert it to PNG or to a video"
            )
        if not salvage:
            raise UnlayerError(
                f"{printable(path)}: is damaged at frame {count} ({problem}); get a sound copy, or take what decodes with --salvage"
            )
        on_damage()
        context.flush_buffers()
        waiting = True


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[tuple[Packet[VideoStream] | None, str | None]]:
    """The stream's packets, the empty one that drains the decoder last; a fault of the container is the last item's second half."""
    packets = container.demux(stream)
    while True:
        try:
            if (packet := next(packets, None)) is None:
                return
        except _MEDIA_ERRORS as error:
            yield None, reason(error)
            return
        yield packet, "its data is incomplete" if packet.is_corrupt else None


def _decode_packet(context: VideoCodecContext, packet: Packet[VideoStream] | None) -> tuple[list[VideoFrame], str | None]:
    """Decode one packet (``None`` or an empty one: drain). The sound frames before any fault, and the fault."""
    try:
        frames = context.decode(packet)
    except EOFError:
        return [], None
    except _MEDIA_ERRORS as error:
        return [], reason(error)
    for position, frame in enumerate(frames):
        if frame.is_corrupt:
            return frames[:position], "the decoder had to guess parts of it"
    return frames, None


def _describe(container: InputContainer, stream: VideoStream, frame: VideoFrame, path: Path) -> ClipInfo:
    turn = colour.turn_of(frame)
    height, width = colour.upright_size(frame)
    aspect = found if (found := stream.sample_aspect_ratio) and found > 0 else Fraction(1)
    rate = stream.average_rate or stream.guessed_rate or PICTURE_RATE
    picture = container.format.name in sniff.PICTURES or (container.format.name == "gif" and stream.frames == 1)
    bits = max(component.bits for component in frame.format.components)
    return ClipInfo(
        path=path,
        width=width,
        height=height,
        frames=1 if picture else stream.frames or None,
        rate=PICTURE_RATE if picture else rate,
        time_base=1 / PICTURE_RATE if picture else stream.time_base or 1 / rate,
        pixel_aspect=1 / aspect if turn.swap else aspect,
        rotation=turn.degrees,
        bit_depth=min(16, bits + bits % 2) if bits > 8 else 8,
        codec=stream.codec_context.name,
        pixel_format=frame.format.name,
        color_space=colour.matrix_of(frame),
        full_range=colour.is_full(frame),
        stream=stream.index,
        audio_streams=len(container.streams.audio),
        subtitle_streams=len(container.streams.subtitles),
        is_picture=picture,
        has_alpha=any(part.is_alpha for part in frame.format.components) or stream.metadata.get("alpha_mode") == "1",
        seconds=Fraction(container.duration, av.time_base) if container.duration and not picture else None,
    )


def _next_time(before: Fraction | None, frame: VideoFrame, step: Fraction) -> Fraction:
    """A frame's time in seconds. Where it is missing, or does not come after the one before, the nearest that does."""
    if frame.pts is None or frame.time_base is None:
        return Fraction(0) if before is None else before + step
    time = frame.pts * frame.time_base
    if before is None or time > before:
        return time
    # A stamp that was given twice is moved by a tick; one that jumps back (a clock that starts again) by a whole frame.
    return before + (frame.time_base if before - time < step else step)
