"""Writing: layers to files that appear under their names complete or not at all. The only module that opens media files for writing.

A layer's file holds exactly the frames it was given, upright, with their intervals, its first frame at time 0. Every muxer and encoder
runs bit-exact, so equal layers are equal files.
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
from stages.media.audio import MILLISECOND, WRITE_ERRORS, Tracks, sound_warning
from stages.media.clip import ClipInfo, Frames, SoundSpan
from stages.media.color_tags import ColorTags
from stages.media.formats import MATROSKA_UNIT, Encoding, colors_for, correct_matroska, encoding_for
from stages.media.headers import RESERVED, png_with_colors, write_light
from stages.media.sniff import printable
from stages.media.timecode import advance
from stages.media.tone import to_display

# FFmpeg's numbers of a stream's field order, for frames that stay interlaced.
_FIELD_ORDERS = {"tff": 2, "bff": 3}
# WebM is to be counted in milliseconds.
_UNITS = {"matroska": MATROSKA_UNIT, "webm": MILLISECOND}


class LayerWriter:
    """Writes one layer. A context manager: a clean exit puts the file at :attr:`path`; an exception, or :meth:`abort`, leaves nothing.

    path: the layer's name without its suffix, as in ``run/scene-001``. info: the clip it belongs to (size, pixel aspect, rate).
    lossless: FFV1 in Matroska (full-range RGB, ``bit_depth`` bits) instead of H.264 in MP4. alpha: ``prores``, ``vp9``, ``ffv1`` or
    ``png`` for a layer with an alpha channel. sound: what part of the input's sound goes with it. pictures: one PNG.
    encoding: instead of what these ask for. data: values that are no colours, as a matte: they are written as they are.
    first_frame: the input's frame that the layer begins with, by which its time code begins.
    warnings: what went wrong with the sound; the layer is good without it.

    Raises :class:`UnlayerError` naming the folder where it cannot be written or the disk is full.
    """

    def __init__(
        self,
        path: Path,
        info: ClipInfo,
        *,
        lossless: bool,
        alpha: str | None = None,
        bit_depth: int = 8,
        sound: SoundSpan | None = None,
        pictures: bool = False,
        encoding: Encoding | None = None,
        data: bool = False,
        first_frame: int | None = None,
    ) -> None:
        self.info = info
        self.warnings: list[str] = []
        self._encoding = encoding or encoding_for(info, lossless, alpha, bit_depth, pictures)
        self._alpha = alpha is not None
        self._colors = colors_for(self._encoding, info.color, data)
        # What HDR was graded on is told beside its values alone.
        keeps_light = (
            not data
            and not self._colors.converted
            and (info.color.mastering or info.color.light) is not None
        )
        self._light = keeps_light and bool(self._encoding.muxer)
        self._meant = ColorTags() if data else info.color
        self._icc = None if data else info.icc
        self._label = ""
        if info.timecode and first_frame is not None:
            self._label = advance(info.timecode, first_frame, info.rate)
        self.path = path.with_name(path.name + self._encoding.suffix)
        self._temporary = path.with_name(f".{path.name}.part{self._encoding.suffix}")
        self._sound = sound if self._encoding.muxer else None
        self._container: OutputContainer | None = None
        self._tracks: Tracks | None = None
        self._tick = _UNITS.get(self._encoding.muxer) or Fraction(
            1, min(info.time_base.denominator, 10**9)
        )
        self._zero: Fraction | None = None
        self._held: tuple[VideoFrame, Fraction] | None = None
        self._interval = 1 / info.rate
        self._durations: dict[int, int] = {}

    def __enter__(self) -> Self:
        with self._guarded():
            # Made here, so that the media library finds a file of ours and follows no link of that name.
            safe_files.create(self._temporary).close()
            if not self._encoding.muxer:
                return self
            try:
                self._open(self._sound)
            except (UnlayerError, *WRITE_ERRORS) as error:
                if self._sound is None or (
                    isinstance(error, OSError)
                    and error.errno in (errno.EACCES, errno.ENOENT, errno.EROFS)
                ):
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
        """Add consecutive frames, ``(T, 3, H, W)`` in [0, 1] with absolute times; alpha: ``(T, 1, H, W)`` in [0, 1], opaque unless given.

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
                f"alpha {tuple(alpha.shape)} does not fit frames {tuple(frames.pixels.shape)} or a layer without alpha"
            )
        with self._guarded():
            for position, time in enumerate(frames.times):
                veil = None if alpha is None else alpha[position : position + 1]
                self._add(self._frame(frames.pixels[position : position + 1], veil), time)

    def abort(self) -> None:
        """Leave no file. Does nothing after a clean exit."""
        self._close()
        self._temporary.unlink(missing_ok=True)

    def _frame(self, pixels: torch.Tensor, alpha: torch.Tensor | None) -> VideoFrame:
        """``(1, 3, H, W)`` and ``(1, 1, H, W)`` as a frame that the encoder takes."""
        encoding = self._encoding
        pixels = pixels.detach().cpu()
        if self._colors.converted:
            pixels = to_display(pixels, self.info.color)
        if self._alpha:
            pixels = torch.cat(
                [
                    pixels,
                    torch.ones_like(pixels[:, :1]) if alpha is None else alpha.detach().to(pixels),
                ],
                dim=1,
            )
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
        """Take a frame; encode the one before, now that its duration is known."""
        if self._zero is None:
            self._zero = time
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
        assert self._zero is not None and self._tracks is not None
        frame.pts = round((time - self._zero) / self._tick)
        frame.time_base = self._tick
        self._durations[frame.pts] = max(
            1, round((time + self._interval - self._zero) / self._tick) - frame.pts
        )
        self._mux(self._tracks.video.encode(frame))

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        assert self._tracks is not None and self._container is not None
        for packet in packets:
            assert packet.pts is not None
            packet.duration = self._durations.pop(packet.pts, 0)
            packet.time_base = self._tracks.named(self._tick)
            self._tracks.mux_sound(until=packet.pts * self._tick)
            self._container.mux(packet)

    def _finish(self) -> None:
        if self._held is None:
            raise ValueError("no frame was written")
        if self._container is None:
            with self._temporary.open("r+b") as picture:
                picture.write(png_with_colors(_png(self._held[0]), self._meant, self._icc))
        else:
            assert self._tracks is not None
            self._encode(*self._held)
            self._mux(self._tracks.video.encode(None))
            self._tracks.mux_sound(until=None)
            self._container.close()
            self._container = None
            self._tracks.close()
            info = self.info
            if self._encoding.muxer in ("matroska", "webm") and not correct_matroska(
                self._temporary, self._tick, info.width, info.height, info.pixel_aspect
            ):
                self.warnings.append(
                    f"{self.path.name}: the pixels' shape of {info.pixel_aspect} could not be noted in the file"
                )
            if self._light and not write_light(self._temporary, self._encoding.muxer, info.color):
                self.warnings.append(
                    f"{self.path.name}: the mastering display's data could not be noted in the file"
                )
        with self._temporary.open("rb+") as file:
            os.fsync(file.fileno())
        self._temporary.replace(self.path)

    def _open(self, sound: SoundSpan | None) -> None:
        encoding, info = self._encoding, self.info
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
        video.width, video.height, video.pix_fmt = info.width, info.height, encoding.pixels
        context.sample_aspect_ratio = info.pixel_aspect
        context.time_base = video.time_base = self._tick
        context.color_primaries, context.color_trc, context.colorspace = self._colors.tags
        # Range 1 is limited and 2 is full.
        context.color_range = 1 if encoding.yuv else 2
        if info.scan.kind != "progressive":
            context.field_order = _FIELD_ORDERS.get(
                "" if info.scan.deinterlaced else info.scan.parity, 1
            )
        if self._light and encoding.muxer != "mov":
            video.metadata["title"] = RESERVED
        if self._label:
            container.metadata["timecode"] = self._label
        self._tracks = Tracks(container, video, encoding.muxer, self.warnings)
        if sound is not None:
            self._tracks.add_sound(sound)
        container.start_encoding()

    def _close(self) -> None:
        """Close files, whatever state they are in: what is in them is thrown away."""
        with contextlib.suppress(*WRITE_ERRORS):
            if self._container is not None:
                self._container.close()
        self._container = None
        if self._tracks is not None:
            self._tracks.close()

    def _warn(self, error: BaseException) -> None:
        self.warnings.append(sound_warning(self.info.path, error))

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn faults of the disk and the encoder into one line, and leave no file behind after any fault."""
        try:
            yield
        except UnlayerError:
            self.abort()
            raise
        except (av.FFmpegError, OSError, MemoryError) as error:
            with contextlib.suppress(OSError):
                self.abort()
            reason = " ".join(
                (getattr(error, "strerror", None) or str(error) or type(error).__name__).split()
            )
            full = getattr(error, "errno", 0) in DISK_FULL
            todo = "free some space there" if full else "check that it is writable"
            folder = printable(self.path.absolute().parent)
            raise UnlayerError(
                f"{folder}: {self.path.name} cannot be written ({reason}); {todo}, or choose another --out"
            ) from error
        except BaseException:
            self.abort()
            raise


def _planar(planes: list[NDArray[Any]], pixels: str, tags: tuple[int, int, int]) -> VideoFrame:
    """A frame of these planes, its lines as far apart as the library wants them."""
    frame = VideoFrame(planes[0].shape[1], planes[0].shape[0], pixels)
    # ProRes notes each frame's own tags, not the stream's.
    frame.color_primaries, frame.color_trc, frame.colorspace = tags
    frame.color_range = 1
    for plane, codes in zip(frame.planes, planes, strict=True):
        lines = np.zeros((plane.height, plane.line_size // codes.itemsize), codes.dtype)
        lines[:, : plane.width] = codes
        plane.update(lines.tobytes())
    return frame


def _png(frame: VideoFrame) -> bytes:
    """One frame as a PNG file."""
    context = av.CodecContext.create("png", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt, context.time_base = (
        frame.width,
        frame.height,
        frame.format.name,
        Fraction(1, 25),
    )
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
