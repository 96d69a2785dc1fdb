"""Decode one video stream of a local file to frames, in display order.

Files are untrusted. Only local files of known containers are opened, the size of a picture is
bounded before anything is decoded, and any fault of a file ends in one :class:`UnlayerError` line.
:mod:`stages.media.read` builds on this.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.filter
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stages.errors import UnlayerError, UsageError
from stages.media import bombs, frame_pixels, sniff
from stages.media.sniff import printable, reason

MAX_PIXELS = 8192 * 8192
"""Default limit on the pixels of a frame."""
MEDIA_ERRORS = (av.FFmpegError, ValueError, OverflowError, UnicodeDecodeError, MemoryError)
"""Errors that the media library raises for a file that it cannot use."""
MACHINE_FAULTS = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Its error numbers where the machine lacks something. They say nothing about the file."""
PATIENCE = 120.0
"""Seconds after which a file is given up: without a packet, or without a frame in many packets."""
_MANY_PACKETS = 1000  # far more than the 64 packets for which decoders hold a frame back
_DISPLAY_MATRIX = 6  # FFmpeg's AV_FRAME_DATA_DISPLAYMATRIX
_SIDE_DATA_KINDS = 64  # FFmpeg 8.1 knows 33 kinds of side data (AV_FRAME_DATA_*)


class SeekError(Exception):
    """A seek did not land on a known frame; decode from the start instead."""


