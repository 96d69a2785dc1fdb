"""Collect the facts about a clip from its header, its first frames and its container's boxes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stages.errors import UnlayerError
from stages.media import frame_pixels
from stages.media.clip import ClipInfo, ScanType
from stages.media.color_tags import UNSPECIFIED, ColorTags
from stages.media.decode import OpenVideo, no_frame_error, open_media, video_frames
from stages.media.deinterlace import can_deinterlace, examine, scan_type
from stages.media.exif import read_dpi, read_exif
from stages.media.fields import EXAMINED_FRAMES, ScanEvidence
from stages.media.labels import kept_tags
from stages.media.library_errors import READ_ERRORS
from stages.media.orientation import orientation_of, upright_size
from stages.media.picture_metadata import has_foreign_profile, read_icc_profile
from stages.media.sniff import printable
from stages.media.stream_facts import StoredTrack, StreamFacts, read_facts
from stages.media.timecode import is_timecode

PICTURE_RATE = Fraction(25)
"""Frames per second that a sequence of pictures is given. Pictures have no times of their own."""
_ANIMATIONS = ("gif", "apng")
_FIRST_PACKETS = 2  # packets that are searched for HDR messages
_SEARCHED_BYTES = 1 << 20  # of each packet; the messages are at its front


def describe(video: OpenVideo, interlaced: str) -> tuple[ClipInfo, VideoFrame]:
    """Return the facts of one video stream, and its first frame.

    interlaced: ``auto``, ``keep`` or ``deinterlace``; see :func:`stages.media.read.open_clip`.
    Raises :class:`UnlayerError` where no frame decodes.
    """
    facts = _facts(video)
    with contextlib.closing(video_frames(video)) as frames:
        frame = next(frames, None)
        if frame is None:
            raise no_frame_error(video.path)
        scan = _scan(video, frame, frames, interlaced)
    info = _info(video, frame, facts)
    if _is_picture(video):
        info = _as_picture(info)
    return replace(info, scan=scan), frame


def _scan(
    video: OpenVideo, frame: VideoFrame, following: Iterator[VideoFrame], wanted: str
) -> ScanType:
    """Return how the clip was scanned, from its flags and its first frames.

    frame: the first one. following: the frames after it. wanted: as in :func:`describe`.
    """
    if video.has_picture_format or video.container.format.name in _ANIMATIONS:
        return ScanType()
    order = int(video.stream.codec_context.field_order)
    if wanted == "keep":
        return scan_type(order, [bool(frame.interlaced_frame)], ScanEvidence(), wanted)
    if not can_deinterlace(frame):
        if wanted == "deinterlace":
            raise UnlayerError(
                f"{printable(video.path)}: its pictures of {frame.width}x{frame.height} are too "
                "small to be deinterlaced; keep them as they are",
                settings=("interlaced",),
            )
        return ScanType()
    flags, evidence = examine(chain([frame], _undamaged(islice(following, EXAMINED_FRAMES - 1))))
    return scan_type(order, flags, evidence, wanted)


def _undamaged(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield the frames before any damage. The damage is reported when the frames are read."""
    with contextlib.suppress(UnlayerError):
        yield from frames


def _facts(video: OpenVideo) -> StreamFacts:
    """Return the facts from the file's boxes and from the messages in its first packets."""
    stream, container = video.stream, video.container.format.name
    context = getattr(stream, "codec_context", None)
    if context is None or video.has_picture_format:
        return StreamFacts()
    data = [bytes(context.extradata or b"")]
    if context.codec.canonical_name in ("hevc", "h264", "av1"):
        # Open the file again: packets that are taken out of this container would be missing later.
        with (
            contextlib.suppress(UnlayerError, *READ_ERRORS),
            open_media(video.path, video.max_pixels) as again,
        ):
            for packet in islice(again.demux(again.streams[stream.index]), _FIRST_PACKETS):
                data.append(bytes(packet)[:_SEARCHED_BYTES])
    track = stream.id
    if container.startswith("matroska"):
        track = [each.index for each in video.container.streams.video].index(stream.index)
    stored = StoredTrack(container, track, context.codec.canonical_name, _coded_size(stream))
    return read_facts(video.path, stored, data)


def _coded_size(stream: VideoStream) -> tuple[int, int]:
    """Return height and width that the stream's header gives for its frames."""
    return stream.codec_context.height, stream.codec_context.width


