"""Decoding: a local media file to the frames of one video stream, in the order of display.

Files are untrusted. Only local files of known containers are opened, the size of a picture is bounded before
anything is decoded, and every fault of a file ends in one :class:`UnlayerError` line. :mod:`stages.media.read` builds on this.
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
from stages.media import bombs, colour, sniff
from stages.media.sniff import printable, reason

MAX_PIXELS = 8192 * 8192
"""The most pixels of a picture that is decoded unless told otherwise."""
MEDIA_ERRORS = (av.FFmpegError, ValueError, OverflowError, UnicodeDecodeError, MemoryError)
"""What the media library raises for a file that it cannot use."""
MACHINE_FAULTS = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""What it raises where the machine is short of something, which says nothing about the file."""
PATIENCE = 120.0
"""Seconds without a new packet, or without a new frame over many packets, after which a file is given up."""
_MANY_PACKETS = 1000  # decoders hold a frame back for up to 64 packets
_DISPLAY_MATRIX = 6  # FFmpeg's AV_FRAME_DATA_DISPLAYMATRIX
_SIDE_DATA_KINDS = 64  # FFmpeg 8.1 knows 33 kinds of side data (AV_FRAME_DATA_*)


def open_media(path: Path, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a local media file and nothing else: no URL, playlist or script, whatever its name or content claims.

    Raises :class:`UnlayerError` in one line for whatever is no readable media file.
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
        raise UnlayerError(f"{printable(path)}: cannot be opened: {sniff.explain(path)}") from error
    except OSError as error:
        raise UnlayerError(f"{printable(path)}: cannot be opened ({error.strerror})") from error


def choose_stream(container: InputContainer, path: Path, wanted: int | None) -> VideoStream:
    """The video stream with the index ``wanted``, or the first that is no cover picture. Raises where there is none."""
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
            f"{printable(path)}: stream {wanted} is no video stream (its video streams: {have}); choose another --stream"
        )
    if not videos:
        what = "only sound" if container.streams.audio else "nothing that can be seen"
        raise UnlayerError(f"{printable(path)}: has no video, {what}; give a video or a picture")
    return videos[0]


def first_frame(
    container: InputContainer, stream: VideoStream, path: Path, salvage: bool, max_pixels: int
) -> VideoFrame:
    """The first frame that decodes. Raises :class:`UnlayerError` where there is none."""
    with contextlib.closing(
        video_frames(container, stream, path, salvage, max_pixels, lambda: None)
    ) as frames:
        for frame in frames:
            return frame
    raise UnlayerError(
        f"{printable(path)}: no frame of its video can be decoded; it is damaged or of an unknown kind"
    )


def video_frames(
    container: InputContainer,
    stream: VideoStream,
    path: Path,
    salvage: bool,
    max_pixels: int,
    on_damage: Callable[[], None],
) -> Generator[VideoFrame]:
    """Decode in the order of display from where the container stands until its end, drained.

    Damage raises :class:`UnlayerError` naming the frame. With ``salvage`` it makes the decoder go on at the next key frame instead:
    what lies between is predicted from frames that are lost.
    """
    if (context := getattr(stream, "codec_context", None)) is None:
        raise UnlayerError(
            f"{printable(path)}: no decoder here reads its video; convert it with FFmpeg"
        )
    sniff.check_size(path, context.width, context.height, max_pixels)
    context.options = {"max_pixels": str(max_pixels)}
    # With frame threads an error comes late, after frames that were predicted from the lost one.
    context.thread_type = "SLICE" if salvage else "AUTO"
    turn = colour.UPRIGHT
    rotation: int | None = None
    count = 0
    waiting = False
    patience = _Patience()
    for packet, problem in _packets(container, stream):
        if packet is not None and packet.size and waiting:
            if not packet.is_keyframe:
                continue
            waiting = False
        frames: list[VideoFrame] = []
        if problem is None and packet is not None and context.name in ("png", "apng"):
            problem = bombs.metadata_fault(bytes(packet))
        if problem is None:
            frames, problem = _decode_packet(context, packet)
        if patience.is_over(bool(frames)):
            raise UnlayerError(
                f"{printable(path)}: gives no frame after frame {count}, whatever is read; get a sound copy"
            )
        for frame in frames:
            count += 1
            if container.format.name == "avi" and frame.dts is not None:
                # AVI tells no times of presentation, and the library's guess is wrong where frames are packed or reordered.
                # Its decoding times, after the decoder has put the frames in order, are even.
                frame.pts = frame.dts
            if frame.rotation != rotation:
                rotation = frame.rotation
                turn = _read_turn(frame)
            # Each frame needs an object of its own: the library forgets a shared one with the first frame.
            frame.opaque = None if turn == colour.UPRIGHT else replace(turn)
            yield frame
            patience.renew()
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


class _Patience:
    """Counts the time and the packets since the last frame."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin to count anew: what was done with a frame is not the file's fault."""
        self._since, self._packets = time.monotonic(), 0

    def is_over(self, framed: bool) -> bool:
        """Count a packet; ``framed``: it gave a frame. Return whether there were too many for too long."""
        self._packets += 1
        return (
            not framed
            and self._packets > _MANY_PACKETS
            and time.monotonic() - self._since > PATIENCE
        )


def _packets(
    container: InputContainer, stream: VideoStream
) -> Iterator[tuple[Packet[VideoStream] | None, str | None]]:
    """The stream's packets, the empty one that drains the decoder last; a fault of the container is the last item's second half."""
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
    """Decode one packet (``None`` or an empty one: drain). The sound frames before any fault, and the fault."""
    try:
        frames = context.decode(packet)
    except EOFError:
        return [], None
    except MEDIA_ERRORS as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", 0) in MACHINE_FAULTS:
            raise UnlayerError(
                f"this machine could not decode ({reason(error)}): it has no memory, threads or files left; "
                "close other programs or raise the limit, then go on with --resume"
            ) from error
        return [], reason(error)
    for position, frame in enumerate(frames):
        if frame.is_corrupt:
            return frames[:position], "the decoder had to guess parts of it"
    return frames, None


def _read_turn(frame: VideoFrame) -> colour.Turn:
    """Return the turn that makes a frame upright, as its display matrix tells it.

    The matrix comes from a container, a codec or a picture's EXIF. Reading ``frame.side_data`` itself is not safe: PyAV
    frees the metadata of side data twice (an ICC profile has some, and the process dies), fails on kinds that are
    newer than it is, and keeps the frame until the garbage collector runs. So filters take all other side data off,
    and shrink the picture that stays in memory.
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
        return (
            colour.turn_from_matrix(bytes(matrix))
            if isinstance(matrix, SideData)
            else colour.UPRIGHT
        )
    except MEDIA_ERRORS:
        # No filter takes such frames. The angle can be told without them, though not a mirroring.
        return colour.turn_from_angle(frame.rotation)


def next_time(before: Fraction | None, frame: VideoFrame, step: Fraction) -> Fraction:
    """A frame's time in seconds. Where it is missing, or does not come after the one before, the nearest that does."""
    if frame.pts is None or frame.time_base is None:
        return Fraction(0) if before is None else before + step
    time = frame.pts * frame.time_base
    if before is None or time > before:
        return time
    # A stamp that was given twice is moved by a tick; one that jumps back (a clock that starts again) by a whole frame.
    return before + (frame.time_base if before - time < step else step)
