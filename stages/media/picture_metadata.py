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

MAX_PROFILE = 4 << 20
"""Most bytes of an ICC profile. Printer profiles have up to 3 MB, display profiles a few kB."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's markers of a frame's header (ITU-T T.81, table B.1), which gives the picture's size."""
_MAX_ITEMS = 4096  # chunks, segments, boxes or tags that are read in one file
_HEADER = 128  # bytes of an ICC profile's header; the table of its tags follows
_MAX_PAGES = 1000  # of a TIFF, that are counted
_TIFF_PROFILE = 34675  # the tag "InterColorProfile"


def read_icc_profile(path: Path) -> bytes | None:
    """Return the ICC profile of a PNG, JPEG, TIFF, WebP or AVIF picture, or None.

    A profile counts as none if it is damaged, has more than :data:`MAX_PROFILE` bytes, or is not of
    RGB (our frames are RGB), or if the file cannot be read. Never raises.
    """
    profile = _find_profile(path)
    # Check the length, the colour space and the signature: a bad profile would spoil our outputs.
    if (
        profile is not None
        and len(profile) > _HEADER
        and (profile[16:20], profile[36:40]) == (b"RGB ", b"acsp")
    ):
        size = int.from_bytes(profile[:4], "big")
        return profile[:size] if _HEADER < size <= len(profile) else None
    return None


def has_foreign_profile(path: Path) -> bool:
    """Return whether a picture has an ICC profile that is not of RGB, but of CMYK or grey.

    Never raises.
    """
    profile = _find_profile(path)
    return profile is not None and profile[36:40] == b"acsp" and profile[16:20] != b"RGB "


def _find_profile(path: Path) -> bytes | None:
    """Return the bytes of a picture's profile, of any colour space, or None. Never raises."""
    with (
        contextlib.suppress(OSError, ValueError, struct.error, zlib.error, EOFError, MemoryError),
        path.open("rb") as file,
    ):
        return _profile_in(file)
    return None


def _profile_in(file: BinaryIO) -> bytes | None:
    head = file.read(16)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_profile(file)
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg_profile(file)
    if head[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_profile(file, "<" if head[:1] == b"I" else ">")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp_profile(file)
    if head[4:8] == b"ftyp":
        return _heif_profile(file)
    return None


def _png_profile(file: BinaryIO) -> bytes | None:
    """Inflate the chunk iCCP: a name, a zero, the compression method 0, a zlib stream."""
    for kind, size in png_chunks(file):
        if kind in (b"IDAT", b"IEND"):
            return None
        if kind == b"iCCP" and size <= MAX_PROFILE:
            _, _, packed = file.read(size).partition(b"\0")
            inflater = zlib.decompressobj()
            profile = inflater.decompress(packed[1:], MAX_PROFILE)
            return profile if inflater.eof else None
    return None


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the kind and the length of each chunk of a PNG.

    The file's position is then at the chunk's data.
    """
    place = 8
    for _ in range(_MAX_ITEMS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head)
        yield kind, size
        place += 12 + size


def _jpeg_profile(file: BinaryIO) -> bytes | None:
    """Join the APP2 segments that begin with ICC_PROFILE, in the order of their numbers from 1."""
    parts: dict[int, bytes] = {}
    count = 0
    for marker, size in jpeg_segments(file):
        if marker == 0xE2 and size >= 14:
            data = file.read(size)
            if data.startswith(b"ICC_PROFILE\0"):
                parts.setdefault(data[12], data[14:])
                count = data[13]
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
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xDA, 0xD9):
            return
        if head[1] == 0xFF:
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
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack(">II", head[16:24])
            return height, width
        if head.startswith(b"\xff\xd8"):
            for marker, _ in jpeg_segments(file):
                if marker in _JPEG_FRAMES:
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
    entries = file.read(12 * min(count, _MAX_ITEMS))
    for place in range(0, len(entries) - 11, 12):
        tag, _, size, offset = struct.unpack_from(order + "HHII", entries, place)
        if tag == _TIFF_PROFILE and size <= MAX_PROFILE:
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
    place = 12
    for _ in range(_MAX_ITEMS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        kind, size = struct.unpack("<4sI", head)
        yield kind, size
        place += 8 + size + size % 2


def _heif_profile(file: BinaryIO) -> bytes | None:
    """Read the first colour box (meta, iprp, ipco, colr) of an AVIF or HEIF that has a profile."""
    length = file.seek(0, os.SEEK_END)
    for meta, end in _boxes(file, 0, length, b"meta"):
        for properties, end_properties in _boxes(file, meta + 4, end, b"iprp"):
            for container, end_container in _boxes(file, properties, end_properties, b"ipco"):
                for color, end_color in _boxes(file, container, end_container, b"colr"):
                    file.seek(color)
                    if file.read(4) in (b"prof", b"rICC") and end_color - color - 4 <= MAX_PROFILE:
                        return file.read(end_color - color - 4)
    return None


def _boxes(file: BinaryIO, place: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Yield the begin and end of the content of each box of a kind, between two positions."""
    for _ in range(_MAX_ITEMS):
        if place + 8 > end:
            return
        file.seek(place)
        size, kind = struct.unpack(">I4s", file.read(8))
        begin = place + 8
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
            begin += 8
        after = end if size == 0 else place + size
        if after < begin or after > end:
            return
        if kind == wanted:
            yield begin, after
        place = after


def count_pages(path: Path) -> int:
    """Return how many pages a TIFF has, counted up to 1000; 1 for other files. Never raises."""
    with contextlib.suppress(OSError, struct.error), path.open("rb") as file:
        head = file.read(8)
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
        if order is None:
            return 1
        (place,) = struct.unpack(order + "I", head[4:])
        seen: set[int] = set()
        while place and place not in seen and len(seen) < _MAX_PAGES:
            seen.add(place)
            file.seek(place)
            (entries,) = struct.unpack(order + "H", file.read(2))
            file.seek(12 * entries, os.SEEK_CUR)
            (place,) = struct.unpack(order + "I", file.read(4))
        return max(1, len(seen))
    return 1