def open_media(path: Path, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a local media file. URLs, playlists and scripts are refused under any name.

    max_pixels: larger frames are refused. Raises :class:`UnlayerError` where the file is not a
    readable media file.
    """
    kind = sniff.check_file(path, max_pixels)
    bombs.check_metadata(path)
    bombs.check_index(path)
    try:
        return av.open(
            f"file:{path.absolute()}",
            "r",
            format=kind,
            options=sniff.open_options(max_pixels),
            metadata_errors="ignore",
            timeout=PATIENCE,
        )
    except MEDIA_ERRORS as error:
        raise UnlayerError(
            f"{printable(path)}: cannot be opened: {sniff.why_unreadable(path)}"
        ) from error
    except OSError as error:
        raise UnlayerError(f"{printable(path)}: cannot be opened ({error.strerror})") from error


def choose_stream(container: InputContainer, path: Path, wanted: int | None) -> VideoStream:
    """Return the video stream with the index ``wanted``, or the first that is not a cover picture.

    Raises :class:`UsageError` where ``wanted`` is not a video stream, and :class:`UnlayerError`
    where the file has no video.
    """
    videos = [
        video
        for video in container.streams.video
        if not video.disposition & Disposition.attached_pic
    ]
    if wanted is not None:
        for video in container.streams.video:
            if video.index == wanted:
                return video
        have = ", ".join(str(video.index) for video in container.streams.video) or "none"
        raise UsageError(
            f"{printable(path)}: stream {wanted} is not a video stream "
            f"(its video streams: {have}); choose another stream",
            settings=("stream",),
        )
    if not videos:
        what = "only audio" if container.streams.audio else "nothing that can be seen"
        raise UnlayerError(f"{printable(path)}: has no video, {what}; give a video or a picture")
    return videos[0]


def first_frame(
    container: InputContainer, stream: VideoStream, path: Path, salvage: bool, max_pixels: int
) -> VideoFrame:
    """Return the first frame that decodes; arguments as in :func:`video_frames`.

    Raises :class:`UnlayerError` where there is none.
    """
    with contextlib.closing(
        video_frames(container, stream, path, salvage, max_pixels, lambda: None)
    ) as frames:
        for frame in frames:
            return frame
    raise no_frame_error(path)


def no_frame_error(path: Path) -> UnlayerError:
    """Return the error that says that no frame of a file's video can be decoded."""
    return UnlayerError(
        f"{printable(path)}: no frame of its video can be decoded; "
        "it is damaged or of an unknown kind"
    )


def video_frames(
    container: InputContainer,
    stream: VideoStream,
    path: Path,
    salvage: bool,
    max_pixels: int,
    on_damage: Callable[[], None],
) -> Generator[VideoFrame]:
    """Yield frames in display order, from the container's current position to its end.

    path: names the file in messages. max_pixels: larger frames are refused.
    salvage: whether to go on after damage. ``on_damage`` is then called, and decoding goes on at
        the next key frame, because the frames up to there are predicted from lost ones.

    Raises :class:`UnlayerError` naming the frame where the file is damaged and not salvaged.
    """
    context = _decoder(stream, path, salvage, max_pixels)
    prepare = _FramePreparation(container.format.name)
    count = 0
    waits_for_key_frame = False
    patience = _Patience()
    for packet, problem in _packets(container, stream):
        if packet is not None and packet.size and waits_for_key_frame:
            if not packet.is_keyframe:
                continue
            waits_for_key_frame = False
        frames: list[VideoFrame] = []
        if problem is None and packet is not None and context.name in ("png", "apng"):
            problem = bombs.metadata_fault(bytes(packet))
        if problem is None:
            frames, problem = _decode_packet(context, packet)
        if patience.is_over(bool(frames)):
            raise UnlayerError(
                f"{printable(path)}: gives no more frames after frame {count}, although its data "
                "goes on; get an undamaged copy"
            )
        for frame in frames:
            count += 1
            prepare(frame)
            yield frame
            patience.renew()
        if problem is None:
            continue
        is_picture = container.format.name in sniff.PICTURES
        if is_picture or not salvage:
            raise _damage_error(path, problem, count, is_picture=is_picture)
        on_damage()
        context.flush_buffers()
        waits_for_key_frame = True


def _decoder(stream: VideoStream, path: Path, salvage: bool, max_pixels: int) -> VideoCodecContext:
    """Return the stream's decoder, set up for :func:`video_frames`; arguments as there.

    Raises :class:`UnlayerError` where there is none, or where its frames are too large.
    """
    context: VideoCodecContext | None = getattr(stream, "codec_context", None)
    if context is None:
        raise UnlayerError(
            f"{printable(path)}: no decoder here can read its video; convert it with FFmpeg"
        )
    sniff.check_size(path, context.width, context.height, max_pixels)
    context.options = {"max_pixels": str(max_pixels)}
    # With frame threads, an error is reported late, after frames predicted from the lost one.
    context.thread_type = "SLICE" if salvage else "AUTO"
    return context


def frames_from(frames: Iterator[VideoFrame], wanted: int) -> Iterator[VideoFrame]:
    """Yield the frames from the one with the timestamp ``wanted`` on.

    Raises :class:`SeekError` where that frame is not among them.
    """
    is_reached = False
    for frame in frames:
        if not is_reached:
            if frame.pts is None or frame.pts > wanted:
                raise SeekError
            if frame.pts < wanted:
                continue
            is_reached = True
        yield frame
    if not is_reached:
        raise SeekError


class _FramePreparation:
    """Correct a decoded frame's time, and note on it which way is up.

    container: the name of the file's container, as the library has it.
    """

    def __init__(self, container: str) -> None:
        self._is_avi = container == "avi"
        self._rotation: int | None = None
        self._orientation = frame_pixels.UPRIGHT

    def __call__(self, frame: VideoFrame) -> None:
        """Change the frame in place."""
        if self._is_avi and frame.dts is not None:
            # AVI has no presentation times, and the library's guess is wrong where frames are
            # packed or reordered. The decoding times, once the decoder has put the frames in order,
            # are evenly spaced.
            frame.pts = frame.dts
        if frame.rotation != self._rotation:
            self._rotation = frame.rotation
            self._orientation = _read_orientation(frame)
        is_upright = self._orientation == frame_pixels.UPRIGHT
        # Each frame needs its own object: the library drops a shared one with the first frame.
        frame.opaque = None if is_upright else replace(self._orientation)


def _damage_error(path: Path, problem: str, count: int, *, is_picture: bool) -> UnlayerError:
    """Return the error for a file that is damaged after ``count`` frames."""
    if is_picture:
        return UnlayerError(
            f"{printable(path)}: cannot be decoded ({problem}); it is damaged, or no decoder "
            "here can read it: convert it to PNG or to a video"
        )
    return UnlayerError(
        f"{printable(path)}: is damaged at frame {count} ({problem}); "
        "get an undamaged copy, or salvage what can be decoded",
        settings=("salvage",),
    )


class _Patience:
    """Count the time and the packets since the last frame."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start counting again. Time that the caller spent on a frame is not the file's fault."""
        self._since = time.monotonic()
        self._packets = 0

    def is_over(self, framed: bool) -> bool:
        """Count a packet and return whether the file has given no frame for too long.

        framed: whether the packet gave a frame.
        """
        self._packets += 1
        return (
            not framed
            and self._packets > _MANY_PACKETS
            and time.monotonic() - self._since > PATIENCE
        )


def _packets(
    container: InputContainer, stream: VideoStream
) -> Iterator[tuple[Packet[VideoStream] | None, str | None]]:
    """Yield the stream's packets, each with a problem or ``None``.

    The last packet is an empty one that drains the decoder. A fault of the container ends the
    packets: it comes as ``None`` with the problem.
    """
    packets = container.demux(stream)
    while True:
        try:
            if (packet := next(packets, None)) is None:
                return
        except MEDIA_ERRORS as error:
            yield None, reason(error)
            return
        yield packet, "its data is incomplete" if packet.is_corrupt else None


def _decode_packet(
    context: VideoCodecContext, packet: Packet[VideoStream] | None
) -> tuple[list[VideoFrame], str | None]:
    """Decode one packet; ``None`` or an empty one drains the decoder.

    Returns the undamaged frames before any fault, and the fault or ``None``.
    """
    try:
        frames = context.decode(packet)
    except EOFError:
        return [], None
    except MEDIA_ERRORS as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", 0) in MACHINE_FAULTS:
            raise UnlayerError(
                f"this machine could not decode ({reason(error)}): it has no memory, threads or "
                "files left; close other programs or raise the limit, then resume the run",
                settings=("resume",),
            ) from error
        return [], reason(error)
    for position, frame in enumerate(frames):
        if frame.is_corrupt:
            return frames[:position], "the decoder had to guess parts of it"
    return frames, None


def _read_orientation(frame: VideoFrame) -> frame_pixels.Orientation:
    """Return the orientation that a frame's display matrix gives.

    The matrix comes from a container, a codec or a picture's EXIF data. Reading ``frame.side_data``
    directly is not safe. PyAV frees the metadata of side data twice, which kills the process for an
    ICC profile; it fails on kinds that are newer than it is; and it keeps the frame alive until the
    garbage collector runs. So filters remove all other side data and shrink the picture first.
    """
    kinds = (kind for kind in range(_SIDE_DATA_KINDS) if kind != _DISPLAY_MATRIX)
    steps = [("sidedata", f"mode=delete:type={kind}") for kind in kinds]
    steps += [("crop", "min(iw\\,16):min(ih\\,16):0:0"), ("scale", "2:2"), ("buffersink", "")]
    graph = av.filter.Graph()
    try:
        last = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
        )
        for name, options in steps:
            step = graph.add(name, options)
            last.link_to(step)
            last = step
        graph.configure()
        graph.push(frame)
        small = graph.pull()
        assert isinstance(small, VideoFrame)
        matrix = small.side_data.get("DISPLAYMATRIX")
        if not isinstance(matrix, SideData):
            return frame_pixels.UPRIGHT
        return frame_pixels.orientation_from_matrix(bytes(matrix))
    except MEDIA_ERRORS:
        # No filter accepts such frames. The angle is known without them, a mirroring is not.
        return frame_pixels.orientation_from_angle(frame.rotation)


def next_time(before: Fraction | None, frame: VideoFrame, step: Fraction) -> Fraction:
    """Return a frame's time in seconds, corrected so that times rise.

    before: the time of the frame before. step: the usual interval between frames, in seconds; it is
    used where a timestamp is missing or jumps back.
    """
    if frame.pts is None or frame.time_base is None:
        return Fraction(0) if before is None else before + step
    time = frame.pts * frame.time_base
    if before is None or time > before:
        return time
    # A repeated timestamp is moved by one tick. Where the clock jumps back, the time moves on by a
    # whole frame.
    return before + (frame.time_base if before - time < step else step)
