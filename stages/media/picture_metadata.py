"""Metadata of picture files, read by bounded parsing of our own: nothing here can crash or fill the memory.

Pictures come from strangers. The media library dies of some profiles, and a compressed chunk of a few
kilobytes may claim gigabytes, so the few bytes that matter are taken out here in steps with limits.
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
"""The most bytes of an ICC profile: the largest of printers have about 3 MB, those of screens a few kB."""
_MAX_ITEMS = 4096  # chunks, segments, boxes or tags that are looked at in one file
_HEADER = 128  # bytes of an ICC profile's header, which ends with the table of its tags
_TIFF_PROFILE = 34675  # the tag "InterColorProfile"


def read_icc_profile(path: Path) -> bytes | None:
    """Return the ICC profile of a PNG, JPEG, TIFF, WebP or AVIF picture, or None where there is none.

    path: the picture's file. A profile that is damaged, of more than :data:`MAX_PROFILE` bytes, not of RGB (our
    frames are RGB), or in a file that cannot be read counts as none. Never raises.
    """
    profile = _find_profile(path)
    # The header tells the length, the kind of colours and a signature: anything else would spoil our outputs.
    if (
        profile is not None
        and len(profile) > _HEADER
        and (profile[16:20], profile[36:40]) == (b"RGB ", b"acsp")
    ):
        size = int.from_bytes(profile[:4], "big")
        return profile[:size] if _HEADER < size <= len(profile) else None
    return None


def has_foreign_profile(path: Path) -> bool:
    """Return whether a picture has a whole ICC profile that is not of RGB, as of printing inks or of grey. Never raises."""
    profile = _find_profile(path)
    return profile is not None and profile[36:40] == b"acsp" and profile[16:20] != b"RGB "


def _find_profile(path: Path) -> bytes | None:
    """Return the bytes of a picture's profile, of whatever colours, or None. Never raises."""
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
    """Inflate the chunk iCCP: a name, a zero, the method zero, a zlib stream."""
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
    """Yield the kind and the length of each of a PNG's chunks; the file then stands at the chunk's data."""
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
    """Join the segments APP2 that begin with ICC_PROFILE, by their numbers from 1."""
    parts: dict[int, bytes] = {}
    count = 0
    place = 2
    for _ in range(_MAX_ITEMS):
        file.seek(place)
        head = file.read(4)
        # Scans follow: whatever describes the picture comes before them.
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xDA, 0xD9):
            break
        size = int.from_bytes(head[2:], "big")
        if head[1] == 0xFF:
            place += 1
            continue
        if head[1] == 0xE2 and size >= 16:
            data = file.read(size - 2)
            if data.startswith(b"ICC_PROFILE\0"):
                parts.setdefault(data[12], data[14:])
                count = data[13]
        place += 2 + size
    if (
        not count
        or set(parts) != set(range(1, count + 1))
        or sum(map(len, parts.values())) > MAX_PROFILE
    ):
        return None
    return b"".join(parts[number] for number in range(1, count + 1))


def _tiff_profile(file: BinaryIO, order: str) -> bytes | None:
    """Read the tag of the first directory."""
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
    place = 12
    for _ in range(_MAX_ITEMS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return None
        kind, size = struct.unpack("<4sI", head)
        if kind == b"ICCP":
            return file.read(size) if size <= MAX_PROFILE else None
        place += 8 + size + size % 2
    return None


def _heif_profile(file: BinaryIO) -> bytes | None:
    """Read the first colour box (meta, iprp, ipco, colr) of an AVIF or HEIF picture that holds a profile."""
    length = file.seek(0, os.SEEK_END)
    for meta, end in _boxes(file, 0, length, b"meta"):
        for properties, end_properties in _boxes(file, meta + 4, end, b"iprp"):
            for container, end_container in _boxes(file, properties, end_properties, b"ipco"):
                for colour, end_colour in _boxes(file, container, end_container, b"colr"):
                    file.seek(colour)
                    if (
                        file.read(4) in (b"prof", b"rICC")
                        and end_colour - colour - 4 <= MAX_PROFILE
                    ):
                        return file.read(end_colour - colour - 4)
    return None


def _boxes(file: BinaryIO, place: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the content of each box of a kind begins and ends, between two places of a file."""
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
    """Return how many pages a TIFF file has, as far as 1000; 1 for any other file. Never raises."""
    with contextlib.suppress(OSError, struct.error), path.open("rb") as file:
        head = file.read(8)
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
        if order is None:
            return 1
        (place,) = struct.unpack(order + "I", head[4:])
        seen: set[int] = set()
        while place and place not in seen and len(seen) < 1000:
            seen.add(place)
            file.seek(place)
            (entries,) = struct.unpack(order + "H", file.read(2))
            file.seek(12 * entries, os.SEEK_CUR)
            (place,) = struct.unpack(order + "I", file.read(4))
        return max(1, len(seen))
    return 1
