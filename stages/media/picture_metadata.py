"""Read metadata of picture files with our own bounded parsing.

Pictures are untrusted. Some profiles crash the media library, and a compressed chunk of a few
kilobytes may unpack to gigabytes. So this module reads only the few bytes that matter, within
limits.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from stages.media.mp4_boxes import FULL_BOX_HEAD, boxes

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
"""The marker of a JPEG's start, and the first byte of the next marker."""
TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
"""The byte order of a TIFF as in :mod:`struct`, by the file's first four bytes."""
TIFF_ENTRY = 12
"""Bytes of an entry in a TIFF's directory: tag, type, count, and the value or its place."""
EXIF_MARKER, JFIF_MARKER = 0xE1, 0xE0
"""JPEG's markers APP1 and APP0."""
EXIF_PREFIX = b"Exif\0\0"
"""What an EXIF block begins with in a JPEG, and in some WebP."""
PROFILE_MARKER, PROFILE_NAME = 0xE2, b"ICC_PROFILE\0"
"""The marker APP2 and the name of a segment with a part of a profile. The part's number and the
number of parts follow, with a byte for each."""
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_FILL = 0xFF
"""The byte that begins a marker, and that may be repeated before it."""
MAX_PROFILE = 4 << 20
"""Most bytes of an ICC profile. Printer profiles have up to 3 MB, display profiles a few kB."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's markers of a frame's header (ITU-T T.81, table B.1), which gives the picture's size."""
_MAX_ITEMS = 4096  # chunks, segments or tags that are read in one file
_HEADER = 128  # bytes of an ICC profile's header; the table of its tags follows
CHUNK_HEAD = 8  # bytes of a chunk's length and kind, in a PNG and in a WebP
CHUNK_CHECKSUM = 4  # bytes after the content of a PNG's chunk
_RIFF_HEAD = 12  # bytes of a WebP's first chunk before the chunks inside it
_MAX_PAGES = 1000  # of a TIFF, that are counted
TIFF_PROFILE = 34675
"""TIFF's tag of an ICC profile (InterColorProfile)."""


def read_icc_profile(path: Path) -> bytes | None:
    """Return the ICC profile of a PNG, JPEG, TIFF, WebP or AVIF picture, or None.

    A profile counts as none if it is damaged, has more than :data:`MAX_PROFILE` bytes, or is not of
    RGB (our frames are RGB), or if the file cannot be read. Never raises.
    """
    profile = _find_profile(path)
    # Check the length, the colour space and the signature: a bad profile would spoil our outputs.
    if profile is None or len(profile) <= _HEADER:
        return None
    if not _is_profile(profile) or not _is_of_rgb(profile):
        return None
    size = int.from_bytes(profile[:4], "big")
    return profile[:size] if _HEADER < size <= len(profile) else None


def has_foreign_profile(path: Path) -> bool:
    """Return whether a picture has an ICC profile that is not of RGB, but of CMYK or grey.

    Never raises.
    """
    profile = _find_profile(path)
    return profile is not None and _is_profile(profile) and not _is_of_rgb(profile)


def _is_profile(data: bytes) -> bool:
    """Return whether data has the signature of ICC profiles (ICC.1:2022, 7.2)."""
    return data[36:40] == b"acsp"


def _is_of_rgb(profile: bytes) -> bool:
    """Return whether a profile's device colours are RGB (ICC.1:2022, 7.2.6)."""
    return profile[16:20] == b"RGB "


def _find_profile(path: Path) -> bytes | None:
    """Return the bytes of a picture's profile, of any colour space, or None. Never raises."""
    with (
        contextlib.suppress(OSError, ValueError, struct.error, zlib.error, EOFError, MemoryError),
        path.open("rb") as file,
    ):
        return _profile_in(file)
    return None


def is_webp(head: bytes) -> bool:
    """Return whether a file that begins with ``head``, of 12 bytes or more, is a WebP."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _profile_in(file: BinaryIO) -> bytes | None:
    """Return the profile's bytes, by the kind of the file. Raises where the file is damaged."""
    head = file.read(16)
    if head.startswith(PNG_SIGNATURE):
        return _png_profile(file)
    if head.startswith(JPEG_START):
        return _jpeg_profile(file)
    if order := TIFF_ORDERS.get(head[:4]):
        return _tiff_profile(file, order)
    if is_webp(head):
        return _webp_profile(file)
    if head[4:8] == b"ftyp":
        return _heif_profile(file)
    return None


