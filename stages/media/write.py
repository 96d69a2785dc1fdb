"""Write layers to files that appear under their names complete, or not at all.

This is the only module that opens media files for writing. A layer's file holds exactly the frames
that it was given, upright, with their intervals, and its first frame at time 0. Every muxer and
encoder runs in its bit-exact mode, so equal layers are equal files.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
import torch
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages import safe_files
from stages.errors import DISK_FULL, UnlayerError
from stages.media import colour
from stages.media.audio import MILLISECOND, WRITE_ERRORS, Tracks, audio_warning
from stages.media.clip import AudioSpan, ClipInfo, Frames
from stages.media.color_tags import ColorTags
from stages.media.formats import Encoding, LayerFormat, encoding_for, output_colors
from stages.media.headers import (
    MATROSKA_UNIT,
    RESERVED,
    correct_matroska,
    png_with_colors,
    write_light,
)
from stages.media.sniff import printable, reason
from stages.media.timecode import advance
from stages.media.tone import to_display

# FFmpeg's numbers of a stream's field order.
_FIELD_ORDERS = {"tff": 2, "bff": 3}
_PROGRESSIVE = 1
_NO_ACCESS = (errno.EACCES, errno.ENOENT, errno.EROFS)
_LIMITED_RANGE, _FULL_RANGE = 1, 2  # FFmpeg's numbers
# WebM files should count time in milliseconds.
_UNITS = {"matroska": MATROSKA_UNIT, "webm": MILLISECOND}
_MAX_TICKS = 10**9  # in a second, so that times fit the containers' fields
_PNG_RATE = Fraction(1, 25)  # the encoder wants a time base; a PNG does not store it
_DEFAULT = LayerFormat()


class LayerWriter:
    """Write one layer. The file appears at :attr:`path` when it is complete, or not at all.

    Use it as a context manager. After a clean exit the file is at :attr:`path`; after an exception
    or :meth:`abort` there is none.

    path: the layer's path without suffix, as in ``run/scene-001``.
    info: the clip that it belongs to: size, pixel aspect, rate, colours.
    layer_format: what the layer is and how it is written.
    encoding: the encoding to use instead of the one for ``layer_format``.
    audio: the part of the input's audio that goes with it.
    first_frame: the input frame that the layer begins with; it gives the first time code.
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
        audio: AudioSpan | None = None,
        first_frame: int | None = None,
    ) -> None:
        self.info = info
        self.warnings: list[str] = []
        data = layer_format.data
        self._encoding = encoding or encoding_for(info, layer_format)
        self._alpha = layer_format.alpha is not None
        self._colors = output_colors(self._encoding, info.color, data)
        # HDR metadata describe the input's values, so they are written only beside those.
        has_light = (info.color.mastering or info.color.light) is not None
        keeps_values = not data and not self._colors.converted
        self._light = has_light and keeps_values and bool(self._encoding.muxer)
        self._png_color = ColorTags() if data else info.color
        self._icc = None if data else info.icc
        self._timecode = ""
        if info.timecode and first_frame is not None:
            self._timecode = advance(info.timecode, first_frame, info.rate)
        self.path = path.with_name(path.name + self._encoding.suffix)
        self._temporary = path.with_name(f".{path.name}.part{self._encoding.suffix}")
        self._audio = audio if self._encoding.muxer else None
        self._container: OutputContainer | None = None
        self._tracks: Tracks | None = None
        # The unit of the layer's times, in seconds.
        self._tick = _UNITS.get(self._encoding.muxer) or Fraction(
            1, min(info.time_base.denominator, _MAX_TICKS)
        )
        self._first_time: Fraction | None = None
        self._held: tuple[VideoFrame, Fraction] | None = None
        self._interval = 1 / info.rate
        self._durations: dict[int, int] = {}

    def __enter__(self) -> Self:
        with self._guarded():
            # Create the file here: the media library would follow a link of that name.
            safe_files.create(self._temporary).close()
            if not self._encoding.muxer:
                return self
            try:
                self._open(self._audio)
            except (UnlayerError, *WRITE_ERRORS) as error:
                blocked = isinstance(error, OSError) and error.errno in _NO_ACCESS
                if self._audio is None or blocked:
                    raise
                self._warn(error)
                self._close()
                self._open(None)
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

    def write(self, frames: Frames, alpha: torch.Tensor | None = None) -> None:
        """Add consecutive frames.

        frames: ``(T, 3, H, W)`` in [0, 1], with times on the clip's clock.
        alpha: ``(T, 1, H, W)`` in [0, 1]; opaque if it is not given.

        Raises :class:`ValueError` where sizes or times do not fit what came before.
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
                self._add(self._frame(frames.pixels[place], opacity), time)

    def abort(self) -> None:
        """Remove the unfinished file. Does nothing after a clean exit."""
        self._close()
        self._temporary.unlink(missing_ok=True)

    def _frame(self, pixels: torch.Tensor, alpha: torch.Tensor | None) -> VideoFrame:
        """Return pixels ``(1, 3, H, W)`` and alpha ``(1, 1, H, W)`` as a frame for the encoder."""
        encoding = self._encoding
        pixels = pixels.detach().cpu()
        if self._colors.converted:
            pixels = to_display(pixels, self.info.color)
        if self._alpha:
            if alpha is None:
                alpha = torch.ones_like(pixels[:, :1])
            pixels = torch.cat([pixels, alpha.detach().to(pixels)], dim=1)
        top = 2**encoding.bits - 1
        if encoding.yuv:
            planes = colour.yuv_planes(
                pixels[0, :3], encoding.bits, "420" in encoding.pixels, self._colors.tags[2]
            )
            if self._alpha:
                planes.append(
                    (pixels[0, 3] * top).round().clamp(0, top).numpy().astype(planes[0].dtype)
                )
            return _planar(planes, encoding.pixels, self._colors.tags)
        levels = pixels[0].permute(1, 2, 0).mul(top).round().clamp(0, top).numpy()
        array: NDArray[Any] = np.ascontiguousarray(
            levels, np.uint8 if encoding.bits == 8 else np.uint16
        )
        if encoding.pixels.startswith(("gbrp", "gbrap", "rgb")):
            return VideoFrame.from_ndarray(array, encoding.pixels)
        return VideoFrame.from_ndarray(array, "rgba" if self._alpha else "rgb24").reformat(
            format=encoding.pixels
        )

    def _add(self, frame: VideoFrame, time: Fraction) -> None:
        """Hold a frame back and encode the one before, whose duration is now known."""
        if self._first_time is None:
            self._first_time = time
        if self._held is not None:
            if self._container is None:
                raise ValueError("a picture holds one frame")
            before = self._held[1]
            if time <= before:
                raise ValueError(f"times must rise, got {time} after {before}")
            self._interval = time - before
            self._encode(*self._held)
        self._held = (frame, time)

    def _encode(self, frame: VideoFrame, time: Fraction) -> None:
        assert self._first_time is not None and self._tracks is not None
        frame.pts = round((time - self._first_time) / self._tick)
        frame.time_base = self._tick
        self._durations[frame.pts] = max(
            1, round((time + self._interval - self._first_time) / self._tick) - frame.pts
        )
        self._mux(self._tracks.video.encode(frame))

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._tracks is not None and self._container is not None
        for packet in packets:
            assert packet.pts is not None
            packet.duration = self._durations.pop(packet.pts, 0)
            packet.time_base = self._tracks.declared_unit(self._tick)
            self._tracks.mux_audio(until=packet.pts * self._tick)
            self._container.mux(packet)

    def _finish(self) -> None:
        if self._held is None:
            raise ValueError("no frame was written")
        if self._container is None:
            with self._temporary.open("r+b") as picture:
                picture.write(png_with_colors(_png(self._held[0]), self._png_color, self._icc))
        else:
            assert self._tracks is not None
            self._encode(*self._held)
            self._mux(self._tracks.video.encode(None))
            self._tracks.mux_audio(until=None)
            self._container.close()
            self._container = None
            self._tracks.close()
            info = self.info
            if self._encoding.muxer in ("matroska", "webm") and not correct_matroska(
                self._temporary, self._tick, info.width, info.height, info.pixel_aspect
            ):
                self.warnings.append(
                    f"{self.path.name}: the pixel aspect ratio of {info.pixel_aspect} could not be "
                    "written into the file"
                )
            if self._light and not write_light(self._temporary, self._encoding.muxer, info.color):
                self.warnings.append(
                    f"{self.path.name}: the HDR metadata could not be written into the file"
                )
        with self._temporary.open("rb+") as file:
            os.fsync(file.fileno())
        self._temporary.replace(self.path)

    def _open(self, audio: AudioSpan | None) -> None:
        encoding = self._encoding
        info = self.info
        container = av.open(
            f"file:{self._temporary.absolute()}",
            "w",
            format=encoding.muxer,
            options={"fflags": "+bitexact", **encoding.muxer_options},
        )
        self._container = container
        video = container.add_stream(
            encoding.codec, rate=info.rate, options={"flags": "+bitexact", **encoding.options}
        )
        assert isinstance(video, VideoStream)
        context = video.codec_context
        context.thread_type = "AUTO"
        video.width, video.height = info.width, info.height
        video.pix_fmt = encoding.pixels
        context.sample_aspect_ratio = info.pixel_aspect
        context.time_base = video.time_base = self._tick
        context.color_primaries, context.color_trc, context.colorspace = self._colors.tags
        context.color_range = _LIMITED_RANGE if encoding.yuv else _FULL_RANGE
        if info.scan.kind != "progressive":
            parity = "" if info.scan.deinterlaced else info.scan.parity
            context.field_order = _FIELD_ORDERS.get(parity, _PROGRESSIVE)
        if self._light and encoding.muxer != "mov":
            video.metadata["title"] = RESERVED
        if self._timecode:
            container.metadata["timecode"] = self._timecode
        self._tracks = Tracks(container, video, encoding.muxer, self.warnings)
        if audio is not None:
            self._tracks.add_audio(audio)
        container.start_encoding()

    def _close(self) -> None:
        """Close all files, in whatever state they are. Their content is discarded."""
        with contextlib.suppress(*WRITE_ERRORS):
            if self._container is not None:
                self._container.close()
        self._container = None
        if self._tracks is not None:
            self._tracks.close()

    def _warn(self, error: BaseException) -> None:
        self.warnings.append(audio_warning(self.info.path, error))

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


def _planar(planes: list[NDArray[Any]], pixels: str, tags: tuple[int, int, int]) -> VideoFrame:
    """Return a frame of these planes, with the line spacing that the library wants."""
    frame = VideoFrame(planes[0].shape[1], planes[0].shape[0], pixels)
    # ProRes stores each frame's own tags, not the stream's.
    frame.color_primaries, frame.color_trc, frame.colorspace = tags
    frame.color_range = _LIMITED_RANGE
    for plane, codes in zip(frame.planes, planes, strict=True):
        lines = np.zeros((plane.height, plane.line_size // codes.itemsize), codes.dtype)
        lines[:, : plane.width] = codes
        plane.update(lines.tobytes())
    return frame


def _png(frame: VideoFrame) -> bytes:
    """Return one frame as the bytes of a PNG file."""
    context = av.CodecContext.create("png", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = frame.width, frame.height
    context.pix_fmt = frame.format.name
    context.time_base = _PNG_RATE
    frame.pts = 0
    frame.time_base = _PNG_RATE
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
