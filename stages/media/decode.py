"""Decode one video stream of a local file to frames, in display order.

Files are untrusted. Only local files of known containers are opened, the size of a picture is
bounded before anything is decoded, and any fault of a file ends in one :class:`UnlayerError` line.
:mod:`stages.media.read` builds on this.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stages.errors import UnlayerError, UsageError
from stages.media import bombs, sniff
from stages.media.library_errors import READ_ERRORS, is_machine_fault, reason
from stages.media.orientation import UPRIGHT, read_orientation
from stages.media.sniff import printable

MAX_PIXELS = 8192 * 8192
"""Default limit on the pixels of a frame."""
PATIENCE = 120.0
"""Seconds after which a file is given up: without a packet, or without a frame in many packets."""
_MANY_PACKETS = 1000  # far more than the 64 packets for which decoders hold a frame back


class SeekError(Exception):
    """A seek did not land on a known frame; decode from the start instead."""


@dataclass(frozen=True)
class OpenVideo:
    """A video stream of an open file, and how to decode it.

    path: names the file in messages. salvage: whether to go on after damage. max_pixels: larger
    frames are refused.
    """

    path: Path
    container: InputContainer
    stream: VideoStream
    salvage: bool = False
    max_pixels: int = MAX_PIXELS

    @property
    def has_picture_format(self) -> bool:
        """Whether the file is of a format for single pictures."""
        return self.container.format.name in sniff.PICTURES


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
    except READ_ERRORS as error:
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


def first_frame(video: OpenVideo) -> VideoFrame:
    """Return the first frame that decodes. Raises :class:`UnlayerError` where there is none."""
    with contextlib.closing(video_frames(video)) as frames:
        for frame in frames:
            return frame
    raise no_frame_error(video.path)


def no_frame_error(path: Path) -> UnlayerError:
    """Return the error that says that no frame of a file's video can be decoded."""
    return UnlayerError(
        f"{printable(path)}: no frame of its video can be decoded; "
        "it is damaged or of an unknown kind"
    )


def video_frames(
    video: OpenVideo, on_damage: Callable[[], None] = lambda: None
) -> Generator[VideoFrame]:
    """Yield frames in display order, from the container's current position to its end.

    on_damage: called where a file is damaged and salvaged. Decoding then goes on at the next key
        frame, because the frames up to there are predicted from lost ones.

    Raises :class:`UnlayerError` naming the frame where the file is damaged and not salvaged.
    """
    context = _decoder(video)
    prepare = _FramePreparation(video.container.format.name)
    count = 0
    waits_for_key_frame = False
    patience = _Patience()
    for packet, problem in _packets(video):
        if packet is not None and packet.size and waits_for_key_frame:
            if not packet.is_keyframe:
                continue
            waits_for_key_frame = False
        frames: list[VideoFrame] = []
        if problem is None:
            frames, problem = _decode_packet(context, packet)
        if patience.is_over(bool(frames)):
            raise UnlayerError(
                f"{printable(video.path)}: gives no more frames after frame {count}, although its "
                "data goes on; get an undamaged copy"
            )
        for frame in frames:
            count += 1
            prepare(frame)
            yield frame
            patience.renew()
        if problem is None:
            continue
        if video.has_picture_format or not video.salvage:
            raise _damage_error(video, problem, count)
        on_damage()
        context.flush_buffers()
        waits_for_key_frame = True


def _decoder(video: OpenVideo) -> VideoCodecContext:
    """Return the stream's decoder, set up for :func:`video_frames`.

    Raises :class:`UnlayerError` where there is none, or where its frames are too large.
    """
    context: VideoCodecContext | None = getattr(video.stream, "codec_context", None)
    if context is None:
        raise UnlayerError(
            f"{printable(video.path)}: no decoder here can read its video; convert it with FFmpeg"
        )
    sniff.check_size(video.path, context.width, context.height, video.max_pixels)
    context.options = {"max_pixels": str(video.max_pixels)}
    # With frame threads, an error is reported late, after frames predicted from the lost one.
    context.thread_type = "SLICE" if video.salvage else "AUTO"
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
        self._orientation = UPRIGHT

    def __call__(self, frame: VideoFrame) -> None:
        """Change the frame in place."""
        if self._is_avi and frame.dts is not None:
            # AVI has no presentation times, and the library's guess is wrong where frames are
            # packed or reordered. The decoding times, once the decoder has put the frames in order,
            # are evenly spaced.
            frame.pts = frame.dts
        if frame.rotation != self._rotation:
            self._rotation = frame.rotation
            self._orientation = read_orientation(frame)
        is_upright = self._orientation == UPRIGHT
        # Each frame needs its own object: the library drops a shared one with the first frame.
        frame.opaque = None if is_upright else replace(self._orientation)


def _damage_error(video: OpenVideo, problem: str, count: int) -> UnlayerError:
    """Return the error for a file that is damaged after ``count`` frames."""
    name = printable(video.path)
    if video.has_picture_format:
        return UnlayerError(
            f"{name}: cannot be decoded ({problem}); it is damaged, or no decoder "
            "here can read it: convert it to PNG or to a video"
        )
    return UnlayerError(
        f"{name}: is damaged at frame {count} ({problem}); "
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


def _packets(video: OpenVideo) -> Iterator[tuple[Packet[VideoStream] | None, str | None]]:
    """Yield the stream's packets, each with a problem or ``None``.

    The last packet is an empty one that drains the decoder. A fault of the container ends the
    packets: it comes as ``None`` with the problem.
    """
    packets = video.container.demux(video.stream)
    while True:
        try:
            if (packet := next(packets, None)) is None:
                return
        except READ_ERRORS as error:
            yield None, reason(error)
            return
        yield packet, _packet_problem(video, packet)


def _packet_problem(video: OpenVideo, packet: Packet[VideoStream]) -> str | None:
    """Return what is wrong with a packet before it is decoded, or ``None``."""
    if packet.is_corrupt:
        return "its data is incomplete"
    if video.stream.codec_context.name in ("png", "apng"):
        return bombs.metadata_fault(bytes(packet))
    return None


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
    except READ_ERRORS as error:
        if is_machine_fault(error):
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
