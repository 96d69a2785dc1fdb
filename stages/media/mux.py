"""Write a layer's encoded frames and its audio into one video file."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stages.errors import UnlayerError
from stages.media.audio import WRITE_ERRORS, AudioTracks, audio_warning
from stages.media.clip import AudioSpan, ClipInfo
from stages.media.containers.base import Encoding, FinishedFile
from stages.media.headers import RESERVED

_FIELD_ORDERS = {"tff": 2, "bff": 3}  # FFmpeg's numbers of a stream's field order
_PROGRESSIVE = 1
_LIMITED_RANGE, _FULL_RANGE = 1, 2  # FFmpeg's numbers
_NO_ACCESS = (errno.EACCES, errno.ENOENT, errno.EROFS)


def has_encoder(name: str) -> bool:
    """Return whether the media library can write a codec. name: FFmpeg's, of the encoder."""
    try:
        av.Codec(name, "w")
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class VideoLabels:
    """What a video file says about its picture.

    colors: H.273's numbers of primaries, transfer and matrix. has_hdr_metadata: whether HDR
    metadata are written. timecode: of the first frame, or empty.
    """

    colors: tuple[int, int, int]
    has_hdr_metadata: bool = False
    timecode: str = ""


class MuxedClip:
    """A video file that is being written. Muxer and encoder run in their bit-exact mode.

    path: of the file, which exists and is empty. time_base: the unit of its times, in seconds.
    warnings: gets a sentence where the audio cannot be written.
    """

    is_single = False

    def __init__(
        self,
        path: Path,
        info: ClipInfo,
        encoding: Encoding,
        labels: VideoLabels,
        time_base: Fraction,
        warnings: list[str],
    ) -> None:
        self._path = path
        self._info = info
        self._encoding = encoding
        self._file_type = encoding.container.file_type
        self._labels = labels
        self._time_base = time_base
        self._warnings = warnings
        self._container: OutputContainer | None = None
        self._video: VideoStream | None = None
        self._tracks: AudioTracks | None = None
        self._durations: dict[int, int] = {}

    def begin(self, audio: AudioSpan | None) -> None:
        """Open the file; without its audio, and with a warning, where that cannot be written."""
        try:
            self._open(audio)
        except (UnlayerError, *WRITE_ERRORS) as error:
            blocked = isinstance(error, OSError) and error.errno in _NO_ACCESS
            if audio is None or blocked:
                raise
            self._warnings.append(audio_warning(self._info.path, error))
            self.close()
            self._open(None)

    def add(self, frame: VideoFrame, time: int, duration: int) -> None:
        """Encode a frame. time, duration: in units of the time base."""
        assert self._video is not None
        frame.pts = time
        frame.time_base = self._time_base
        self._durations[time] = duration
        self._mux(self._video.encode(frame))

    def finish(self) -> list[str]:
        """Complete the file; return what could not be written into its header."""
        assert self._video is not None and self._container is not None
        assert self._tracks is not None
        self._mux(self._video.encode(None))
        self._tracks.mux_audio(until=None)
        self._container.close()
        self._container = None
        self._tracks.close()
        return self._file_type.fix_header(
            FinishedFile(self._path, self._info, self._time_base, self._labels.has_hdr_metadata)
        )

    def close(self) -> None:
        """Close all files, in whatever state they are. Their content is discarded."""
        with contextlib.suppress(*WRITE_ERRORS):
            if self._container is not None:
                self._container.close()
        self._container = None
        if self._tracks is not None:
            self._tracks.close()

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._tracks is not None and self._container is not None
        for packet in packets:
            assert packet.pts is not None
            packet.duration = self._durations.pop(packet.pts, 0)
            packet.time_base = self._file_type.muxer_time_base or self._time_base
            self._tracks.mux_audio(until=packet.pts * self._time_base)
            self._container.mux(packet)

    def _open(self, audio: AudioSpan | None) -> None:
        encoding, info, labels = self._encoding, self._info, self._labels
        container = av.open(
            f"file:{self._path.absolute()}",
            "w",
            format=self._file_type.muxer,
            options={"fflags": "+bitexact", **self._file_type.options},
        )
        self._container = container
        video = container.add_stream(
            encoding.container.encoder,
            rate=info.rate,
            options={"flags": "+bitexact", **encoding.options},
        )
        assert isinstance(video, VideoStream)
        context = video.codec_context
        if encoding.container.fourcc:
            context.codec_tag = encoding.container.fourcc
        context.thread_type = "AUTO"
        video.width, video.height = info.width, info.height
        video.pix_fmt = encoding.pixel_format
        context.sample_aspect_ratio = info.pixel_aspect
        context.time_base = video.time_base = self._time_base
        context.color_primaries, context.color_trc, context.colorspace = labels.colors
        context.color_range = _LIMITED_RANGE if encoding.yuv else _FULL_RANGE
        if info.scan.kind != "progressive":
            parity = "" if info.scan.deinterlaced else info.scan.parity
            context.field_order = _FIELD_ORDERS.get(parity, _PROGRESSIVE)
        if labels.has_hdr_metadata and self._file_type.reserves_name:
            video.metadata["title"] = RESERVED
        if labels.timecode:
            container.metadata["timecode"] = labels.timecode
        self._video = video
        self._tracks = AudioTracks(container, self._file_type, self._warnings)
        if audio is not None:
            self._tracks.add_audio(audio)
        container.start_encoding()
