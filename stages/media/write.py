"""Write layers to files that appear under their names complete, or not at all.

A layer's file holds exactly the frames that it was given, upright, with their intervals, and its
first frame at time 0. Every muxer and encoder runs in its bit-exact mode, so equal layers are equal
files. :mod:`stages.media.mux` writes videos, :mod:`stages.media.picture_file` pictures and folders
of them, and :mod:`stages.media.wav` the audio of such folders. Only these and this module open
media files for writing.

Frames pass two threads behind the caller's: one converts them, the next one encodes them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import torch
from av.video.frame import VideoFrame

from stages.errors import DISK_FULL, UnlayerError
from stages.media.audio import audio_warning
from stages.media.clip import ClipInfo, Frames, SourceSpan
from stages.media.containers.base import Encoding
from stages.media.encoder_frames import EncoderFrames
from stages.media.formats import LayerFormat, can_take_codes, encoding_for, output_colors
from stages.media.labels import left_out_warning
from stages.media.layer_sink import LayerSink, TimedFrames
from stages.media.library_errors import WRITE_ERRORS, reason
from stages.media.mux import MuxedClip, VideoLabels, lost_beside_pictures
from stages.media.picture_file import (
    PATTERN,
    PictureFile,
    PictureSequence,
    lost_labels_warnings,
)
from stages.media.picture_headers import PictureLabels
from stages.media.sniff import printable
from stages.media.stored_frame import StoredFrame
from stages.media.timecode import advance
from stages.media.wav import write_wavs
from stages.optim.threads import LEAST_VALUES, WorkQueue
from stages.storage import safe_files

_MAX_TICKS = 10**9  # in a second, so that times fit the containers' fields
_MOST_WAITING = 2  # frames that wait for a thread, at most
_WAITING_BYTES = 1 << 27  # of the pixels of these frames, at most
_DEFAULT = LayerFormat()


class LayerWriter:
    """Write one layer. It appears at :attr:`path` when it is complete, or not at all.

    Use it as a context manager. After a clean exit the layer is at :attr:`path`, a file or the
    folder of a sequence, and :attr:`sounds` are the WAV files of a sequence. After an exception or
    :meth:`abort` there is nothing.

    path: the layer's path without suffix, as in ``run/scene-001``.
    info: the clip that it belongs to: size, pixel aspect, rate, colours.
    layer_format: what the layer is and how it is written.
    encoding: the encoding to use instead of the one for ``layer_format``.
    source: the part of the input whose audio, subtitles, chapters and tags go with it.
    first_frame: the input frame that the layer begins with. It gives the first time code, and the
        number of a sequence's first file; without it files are numbered from 0.
    stored_size: ``(H, W)`` of the stored frames that are written, where it is not the layer's.
    warnings: sentences about what could not be written; the layer is good without it.

    Raises :class:`UnlayerError` naming the folder where the layer cannot be written or the disk is
    full, and ValueError for an unknown format.
    """

    def __init__(
        self,
        path: Path,
        info: ClipInfo,
        layer_format: LayerFormat = _DEFAULT,
        *,
        encoding: Encoding | None = None,
        source: SourceSpan | None = None,
        first_frame: int | None = None,
        stored_size: tuple[int, int] | None = None,
    ) -> None:
        self.info = info
        self.warnings: list[str] = []
        self.sounds: list[Path] = []
        data = layer_format.data
        self._encoding = encoding or encoding_for(info, layer_format)
        self._alpha = self._encoding.alpha
        self._colors = output_colors(
            self._encoding, info.color, data, takes_codes=can_take_codes(self._encoding, info)
        )
        self._frames = EncoderFrames(
            self._encoding,
            self._colors,
            info.color,
            info.codec,
            # Data are written as they are, and so are colours in all other containers.
            linear=self._encoding.container.linear and not data,
            premultiplied=layer_format.premultiplied,
        )
        self.path = path.with_name(path.name + self._encoding.suffix)
        self._temporary = path.with_name(f".{path.name}.part{self._encoding.suffix}")
        file_type = self._encoding.container.file_type
        self._source = source
        # The unit of the layer's times, in seconds.
        self._time_base = file_type.time_base or Fraction(
            1, min(info.time_base.denominator, _MAX_TICKS)
        )
        self._sink: LayerSink
        if file_type.muxer:
            self._sink = self._video_sink(first_frame, data=data)
        else:
            self._sink = self._picture_sink(first_frame, data=data)
        self._last_time: Fraction | None = None
        self._timed = TimedFrames(self._sink, self._time_base, info.rate)
        waiting = (
            0
            if self._sink.is_single
            else _frames_that_may_wait(stored_size or (info.height, info.width))
        )
        self._conversions, self._encodings = WorkQueue(waiting), WorkQueue(waiting)

    def _video_sink(self, first_frame: int | None, *, data: bool) -> LayerSink:
        """Return what writes a video. first_frame, data: as in the constructor's arguments."""
        info = self.info
        # HDR metadata describe the input's values, so they are written only with those.
        has_hdr = (info.color.mastering or info.color.light) is not None
        writes_hdr = has_hdr and not data and not self._colors.converted
        timecode = ""
        if info.timecode and first_frame is not None:
            timecode = advance(info.timecode, first_frame, info.rate)
        labels = VideoLabels(self._colors.tags, writes_hdr, timecode)
        return MuxedClip(
            self._temporary, info, self._encoding, labels, self._time_base, self.warnings
        )

    def _picture_sink(self, first_frame: int | None, *, data: bool) -> LayerSink:
        """Return what writes a picture, or a folder of them; arguments as in :meth:`_video_sink`.

        Warns of labels of the input that the file cannot keep.
        """
        info, is_sequence = self.info, self._encoding.sequence
        labels = PictureLabels(dpi=info.dpi)
        if not data:
            # An EXIF block is of one photograph, not of all frames.
            labels = PictureLabels(
                info.color, info.icc, None if is_sequence else info.exif, info.dpi
            )
        self.warnings += lost_labels_warnings(info, self._encoding, labels)
        if is_sequence:
            return PictureSequence(self._temporary, self._encoding, labels, first_frame or 0)
        return PictureFile(self._temporary, self._encoding, labels)

    def __enter__(self) -> Self:
        with self._guarded():
            # Create the file here: the media library would follow a link of that name.
            if self._encoding.sequence:
                safe_files.remove(self._temporary)
                self._temporary.mkdir()
            else:
                safe_files.create(self._temporary).close()
            self._sink.begin(self._source)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.abort()
            return
        with self._guarded():
            self._finish()

    @property
    def pattern(self) -> str:
        """Return the names of a sequence's files, as in ``%06d.png``; empty for a single file."""
        if not self._encoding.sequence:
            return ""
        return PATTERN + self._encoding.container.file_type.suffix

    def write(self, frames: Frames, alpha: torch.Tensor | None = None) -> None:
        """Add consecutive frames. They may be written later, so they must not change any more.

        frames: ``(T, 3, H, W)`` in [0, 1], with times on the clip's clock.
        alpha: ``(T, 1, H, W)`` in [0, 1]; opaque if it is not given.

        Raises :class:`ValueError` where sizes or times do not fit what came before, and
        :class:`UnlayerError` where these frames or earlier ones cannot be written.
        """
        height, width = self.info.height, self.info.width
        if tuple(frames.pixels.shape[2:]) != (height, width):
            raise ValueError(
                f"the layer is {height}x{width}, got frames {tuple(frames.pixels.shape)}"
            )
        if alpha is not None and (
            not self._alpha or tuple(alpha.shape) != (len(frames), 1, height, width)
        ):
            raise ValueError(
                f"alpha {tuple(alpha.shape)} does not fit frames {tuple(frames.pixels.shape)} "
                "or a layer without alpha"
            )
        with self._guarded():
            for position, time in enumerate(frames.times):
                place = slice(position, position + 1)
                opacity = None if alpha is None else alpha[place]
                self._add(partial(self._frames.of_pixels, frames.pixels[place], opacity), time)

    def write_stored(self, stored: StoredFrame, time: Fraction | None = None) -> None:
        """Add a frame of the input, scaled to the layer's size where it has another one.

        Its codes are not converted to RGB and back where the layer can hold them as they are.
        time: on the clip's clock; the frame's own unless given.

        Raises :class:`ValueError` where times do not rise, and :class:`UnlayerError` where this
        frame or an earlier one cannot be written.
        """
        size = self.info.height, self.info.width
        with self._guarded():
            own_time = stored.time if time is None else time
            self._add(partial(self._frames.of_stored, stored, size), own_time)

    def abort(self) -> None:
        """Remove the unfinished layer. Does nothing after a clean exit."""
        self._conversions.stop()
        self._encodings.stop()
        self._sink.close()
        safe_files.remove(self._temporary)

    def _add(self, convert: Callable[[], VideoFrame], time: Fraction) -> None:
        """Hand the next frame to the thread that converts it. convert: returns it converted."""
        if self._last_time is not None:
            if self._sink.is_single:
                raise ValueError("a picture holds one frame")
            if time <= self._last_time:
                raise ValueError(f"times must rise, got {time} after {self._last_time}")
        self._last_time = time

        def work() -> None:
            self._encodings.do(partial(self._timed.add, convert(), time))

        self._conversions.do(work)

    def _finish(self) -> None:
        self._conversions.finish()
        self._encodings.finish()
        self._timed.finish()
        for missing in self._sink.finish():
            self.warnings.append(f"{missing} could not be written into the file")
        if self._encoding.sequence:
            if not self._timed.is_even:
                self.warnings.append(
                    "its frames are not evenly spaced in time, and numbered pictures do not keep "
                    "their times"
                )
            self._write_sounds()
            if self._source is not None and (lost := lost_beside_pictures(self._source)):
                self.warnings.append(left_out_warning(lost))
            # A folder can only take the name of an empty one.
            safe_files.remove(self.path)
        else:
            with self._temporary.open("rb+") as file:
                os.fsync(file.fileno())
        self._temporary.replace(self.path)

    def _write_sounds(self) -> None:
        """Write the audio beside a sequence; a fault is a warning, unless the disk is full."""
        source = self._source
        if source is None or not source.audio:
            return
        try:
            self.sounds = write_wavs(source, self.path)
        except (UnlayerError, *WRITE_ERRORS) as error:
            if getattr(error, "errno", 0) in DISK_FULL:
                raise
            self.warnings.append(audio_warning(source.path, error))

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn faults of the disk and the encoder into one line. Any fault removes the file."""
        try:
            yield
        except UnlayerError:
            self.abort()
            raise
        except (av.FFmpegError, OSError, MemoryError) as error:
            with contextlib.suppress(OSError):
                self.abort()
            full = getattr(error, "errno", 0) in DISK_FULL
            advice = "free some space there" if full else "check that it is writable"
            folder = printable(self.path.absolute().parent)
            raise UnlayerError(
                f"{folder}: {self.path.name} cannot be written ({reason(error)}); {advice}, "
                "or choose another folder",
                settings=("out",),
            ) from error
        except BaseException:
            self.abort()
            raise


def _frames_that_may_wait(size: tuple[int, int]) -> int:
    """Return how many frames of a size may wait for a thread; 0 where threads do not pay."""
    values = 3 * size[0] * size[1]
    if values < LEAST_VALUES:
        return 0
    return min(_MOST_WAITING, _WAITING_BYTES // (4 * values))
