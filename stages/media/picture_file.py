"""Write a layer as a picture file, or as a folder of numbered picture files."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame

from stages import safe_files
from stages.media.clip import AudioSpan
from stages.media.color_tags import ColorTags
from stages.media.containers.base import Encoding
from stages.media.headers import png_with_colors
from stages.media.picture_headers import exr_with_colors, tiff_with_profile
from stages.media.tone import chromaticities

_RATE = Fraction(1, 25)  # the encoder wants a time base; a picture does not store it
PATTERN = "%06d"
"""The name of a sequence's picture file, without suffix: the frame's number in the input."""


class PictureFile:
    """A picture file that is being written.

    path: of the file, which exists and is empty. color, icc: the meaning of the colours, and the
    RGB profile if there is one.
    """

    is_single = True

    def __init__(self, path: Path, encoding: Encoding, color: ColorTags, icc: bytes | None) -> None:
        self._path = path
        self._encoding = encoding
        self._color = color
        self._icc = icc

    def begin(self, audio: AudioSpan | None) -> None:
        """Do nothing: a picture has no audio, and its file exists."""

    def add(self, frame: VideoFrame, time: int, duration: int) -> None:
        """Write the picture. It has no time."""
        with self._path.open("r+b") as file:
            file.write(_picture(frame, self._encoding, self._color, self._icc))

    def finish(self) -> list[str]:
        """Return that everything was written."""
        return []

    def close(self) -> None:
        """Do nothing: no file is open."""


class PictureSequence:
    """A folder of numbered picture files that is being written.

    folder: exists and is empty. first: the number of the first file.
    color, icc: as in :class:`PictureFile`.
    """

    is_single = False

    def __init__(
        self, folder: Path, encoding: Encoding, color: ColorTags, icc: bytes | None, first: int
    ) -> None:
        self._folder = folder
        self._encoding = encoding
        self._color = color
        self._icc = icc
        self._number = first

    def begin(self, audio: AudioSpan | None) -> None:
        """Do nothing: the folder exists, and the audio is written beside it."""

    def add(self, frame: VideoFrame, time: int, duration: int) -> None:
        """Write the next picture. It has no time."""
        suffix = self._encoding.container.file_type.suffix
        path = self._folder / f"{PATTERN % self._number}{suffix}"
        with safe_files.create(path) as file:
            file.write(_picture(frame, self._encoding, self._color, self._icc))
            file.flush()
            os.fsync(file.fileno())
        self._number += 1

    def finish(self) -> list[str]:
        """Return that everything was written."""
        return []

    def close(self) -> None:
        """Do nothing: no file is open."""


def _picture(frame: VideoFrame, encoding: Encoding, color: ColorTags, icc: bytes | None) -> bytes:
    """Return one frame as the bytes of a picture file, with what it can say about its colours."""
    encoder = encoding.container.encoder
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = frame.width, frame.height
    context.pix_fmt = frame.format.name
    context.time_base = _RATE
    context.options = dict(encoding.options)
    frame.pts = 0
    frame.time_base = _RATE
    picture = b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
    if encoder == "png":
        return png_with_colors(picture, color, icc)
    if encoder == "tiff":
        return picture if icc is None else tiff_with_profile(picture, icc)
    points = chromaticities(color.primaries)
    return picture if points is None else exr_with_colors(picture, points)
