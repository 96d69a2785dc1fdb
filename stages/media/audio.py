"""Write the audio of a layer: copy or encode the input's audio beside the picture."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from stages.media.clip import SourceSpan
from stages.media.containers.base import AudioSupport, FileType
from stages.media.decode import open_media
from stages.media.input_tracks import InputTracks, seek_before
from stages.media.labels import kept_track_tags
from stages.media.sniff import printable

_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
"""Names of channel layouts by their number of channels."""
PREROLL = 1
"""Seconds before a span's start from which audio is decoded."""


class _Coder(NamedTuple):
    """A layer's track that encodes, and what turns decoded audio into its format."""

    track: AudioStream
    resampler: AudioResampler


class AudioTracks(InputTracks):
    """The audio tracks of a video file that is being written.

    container: the open file. file_type: how it holds audio.
    warnings: gets a sentence where the audio cannot be written whole.
    """

    def __init__(
        self, container: OutputContainer, file_type: FileType, warnings: list[str]
    ) -> None:
        super().__init__(container, file_type)
        self._warnings = warnings

    def add(self, span: SourceSpan) -> None:
        """Add every audio track of the input. :meth:`mux` then writes their packets."""
        support = self._file_type.audio
        assert support is not None
        self._span = span
        self._input = open_media(span.path)
        copies: dict[int, AudioStream] = {}
        coders: dict[int, _Coder] = {}
        for source in self._input.streams.audio:
            if getattr(source, "codec_context", None) is None:
                raise ValueError("no decoder here can read it")
            copy = self._copying_track(source, support)
            if copy is None:
                coders[source.index] = self._encoding_track(source, support)
            else:
                copies[source.index] = copy
        self._packets = self._packets_within(self._input, copies, coders)

    def _copying_track(self, source: AudioStream, support: AudioSupport) -> AudioStream | None:
        """Return a new track for unchanged packets; ``None`` where the file cannot hold them."""
        if support.copied is not None and source.codec_context.name not in support.copied:
            return None
        try:
            track = self._container.add_stream_from_template(source)
        except ValueError:
            # Some versions of a container do not accept the codec.
            return None
        _label(track, source)
        return track

    def _encoding_track(self, source: AudioStream, support: AudioSupport) -> _Coder:
        """Return a new track that encodes an input's audio."""
        is_supported = not support.rates or source.rate in support.rates
        rate = source.rate if is_supported else support.rates[0]
        track = self._container.add_stream(
            support.encoder, rate=rate, options={"flags": "+bitexact"}
        )
        assert isinstance(track, AudioStream)
        # Some files give only the number of channels, and encoders need a layout's name.
        track.layout = _LAYOUTS.get(source.layout.nb_channels, source.layout.name)
        track.codec_context.open()
        _label(track, source)
        frame_size = track.codec_context.frame_size
        resampler = AudioResampler(support.sample_format, track.layout, rate, frame_size)
        return _Coder(track, resampler)

    def _report_fault(self, error: Exception) -> None:
        self._warnings.append(audio_warning(self._span.path, error))

    def _packets_within(
        self, source: InputContainer, copies: dict[int, AudioStream], coders: dict[int, _Coder]
    ) -> Iterator[Packet[AudioStream]]:
        """Yield the packets that begin within the span, with times from the span's start."""
        start, end = self._span.start, self._span.end
        seek_before(source, start, PREROLL)
        ended: set[int] = set()
        clocks: dict[int, int] = {}
        for packet in source.demux(tuple(source.streams.audio)):
            index = packet.stream_index
            if packet.pts is None or index in ended:
                continue
            time = packet.pts * packet.time_base
            if time >= end:
                ended.add(index)
                if len(ended) == len(copies) + len(coders):
                    break
            elif index in copies:
                if time >= start:
                    packet.pts -= round(start / packet.time_base)
                    packet.dts = packet.pts
                    packet.stream = copies[index]
                    yield packet
            elif time < start:
                # This packet is not part of the layer, but the decoder needs it to start.
                packet.decode()
            else:
                yield from self._encoded(packet, coders[index], clocks)
        for coder in coders.values():
            for resampled in coder.resampler.resample(None):
                yield from coder.track.encode(resampled)
            yield from coder.track.encode(None)

    def _encoded(
        self, packet: Packet[AudioStream], coder: _Coder, clocks: dict[int, int]
    ) -> Iterator[Packet[AudioStream]]:
        """Yield a packet's audio, encoded again. clocks: see :meth:`_set_time`."""
        for frame in packet.decode():
            self._set_time(frame, packet.stream_index, clocks)
            for resampled in coder.resampler.resample(frame):
                yield from coder.track.encode(resampled)

    def _set_time(self, frame: AudioFrame, index: int, clocks: dict[int, int]) -> None:
        """Set a decoded frame's time, from the span's start, in samples.

        index: of its stream. clocks: the samples of each stream so far. Only the first frame of a
        packet has a time of its own, so samples are counted from there.
        """
        if frame.pts is not None and frame.time_base is not None and index not in clocks:
            since = frame.pts * frame.time_base - self._span.start
            clocks[index] = round(since * frame.sample_rate)
        frame.pts = clocks.get(index, 0)
        frame.time_base = Fraction(1, frame.sample_rate)
        clocks[index] = frame.pts + frame.samples


def _label(track: AudioStream, source: AudioStream) -> None:
    """Give a layer's track the language, the name and the purpose of the input's."""
    track.metadata.update(kept_track_tags(source.metadata))
    track.disposition = source.disposition


def audio_warning(path: Path, error: BaseException) -> str:
    """Return the warning, in one line, that a layer lacks some of its audio."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"the audio of {printable(path)} could not be carried over completely ({reason}); the "
        "layer is written without it"
    )
