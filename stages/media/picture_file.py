"""Write a layer as a picture file, or as a folder of numbered picture files."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

from stages.media.clip import ClipInfo, SourceSpan
from stages.media.color_tags import BT709, SRGB, UNSPECIFIED
from stages.media.containers.base import Encoding
from stages.media.picture_headers import (
    PictureLabels,
    exr_with_colors,
    jpeg_with_labels,
    png_with_labels,
    tiff_with_labels,
)
from stages.media.tone import chromaticities
from stages.storage import safe_files

_RATE = Fraction(1, 25)  # the encoder wants a time base; a picture does not store it
PATTERN = "%06d"
"""The name of a sequence's picture file, without suffix: the frame's number in the input."""
JPEG_QUALITY = 95
"""The quality of JPEG pictures, of 100. Colours have the full size."""


class PictureFile:
    """A picture file that is being written.

    path: of the file, which exists and is empty.
    """

    is_single = True

    def __init__(self, path: Path, encoding: Encoding, labels: PictureLabels) -> None:
        self._path = path
        self._encoding = encoding
        self._labels = labels

    def begin(self, source: SourceSpan | None) -> None:
        """Do nothing: a picture has no audio, and its file exists."""

    def add(self, frame: VideoFrame, time: int, duration: int) -> None:
        """Write the picture. It has no time."""
        with self._path.open("r+b") as file:
            file.write(_picture(frame, self._encoding, self._labels))

    def finish(self) -> list[str]:
        """Return that everything was written."""
        return []

    def close(self) -> None:
        """Do nothing: no file is open."""


class PictureSequence:
    """A folder of numbered picture files that is being written.

    folder: exists and is empty. first: the number of the first file.
    """

    is_single = False

    def __init__(self, folder: Path, encoding: Encoding, labels: PictureLabels, first: int) -> None:
        self._folder = folder
        self._encoding = encoding
        self._labels = labels
        self._number = first

    def begin(self, source: SourceSpan | None) -> None:
        """Do nothing: the folder exists, and the audio is written beside it."""

    def add(self, frame: VideoFrame, time: int, duration: int) -> None:
        """Write the next picture. It has no time."""
        suffix = self._encoding.container.file_type.suffix
        path = self._folder / f"{PATTERN % self._number}{suffix}"
        with safe_files.create(path) as file:
            file.write(_picture(frame, self._encoding, self._labels))
            file.flush()
            os.fsync(file.fileno())
        self._number += 1

    def finish(self) -> list[str]:
        """Return that everything was written."""
        return []

    def close(self) -> None:
        """Do nothing: no file is open."""


def _picture(frame: VideoFrame, encoding: Encoding, labels: PictureLabels) -> bytes:
    """Return one frame as the bytes of a picture file, with those labels that it can hold."""
    encoder = encoding.container.encoder
    if encoder == "mjpeg":
        return jpeg_with_labels(_jpeg(frame), labels)
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
        return png_with_labels(picture, labels)
    if encoder == "tiff":
        return tiff_with_labels(picture, labels)
    points = chromaticities(labels.color.primaries)
    return picture if points is None else exr_with_colors(picture, points)


def _jpeg(frame: VideoFrame) -> bytes:
    """Return an RGB frame as a JPEG. FFmpeg's encoder knows no RGB and has another range."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    bgr = np.ascontiguousarray(frame.to_ndarray(format="rgb24")[..., ::-1], np.uint8)
    try:
        done, data = cv2.imencode(".jpg", bgr, options)
    except cv2.error:
        done = False
    if not done:
        raise OSError(f"a JPEG cannot have {frame.width}x{frame.height} pixels")
    return data.tobytes()


def lost_labels_warnings(info: ClipInfo, encoding: Encoding, labels: PictureLabels) -> list[str]:
    """Return sentences about what picture files cannot say about the pictures of a clip."""
    warnings = []
    color, file_type = labels.color, encoding.container.file_type
    title = encoding.container.title
    if info.pixel_aspect != 1 and encoding.sequence:
        warnings.append(f"{title} files do not keep the pixel aspect ratio of {info.pixel_aspect}")
    is_usual = color.primaries in (BT709, UNSPECIFIED) and color.transfer in (
        BT709,
        UNSPECIFIED,
        SRGB,
    )
    is_photograph = labels.exif is not None or labels.dpi is not None
    if is_photograph and not file_type.photo_labels:
        warnings.append(f"{title} files do not keep the EXIF data and the resolution")
    says_colors = file_type.colors or labels.icc is not None
    if not says_colors and not is_usual:
        warnings.append(
            f"{title} files cannot say that their colours are {color.describe()}; set it in "
            "the program that reads them"
        )
    return warnings
