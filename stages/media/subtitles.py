"""Write the subtitles of a layer: copy or convert the input's tracks beside the picture."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

from stages.media.clip import SourceSpan
from stages.media.containers.base import FileType
from stages.media.decode import open_media
from stages.media.input_tracks import InputTracks, seek_before
from stages.media.labels import kept_track_tags
from stages.media.library_errors import WRITE_ERRORS

_PREROLL = 30
"""Seconds before a span in which a subtitle may begin that it still shows."""
_MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class _Track:
    """One track of subtitles. converter: of text into the layer's codec; None: copied."""

    stream: SubtitleStream
    converter: SubtitleCodecContext | None = None


class SubtitleTracks(InputTracks):
    """The subtitle tracks of a video file that is being written.

    container: the open file. file_type: how it holds subtitles.
    left_out: gets the name of each track that the file cannot hold.
    """

    def __init__(
        self, container: OutputContainer, file_type: FileType, left_out: list[str]
    ) -> None:
        super().__init__(container, file_type)
        self._left_out = left_out

    def add(self, span: SourceSpan) -> None:
        """Add the input's subtitle tracks. :meth:`mux` then writes their packets."""
        self._input = open_media(span.path)
        tracks: dict[int, _Track] = {}
        for source in self._input.streams.subtitles:
            try:
                tracks[source.index] = self._add_track(source)
            except WRITE_ERRORS:
                self._left_out.append(f"subtitles in track {source.index} ({_name(source)})")
        if tracks:
            self._packets = self._noting_overlaps(_within(self._input, span, tracks))

    def _noting_overlaps(self, packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
        """Pass packets on, and note once if some overlap that the file shows one after another."""
        support = self._file_type.subtitles
        noted = support is None or not support.one_at_a_time
        ends: dict[int, int] = {}
        for packet in packets:
            begin, index = packet.pts or 0, packet.stream.index
            if begin < ends.get(index, begin) and not noted:
                self._left_out.append("times of subtitles that overlap")
                noted = True
            ends[index] = max(ends.get(index, begin), begin + (packet.duration or 0))
            yield packet

    def _report_fault(self, error: Exception) -> None:
        self._left_out.append("subtitles to their end")

    def _add_track(self, source: SubtitleStream) -> _Track:
        """Return a new track for one of the input's. Raises ValueError where the file has none."""
        support = self._file_type.subtitles
        if support is None or getattr(source, "codec_context", None) is None:
            raise ValueError("no subtitles here")
        converter = None
        if source.codec_context.codec.canonical_name in support.copied:
            track = self._container.add_stream_from_template(source)
        else:
            # Only text becomes another kind of text: the decoder of pictures has no header.
            source.codec_context.open(strict=False)
            header = source.codec_context.subtitle_header
            if not header:
                raise ValueError("these subtitles are pictures")
            added = self._container.add_stream(support.encoder)
            assert isinstance(added, SubtitleStream)
            track, converter = added, added.codec_context
            converter.subtitle_header = header
            converter.time_base = _MILLISECOND
            converter.open()
        track.time_base = _MILLISECOND
        track.metadata.update(kept_track_tags(source.metadata))
        track.disposition = source.disposition
        return _Track(track, converter)


def _name(source: SubtitleStream) -> str:
    context = getattr(source, "codec_context", None)
    return "of an unknown kind" if context is None else str(context.codec.canonical_name)


def _within(
    source: InputContainer, span: SourceSpan, tracks: dict[int, _Track]
) -> Iterator[Packet[Any]]:
    """Yield the subtitles that a span shows, cut to it, with times from its start."""
    seek_before(source, span.start, _PREROLL)
    # The picture's packets say when the span is over; the next subtitle may be far away.
    packets = source.demux(*source.streams.video[:1], *source.streams.subtitles)
    for packet, begin, end in _shown(packets, span, tracks):
        track = tracks[packet.stream_index]
        written = _converted(packet, track.converter)
        if written is None:
            continue
        written.stream = track.stream
        written.time_base = _MILLISECOND
        written.pts = written.dts = round((begin - span.start) / _MILLISECOND)
        written.duration = 0 if end is None else max(1, round((end - begin) / _MILLISECOND))
        yield written


def _shown(
    packets: Iterable[Packet[Any]], span: SourceSpan, tracks: Container[int]
) -> Iterator[tuple[Packet[Any], Fraction, Fraction | None]]:
    """Yield the packets of subtitles that a span shows, each with its begin and end in seconds.

    The end is ``None`` where the packet has no duration: it is then shown until the next one of its
    track. So the last of these before the span is shown from the span's start.

    tracks: indices of the subtitles' streams; other packets only say how far the input is read.
    """
    still_shown: dict[int, Packet[Any]] = {}
    for packet in packets:
        if packet.pts is None or packet.time_base is None:
            continue
        begin = packet.pts * packet.time_base
        reached = begin if packet.dts is None else packet.dts * packet.time_base
        if reached > span.start:
            for earlier in still_shown.values():
                yield earlier, span.start, None
            still_shown.clear()
        index = packet.stream_index
        if index not in tracks or begin >= span.end:
            if packet.dts is not None and reached >= span.end:
                return
            continue
        still_shown.pop(index, None)
        end = begin + packet.duration * packet.time_base if packet.duration else None
        if end is None and begin < span.start:
            still_shown[index] = packet
        elif end is None or end > span.start:
            yield packet, max(begin, span.start), None if end is None else min(end, span.end)
    for earlier in still_shown.values():
        yield earlier, span.start, None


def _converted(packet: Packet[Any], converter: SubtitleCodecContext | None) -> Packet[Any] | None:
    """Return a packet in the converter's codec, or as it is; None for one that shows nothing."""
    if converter is None:
        return packet
    subtitles = packet.stream.codec_context.decode2(packet)
    if subtitles is None or not len(subtitles):
        return None
    return converter.encode_subtitle(subtitles)
