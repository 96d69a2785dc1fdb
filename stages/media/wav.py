"""Write the audio of a layer that is a folder of pictures: WAV files beside it."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from numpy.typing import NDArray

from stages.media.audio import PREROLL
from stages.media.clip import SourceSpan
from stages.media.decode import open_media
from stages.media.input_tracks import seek_before
from stages.storage import safe_files

_SHALLOW = ("s16", "s16p", "u8", "u8p")  # FFmpeg's sample formats that 16 bits hold
_GAP = 1 << 16  # samples of silence that are written at a time


def write_wavs(span: SourceSpan, stem: Path) -> list[Path]:
    """Write each audio track of a span as ``<stem>.wav``, ``<stem>-2.wav`` and so on.

    A file begins exactly at the span's start and ends at its end at the latest. It has the track's
    rate and channels, and 16 bits or, where the track is deeper, 24. Files that appear under their
    names are complete. Raises OSError, and what the media library raises, where that fails.
    """
    with open_media(span.path) as source:
        count = len(source.streams.audio)
    paths = []
    for number in range(count):
        path = stem.with_name(f"{stem.name}{f'-{number + 1}' if number else ''}.wav")
        with safe_files.replacing(path) as file, open_media(span.path) as source:
            stream = source.streams.audio[number]
            depth = 2 if stream.codec_context.format.name in _SHALLOW else 3
            with wave.open(file, "wb") as out:
                out.setnchannels(stream.layout.nb_channels)
                out.setsampwidth(depth)
                out.setframerate(stream.rate)
                for samples in _samples(source, number, span, depth):
                    out.writeframes(samples)
        paths.append(path)
    return paths


def _samples(source: InputContainer, number: int, span: SourceSpan, depth: int) -> Iterator[bytes]:
    """Yield the samples of a track from the span's start, with silence where it has gaps.

    depth: in bytes.
    """
    stream = source.streams.audio[number]
    channels = stream.layout.nb_channels
    count = int((span.end - span.start) * stream.rate)
    written = 0
    for begin, values in _timed_samples(source, number, span, depth):
        # What overlaps with earlier samples, or lies outside the span, is left out.
        values = values[max(0, written - begin) : max(0, count - begin)]
        begin = max(begin, written)
        if not len(values):
            continue
        while written < begin:
            gap = min(_GAP, begin - written)
            yield bytes(gap * channels * depth)
            written += gap
        written += len(values)
        yield _packed(values, depth)
        if written >= count:
            return


def _timed_samples(
    source: InputContainer, number: int, span: SourceSpan, depth: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the samples ``(N, channels)`` of a track, and where they begin.

    The place is counted in samples from the span's start; it is negative before the span. Only the
    first frame's time is used, and later samples are counted from there. depth: in bytes.
    """
    stream = source.streams.audio[number]
    resampler = AudioResampler("s16" if depth == 2 else "s32", stream.layout, stream.rate)
    seek_before(source, span.start, PREROLL)
    position: int | None = None
    for packet in source.demux(stream):
        for frame in packet.decode():
            if frame.pts is not None and frame.time_base is not None and position is None:
                position = round((frame.pts * frame.time_base - span.start) * stream.rate)
            frame.pts = None
            for part in resampler.resample(frame):
                values = part.to_ndarray().reshape(-1, stream.layout.nb_channels)
                begin = position or 0
                position = begin + len(values)
                yield begin, values


def _packed(values: np.ndarray, depth: int) -> bytes:
    """Return samples as little-endian integers of ``depth`` bytes."""
    if depth == 2:
        return values.astype("<i2").tobytes()
    # Of 32 bits, the upper 24.
    octets = np.ascontiguousarray(values.astype("<i4")).view(np.uint8)
    return octets.reshape(-1, 4)[:, 1:].tobytes()
