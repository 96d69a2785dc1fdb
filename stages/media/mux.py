"""Write a layer's encoded frames, and what goes with them, into one video file.

With the frames go the input's audio, subtitles, chapters and tags. One warning names what the file
cannot hold of them.
"""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stages.errors import UnlayerError
from stages.media.audio import AudioTracks, audio_warning
from stages.media.clip import ClipInfo, SourceSpan
from stages.media.containers.base import Encoding, FinishedFile
from stages.media.decode import open_media
from stages.media.input_tracks import InputTracks
from stages.media.labels import (
    chapters_within,
    kept_tags,
    kept_track_tags,
    left_out_warning,
    tags_in_words,
)
from stages.media.library_errors import WRITE_ERRORS
from stages.media.subtitles import SubtitleTracks
from stages.media.video_headers import RESERVED

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
    warnings: gets a sentence where something that goes with the frames cannot be written.
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
        self._input_tracks: list[InputTracks] = []
        self._tags: dict[str, str] = {}
        self._chapters = 0
        self._left_out: list[str] = []
        self._durations: dict[int, int] = {}

    def begin(self, source: SourceSpan | None) -> None:
        """Open the file. What cannot be written beside the frames is left out, with a warning.

        Ordinarily the first attempt, with all of ``source``, works. Each later one has less of it.
        """
        fault: BaseException | None = None
        earlier_warnings = len(self._warnings)
        for attempt in _attempts(source):
            # What a failed attempt opened and said does not concern the next one.
            self._input_tracks = []
            self._tags, self._chapters = {}, 0
            self._left_out.clear()
            del self._warnings[earlier_warnings:]
            try:
                self._open(attempt)
                break
            except (UnlayerError, *WRITE_ERRORS) as error:
                has_no_access = isinstance(error, OSError) and error.errno in _NO_ACCESS
                if attempt is None or has_no_access:
                    raise
                fault = error
                self.close()
        if source is not None and fault is not None:
            self._warn_of_missing(source, attempt, fault)

    def _warn_of_missing(
        self, source: SourceSpan, written: SourceSpan | None, fault: BaseException
    ) -> None:
        """Warn of what the file lacks of ``source``, as only ``written`` of it can be written."""
        if source.audio and (written is None or not written.audio):
            self._warnings.append(audio_warning(self._info.path, fault))
        if source.subtitles and (written is None or not written.subtitles):
            self._left_out.append("subtitles")
        if source.labels and written is None:
            self._left_out.append("tags and chapters")

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
        self._mux(self._video.encode(None))
        for tracks in self._input_tracks:
            tracks.mux(until=None)
        self._container.close()
        self._container = None
        for tracks in self._input_tracks:
            tracks.close()
        self._note_lost_labels()
        if self._left_out:
            self._warnings.append(left_out_warning(self._left_out))
        return self._file_type.fix_header(
            FinishedFile(self._path, self._info, self._time_base, self._labels.has_hdr_metadata)
        )

    def close(self) -> None:
        """Close all files, in whatever state they are. Their content is discarded."""
        with contextlib.suppress(*WRITE_ERRORS):
            if self._container is not None:
                self._container.close()
        self._container = None
        for tracks in self._input_tracks:
            tracks.close()

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        """Write encoded packets, after the packets beside them that are due earlier."""
        assert self._container is not None
        for packet in packets:
            assert packet.pts is not None
            packet.duration = self._durations.pop(packet.pts, 0)
            packet.time_base = self._file_type.muxer_time_base or self._time_base
            for tracks in self._input_tracks:
                tracks.mux(until=packet.pts * self._time_base)
            self._container.mux(packet)

    def _open(self, source: SourceSpan | None) -> None:
        """Open the file and its tracks, and write its header.

        source: what of the input goes beside the frames.
        """
        container = self._container = av.open(
            f"file:{self._path.absolute()}",
            "w",
            format=self._file_type.muxer,
            options={"fflags": "+bitexact", **self._file_type.options},
        )
        video = self._video = self._add_video(container)
        if self._labels.timecode:
            container.metadata["timecode"] = self._labels.timecode
        if source is not None and source.audio:
            audio = AudioTracks(container, self._file_type, self._warnings)
            self._input_tracks.append(audio)
            audio.add(source)
        if source is not None and source.subtitles:
            subtitles = SubtitleTracks(container, self._file_type, self._left_out)
            self._input_tracks.append(subtitles)
            subtitles.add(source)
        if source is not None and source.labels:
            self._add_labels(source, container, video)
        container.start_encoding()

    def _add_video(self, container: OutputContainer) -> VideoStream:
        """Add the frames' track to a file, with its encoder, size, colours and field order."""
        encoding, info = self._encoding, self._info
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
        context.color_primaries, context.color_trc, context.colorspace = self._labels.colors
        context.color_range = _LIMITED_RANGE if encoding.yuv else _FULL_RANGE
        if info.scan.kind != "progressive":
            parity = "" if info.scan.deinterlaced else info.scan.parity
            context.field_order = _FIELD_ORDERS.get(parity, _PROGRESSIVE)
        if self._labels.has_hdr_metadata and self._file_type.reserves_name:
            video.metadata["title"] = RESERVED
        return video

    def _add_labels(
        self, source: SourceSpan, container: OutputContainer, video: VideoStream
    ) -> None:
        """Give the file the tags and the chapters of a span of the input."""
        with open_media(source.path) as opened:
            self._tags = kept_tags(opened.metadata)
            chapters = chapters_within(opened.chapters(), source.start, source.end)
            of_picture = kept_track_tags(opened.streams[source.stream].metadata)
        # The track's name may reserve space for HDR metadata.
        video.metadata.update({**of_picture, **video.metadata})
        container.metadata.update(self._tags)
        self._chapters = len(chapters)
        if chapters:
            container.set_chapters(chapters)

    def _note_lost_labels(self) -> None:
        """Read the file's own tags and chapters back, and note which it does not hold."""
        if not self._tags and not self._chapters:
            return
        with open_media(self._path) as written:
            lost = set(self._tags) - set(kept_tags(written.metadata))
            if len(written.chapters()) < self._chapters:
                self._left_out.append("chapters")
        if lost:
            self._left_out.append(tags_in_words(lost))


def _attempts(source: SourceSpan | None) -> list[SourceSpan | None]:
    """Return what of the input to write beside the frames: first all of it, at last nothing."""
    attempts: list[SourceSpan | None] = [source]
    if source is not None:
        attempts.append(replace(source, subtitles=False))
        attempts.append(replace(source, subtitles=False, audio=False))
        attempts.append(None)
    return list(dict.fromkeys(attempts))


def lost_beside_pictures(source: SourceSpan) -> list[str]:
    """Return what of a span of the input has no place in a folder of pictures, in words."""
    with open_media(source.path) as opened:
        lost = ["subtitles"] if source.subtitles else []
        if source.labels:
            tags = kept_tags(opened.metadata)
            lost += [tags_in_words(tags)] if tags else []
            within = chapters_within(opened.chapters(), source.start, source.end)
            lost += ["chapters"] if within else []
    return lost