def _png_profile(file: BinaryIO) -> bytes | None:
    """Inflate the chunk iCCP: a name, a zero, a byte for the compression, a zlib stream."""
    for kind, size in png_chunks(file):
        if kind in (b"IDAT", b"IEND"):
            return None
        if kind == b"iCCP" and size <= MAX_PROFILE:
            _name, _, packed = file.read(size).partition(b"\0")
            inflater = zlib.decompressobj()
            profile = inflater.decompress(packed[1:], MAX_PROFILE)
            return profile if inflater.eof else None
    return None


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the kind and the length of each chunk of a PNG.

    The file's position is then at the chunk's data.
    """
    place = len(PNG_SIGNATURE)
    for _ in range(_MAX_ITEMS):
        file.seek(place)
        head = file.read(CHUNK_HEAD)
        if len(head) < CHUNK_HEAD:
            return
        size, kind = struct.unpack(">I4s", head)
        yield kind, size
        place += CHUNK_HEAD + size + CHUNK_CHECKSUM


def _jpeg_profile(file: BinaryIO) -> bytes | None:
    """Join the parts of a profile, in the order of their numbers from 1."""
    parts: dict[int, bytes] = {}
    count = 0
    for marker, size in jpeg_segments(file):
        if marker == PROFILE_MARKER and size >= len(PROFILE_NAME) + 2:
            data = file.read(size)
            if data.startswith(PROFILE_NAME):
                content = len(PROFILE_NAME) + 2
                number, count = data[len(PROFILE_NAME) : content]
                parts.setdefault(number, data[content:])
    if (
        not count
        or set(parts) != set(range(1, count + 1))
        or sum(map(len, parts.values())) > MAX_PROFILE
    ):
        return None
    return b"".join(parts[number] for number in range(1, count + 1))


def jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield the marker and the length of each segment of a JPEG before its first scan.

    The file's position is then at the segment's data.
    """
    place = 2
    for _ in range(_MAX_ITEMS):
        file.seek(place)
        head = file.read(4)
        # Stop at the first scan: everything that describes the picture comes before it.
        if len(head) < 4 or head[0] != _FILL or head[1] in (_START_OF_SCAN, _END_OF_IMAGE):
            return
        if head[1] == _FILL:
            place += 1
            continue
        size = int.from_bytes(head[2:], "big")
        if size < 2:
            return
        yield head[1], size - 2
        place += 2 + size


def stored_size(path: Path) -> tuple[int, int] | None:
    """Return the height and width that the header of a PNG or JPEG gives; not turned upright.

    ``None`` for any other file, and where the header is damaged.
    """
    with contextlib.suppress(OSError, struct.error), path.open("rb") as file:
        head = file.read(24)
        if head.startswith(PNG_SIGNATURE):
            # The first chunk, IHDR, begins with both sides.
            width, height = struct.unpack(">II", head[16:24])
            return height, width
        if head.startswith(JPEG_START):
            for marker, _ in jpeg_segments(file):
                if marker in _JPEG_FRAMES:
                    # A byte for the bits of a value comes first.
                    height, width = struct.unpack(">xHH", file.read(5))
                    return height, width
    return None


def _tiff_profile(file: BinaryIO, order: str) -> bytes | None:
    """Read the profile's tag in the first directory.

    order: the byte order as in :mod:`struct`, ``<`` or ``>``.
    """
    file.seek(4)
    file.seek(struct.unpack(order + "I", file.read(4))[0])
    count = struct.unpack(order + "H", file.read(2))[0]
    entries = file.read(TIFF_ENTRY * min(count, _MAX_ITEMS))
    for place in range(0, len(entries) - TIFF_ENTRY + 1, TIFF_ENTRY):
        tag, _, size, offset = struct.unpack_from(order + "HHII", entries, place)
        if tag == TIFF_PROFILE and size <= MAX_PROFILE:
            file.seek(offset)
            return file.read(size)
    return None


def _webp_profile(file: BinaryIO) -> bytes | None:
    """Read the RIFF chunk ICCP."""
    for kind, size in webp_chunks(file):
        if kind == b"ICCP":
            return file.read(size) if size <= MAX_PROFILE else None
    return None


def webp_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the kind and the length of each chunk of a WebP, as :func:`png_chunks` does."""
    place = _RIFF_HEAD
    for _ in range(_MAX_ITEMS):
        file.seek(place)
        head = file.read(CHUNK_HEAD)
        if len(head) < CHUNK_HEAD:
            return
        kind, size = struct.unpack("<4sI", head)
        yield kind, size
        place += CHUNK_HEAD + size + size % 2  # chunks begin at even places


def _heif_profile(file: BinaryIO) -> bytes | None:
    """Read the first colour box (meta, iprp, ipco, colr) of an AVIF or HEIF that has a profile."""
    length = file.seek(0, os.SEEK_END)
    for meta, end in _boxes(file, 0, length, b"meta"):
        for properties, end_properties in _boxes(file, meta + FULL_BOX_HEAD, end, b"iprp"):
            for container, end_container in _boxes(file, properties, end_properties, b"ipco"):
                for color, end_color in _boxes(file, container, end_container, b"colr"):
                    file.seek(color)
                    kind, size = file.read(4), end_color - color - 4
                    if kind in (b"prof", b"rICC") and size <= MAX_PROFILE:
                        return file.read(size)
    return None


def _boxes(file: BinaryIO, place: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Yield the begin and end of the content of each box of a kind, between two positions."""
    for kind, begin, after in boxes(file, place, end):
        if kind == wanted:
            yield begin, after


def count_pages(path: Path) -> int:
    """Return how many pages a TIFF has, up to :data:`_MAX_PAGES`; 1 for others. Never raises."""
    with contextlib.suppress(OSError, struct.error), path.open("rb") as file:
        head = file.read(8)
        order = TIFF_ORDERS.get(head[:4])
        if order is None:
            return 1
        (place,) = struct.unpack(order + "I", head[4:])
        seen: set[int] = set()
        while place and place not in seen and len(seen) < _MAX_PAGES:
            seen.add(place)
            file.seek(place)
            (entries,) = struct.unpack(order + "H", file.read(2))
            file.seek(TIFF_ENTRY * entries, os.SEEK_CUR)
            (place,) = struct.unpack(order + "I", file.read(4))
        return max(1, len(seen))
    return 1
