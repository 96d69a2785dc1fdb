"""Write a layer of one frame as a picture file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame

from stages.media.clip import AudioSpan
from stages.media.color_tags import ColorTags
from stages.media.headers import png_with_colors

_RATE = Fraction(1, 25)  # the encoder wants a time base; a picture does not store it


class PictureFile:
    """A picture file that is being written.

    path: of the file, which exists and is empty. encoder: FFmpeg's name.
    color, icc: the meaning of the colours, and the RGB profile if there is one.
    """

    is_single = True

    def __init__(self, path: Path, encoder: str, color: ColorTags, icc: bytes | None) -> None:
        self._path = path
        self._encoder = encoder
        self._color = color
        self._icc = icc

    def begin(self, audio: AudioSpan | None) -> None:
        """Do nothing: a picture has no audio, and its file exists."""

    def add(self, frame: VideoFrame, time: int, duration: int) -> None:
        """Write the picture. It has no time."""
        picture = encode_picture(frame, self._encoder)
        with self._path.open("r+b") as file:
            file.write(png_with_colors(picture, self._color, self._icc))

    def finish(self) -> list[str]:
        """Return that everything was written."""
        return []

    def close(self) -> None:
        """Do nothing: no file is open."""


def encode_picture(frame: VideoFrame, encoder: str) -> bytes:
    """Return one frame as the bytes of a picture file. encoder: FFmpeg's name."""
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = frame.width, frame.height
    context.pix_fmt = frame.format.name
    context.time_base = _RATE
    frame.pts = 0
    frame.time_base = _RATE
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