def _info(video: OpenVideo, frame: VideoFrame, facts: StreamFacts) -> ClipInfo:
    """Return what is known of a clip, from its container, its stream and its first frame.

    facts: from the file's boxes and its first packets.
    """
    container, stream = video.container, video.stream
    orientation = orientation_of(frame)
    # Some decoders crop by themselves. Then the frame is smaller and must not be cropped again.
    crop = facts.crop if (frame.height, frame.width) == _coded_size(stream) else None
    height, width = upright_size(frame, crop)
    aspect = _pixel_aspect(stream)
    rate = _rate(stream, frame)
    return ClipInfo(
        path=video.path,
        width=width,
        height=height,
        frames=stream.frames or None,
        rate=rate,
        time_base=stream.time_base or 1 / rate,
        pixel_aspect=1 / aspect if orientation.swap else aspect,
        rotation=orientation.degrees,
        bit_depth=_bit_depth(frame),
        codec=stream.codec_context.name,
        pixel_format=frame.format.name,
        color_space=frame_pixels.matrix_of(frame),
        full_range=frame_pixels.is_full(frame),
        stream=stream.index,
        audio_streams=len(container.streams.audio),
        subtitle_streams=len(container.streams.subtitles),
        has_alpha=frame_pixels.has_alpha(frame) or stream.metadata.get("alpha_mode") == "1",
        seconds=_duration(container),
        color=_color(frame, facts),
        crop=crop,
        timecode=_timecode(container, stream, rate),
        facts=replace(facts, mastering=None, light=None, crop=None),
        tags=tuple(sorted(kept_tags(container.metadata))),
        chapters=len(container.chapters()),
    )


def _is_picture(video: OpenVideo) -> bool:
    """Return whether the file holds one picture. A GIF may hold a clip or a picture."""
    is_gif = video.container.format.name == "gif"
    return video.has_picture_format or (is_gif and video.stream.frames == 1)


def _as_picture(info: ClipInfo) -> ClipInfo:
    """Return the facts about a picture: one frame without times, and its file's own labels."""
    picture = replace(
        info,
        frames=1,
        rate=PICTURE_RATE,
        time_base=1 / PICTURE_RATE,
        seconds=None,
        is_picture=True,
        foreign_profile=has_foreign_profile(info.path),
    )
    return with_picture_labels(picture, info.path)


def with_picture_labels(info: ClipInfo, path: Path) -> ClipInfo:
    """Return the facts with the profile, EXIF data and resolution of a picture file."""
    return replace(info, icc=read_icc_profile(path), exif=read_exif(path), dpi=read_dpi(path))


def _rate(stream: VideoStream, frame: VideoFrame) -> Fraction:
    """Return the stream's average frames per second. frame: its first one."""
    if frame.pts is None and stream.guessed_rate:
        # Raw streams have no times. The codec's header gives the rate; the demuxer assumes 25.
        return stream.guessed_rate
    return stream.average_rate or stream.guessed_rate or PICTURE_RATE


def _pixel_aspect(stream: VideoStream) -> Fraction:
    """Return the width of a stored pixel divided by its height; 1 where the stream gives none."""
    aspect = stream.sample_aspect_ratio
    return aspect if aspect and aspect > 0 else Fraction(1)


def _bit_depth(frame: VideoFrame) -> int:
    """Return the bits of a frame's values as :attr:`ClipInfo.bit_depth`: 8, 10, 12, 14 or 16."""
    bits = max(component.bits for component in frame.format.components)
    return min(16, bits + bits % 2) if bits > 8 else 8


def _timecode(container: InputContainer, stream: VideoStream, rate: Fraction) -> str:
    """Return the time code of the first frame, or nothing. rate: frames per second."""
    metadata = {**container.metadata, **stream.metadata}
    label = {name.lower(): value for name, value in metadata.items()}.get("timecode", "")
    return label if is_timecode(label, rate) else ""


def _duration(container: InputContainer) -> Fraction | None:
    """Return the seconds that the container claims, or None."""
    return Fraction(container.duration, av.time_base) if container.duration else None


def _color(frame: VideoFrame, facts: StreamFacts) -> ColorTags:
    """Return a frame's colour tags. H.273 reserves 0 and 3, so they count as unspecified."""
    primaries, transfer = (
        UNSPECIFIED if int(value) in (0, 3) else int(value)
        for value in (frame.color_primaries, frame.color_trc)
    )
    return ColorTags(primaries, transfer, int(frame.colorspace), facts.mastering, facts.light)
