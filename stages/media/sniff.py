"""Inspect a file before the media library opens it: its kind, its picture size, a missing end."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

from stages.errors import UnlayerError
from stages.media import ebml
from stages.media.picture_metadata import JPEG_START, PNG_SIGNATURE, TIFF_ORDERS, is_webp

# FFmpeg's demuxers of single pictures.
PICTURES = frozenset(
    {
        "png_pipe",
        "jpeg_pipe",
        "bmp_pipe",
        "tiff_pipe",
        "webp_pipe",
        "ppm_pipe",
        "pgm_pipe",
        "qoi_pipe",
        "exr_pipe",
        "dpx_pipe",
        "j2k_pipe",
        "jpegxl_pipe",
    }
)
# FFmpeg's demuxers that read one local file. Playlists (hls, dash, concat, imf), scripts, and
# image2, which takes a name for a pattern, are left out on purpose.
CONTAINERS = ",".join(
    [
        "mov",
        "mp4",
        "m4a",
        "3gp",
        "3g2",
        "mj2",
        "matroska",
        "webm",
        "avi",
        "flv",
        "mpegts",
        "mpeg",
        "mpegvideo",
        "asf",
        "ogg",
        "mxf",
        "nut",
        "rm",
        "dv",
        "ivf",
        "wtv",
        "h261",
        "h263",
        "h264",
        "hevc",
        "vvc",
        "obu",
        "av1",
        "m4v",
        "vc1",
        "cavsvideo",
        "mjpeg",
        "mjpeg_2000",
        "yuv4mpegpipe",
        "gif",
        "apng",
        *sorted(PICTURES),
        "wav",
        "w64",
        "mp3",
        "aac",
        "flac",
        "ac3",
        "eac3",
        "aiff",
        "amr",
        "caf",
    ]
)
_MAGIC = (
    (JPEG_START, "jpeg_pipe"),
    (b"BM", "bmp_pipe"),
    *((mark, "tiff_pipe") for mark in TIFF_ORDERS),
    (b"P5", "pgm_pipe"),
    (b"P6", "ppm_pipe"),
    (b"qoif", "qoi_pipe"),
    (b"v/1\x01", "exr_pipe"),
)
_HEAD = 4096  # bytes that tell a file's kind
_TRAILER_BYTES = 64  # at a GIF's end, among which its end mark is looked for
_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
"""A JPEG's markers before its pixels and after them."""
_GIF_END = b"\x3b"


def open_options(max_pixels: int) -> dict[str, str]:
    """Return the media library's options for opening a file.

    They allow local files of known containers, and nothing that such a file refers to.
    """
    return {
        "protocol_whitelist": "file",
        "format_whitelist": CONTAINERS,
        "max_pixels": str(max_pixels),
    }


class IndexEntry(Protocol):
    """A packet's position and size in its file, in bytes, from the container's index."""

    @property
    def pos(self) -> int: ...
    @property
    def size(self) -> int: ...


def printable(path: Path) -> str:
    """Return the path as text for a message of one line, with control characters escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in str(path)
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits.

    Raises :class:`UnlayerError` where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnlayerError(
            f"{printable(path)}: cannot be read ({error.strerror}); check its name and permissions"
        ) from error


def check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Raise :class:`UnlayerError` where ``width`` x ``height`` is more than ``max_pixels`` pixels.

    path: names the file in the message.
    """
    if width * height > max_pixels:
        raise UnlayerError(
            f"{printable(path)}: is {width}x{height}, more than the {max_pixels} pixels that are "
            "allowed; scale it down, or allow more",
            settings=("max_pixels",),
        )


def check_file(path: Path, max_pixels: int) -> str | None:
    """Return the demuxer for a picture file, or ``None`` for a file that needs probing.

    Raises :class:`UnlayerError` where the file is missing, empty or not a regular file, or is a PNG
    of more than ``max_pixels``.
    """
    name = printable(path)
    try:
        if path.is_dir():
            raise UnlayerError(
                f"{name}: is a folder; give one folder of numbered pictures alone, or files"
            )
        if not path.exists():
            raise UnlayerError(f"{name}: there is no such file; check the name")
        if not path.is_file():
            raise UnlayerError(f"{name}: is not a regular file; copy its content into a file first")
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UnlayerError(
            f"{name}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    except ValueError as error:
        raise UnlayerError(f"{name}: is not a possible file name; check the name") from error
    if not head:
        raise UnlayerError(f"{name}: is empty (0 bytes); get the file again")
    if head.startswith(PNG_SIGNATURE):
        width, height = struct.unpack(">II", head[16:24].ljust(8, b"\0"))
        check_size(path, width, height, max_pixels)
        return "apng" if b"acTL" in head else "png_pipe"
    if is_webp(head):
        return "webp_pipe"
    # A raw stream of JPEGs begins like a single JPEG.
    if path.suffix.lower() in {".mjpg", ".mjpeg"}:
        return None
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def why_unreadable(path: Path) -> str:
    """Return the likely reason why the media library cannot open a file, and what to do."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free"}:
        return (
            "its index is missing or damaged (a recording or download that was cut off?); "
            "get the whole file"
        )
    # Text has no control characters below the tabulator.
    if not set(head) & set(range(9)):
        return "it is text, and scripts or playlists are not followed; give the video itself"
    return "it is not a video or picture of a known kind, or it is damaged; convert it with FFmpeg"


def cut_short(path: Path, container: str, entries: Iterable[IndexEntry]) -> str | None:
    """Return what is missing if the file was cut off, judging by the container's own bookkeeping.

    Decoders do not notice a clean cut. container: the demuxer's name. entries: the container's
    index. Returns ``None`` for a whole file, and where nothing is known.
    """
    length = path.stat().st_size
    if container.startswith("mov,"):
        lost = sum(entry.pos + entry.size > length for entry in entries)
        return f"is cut off: {lost} of its frames lie after the end of the file" if lost else None
    with path.open("rb") as file:
        if container.startswith("matroska"):
            end = _segment_end(file)
            if end is not None and end > length:
                return "is cut off: its segment ends after the end of the file"
        elif container == "jpeg_pipe":
            data = file.read()
            scan = data.rfind(_SCAN)
            if data.rfind(_END_OF_IMAGE) < scan:
                return "is cut off: the picture's end is missing"
        elif container == "gif":
            file.seek(max(0, length - _TRAILER_BYTES))
            if _GIF_END not in file.read():
                return "is cut off: the animation's end is missing"
    return None


def _segment_end(file: BinaryIO) -> int | None:
    """Return where a Matroska file's segment declares its end; ``None`` where it does not."""
    if file.read(4) != ebml.identifier_bytes(ebml.HEADER):
        return None
    size = _ebml_size(file)
    if size is None:
        return None
    file.seek(size, os.SEEK_CUR)
    if file.read(4) != ebml.identifier_bytes(ebml.SEGMENT):
        return None
    size = _ebml_size(file)
    return None if size is None else file.tell() + size


def _ebml_size(file: BinaryIO) -> int | None:
    """Read an element's size, and leave the file at the element's content.

    Returns ``None`` where the size is unknown or missing.
    """
    begin = file.tell()
    number = file.read(ebml.MAX_NUMBER)
    if not number or not number[0]:
        return None
    length, size = ebml.read_size(number, 0)
    file.seek(begin + length)
    return None if ebml.is_unknown(size, length) else size
