"""Read and make directories of TIFF files, of which EXIF blocks consist, too (TIFF 6.0, section 2).

A directory is a number of entries, the entries, and the place of the next directory. An entry is a
tag, a type, a number of values, and the values or their place in the file. A directory may lead to
others: the values of some tags are the places of directories.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from stages.media.picture_metadata import TIFF_ENTRY, TIFF_ORDERS

MAX_EXIF = 65_000
"""Most bytes of an EXIF block, and of the values of one entry: a JPEG has room for 65,533."""
_MAX_ENTRIES = 512
"""Most entries of a directory that are read."""
EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD = 0x8769, 0x8825, 0xA005
"""The tags whose values are the places of directories."""
_UNIT_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Bytes of one value of each of TIFF's types."""
_WORD_SIZES = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8}
"""Bytes that are swapped together where the byte order changes; a rational has two words."""
SHORT, LONG, RATIONAL, UNDEFINED = 3, 4, 5, 7
"""TIFF's types of numbers of 16 and of 32 bits, of fractions of two such numbers, and of bytes."""
INLINE = 4
"""Bytes of a value up to which it stands in its entry. Larger ones have their place there."""
VALUE = 8
"""Where in an entry the value or its place is."""


@dataclass(frozen=True)
class TiffEntry:
    """One tag's values. kind: TIFF's type. count: how many values. data: them, little-endian."""

    kind: int
    count: int
    data: bytes


Directory = Mapping[int, TiffEntry]
"""Entries by their tags."""


def entry_places(data: bytes | bytearray, order: str, place: int) -> dict[int, int]:
    """Return where each entry of the directory at ``place`` begins, by its tag."""
    (count,) = struct.unpack_from(f"{order}H", data, place)
    first = place + 2
    places = range(first, first + TIFF_ENTRY * count, TIFF_ENTRY)
    return {struct.unpack_from(f"{order}H", data, at)[0]: at for at in places}


def first_directory(file: BinaryIO) -> tuple[str, int]:
    """Return a TIFF's byte order as in :mod:`struct`, and the place of its first directory."""
    file.seek(0)
    head = file.read(8)
    order = TIFF_ORDERS.get(head[:4])
    if order is None:
        raise ValueError("no TIFF")
    return order, int(struct.unpack(f"{order}I", head[4:])[0])


def read_directory(file: BinaryIO, order: str, place: int) -> dict[int, TiffEntry]:
    """Return a directory's entries by their tags; values that are too large are left out.

    order: the byte order as in :mod:`struct`. Raises struct.error where the directory is damaged.
    """
    file.seek(place)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    rows = file.read(TIFF_ENTRY * min(count, _MAX_ENTRIES))
    directory = {}
    for at in range(0, len(rows) - TIFF_ENTRY + 1, TIFF_ENTRY):
        tag, kind, number = struct.unpack_from(f"{order}HHI", rows, at)
        size = _UNIT_SIZES.get(kind, 0) * number
        if not 0 < size <= MAX_EXIF:
            continue
        data = rows[at + VALUE : at + VALUE + size]
        if size > INLINE:
            file.seek(struct.unpack_from(f"{order}I", rows, at + VALUE)[0])
            data = file.read(size)
        if len(data) == size:
            directory[tag] = TiffEntry(kind, number, data if order == "<" else _swapped(data, kind))
    return directory


def _swapped(data: bytes, kind: int) -> bytes:
    """Return values in the other byte order."""
    size = _WORD_SIZES.get(kind, 1)
    return b"".join(data[at : at + size][::-1] for at in range(0, len(data), size))


def read_directories(block: bytes) -> tuple[dict[int, TiffEntry], dict[int, dict[int, TiffEntry]]]:
    """Return the main directory of a block, and the directories that it leads to, by their tags.

    Raises struct.error or ValueError where the block is damaged.
    """
    file = io.BytesIO(block)
    order, place = first_directory(file)
    main = read_directory(file, order, place)
    parts = {}
    for tag in (EXIF_IFD, GPS_IFD):
        entry = main.pop(tag, None)
        if entry is not None and entry.kind == LONG:
            parts[tag] = read_directory(file, order, int.from_bytes(entry.data, "little"))
            parts[tag].pop(INTEROPERABILITY_IFD, None)
    return main, parts


def packed_directories(main: Directory, parts: Mapping[int, Directory], at: int) -> bytes:
    """Return a main directory and those that it leads to, little-endian, for the place ``at``.

    parts: by the tags under which the main directory has their places.
    """
    everything = dict(main)
    for tag in parts:
        everything[tag] = TiffEntry(LONG, 1, bytes(4))  # its place, which is not known yet
    after = at + len(_packed_directory(everything, at))
    added = b""
    for tag, part in parts.items():
        everything[tag] = TiffEntry(LONG, 1, struct.pack("<I", after + len(added)))
        added += _packed_directory(part, after + len(added))
    return _packed_directory(everything, at) + added


def _packed_directory(entries: Directory, at: int) -> bytes:
    """Return one directory with its values behind it, for the place ``at``."""
    rows, values = b"", b""
    # The number of entries, the entries, and the place of the next directory come first.
    behind = at + 2 + TIFF_ENTRY * len(entries) + 4
    for tag in sorted(entries):
        entry = entries[tag]
        data = entry.data.ljust(INLINE, b"\0")
        if len(data) > INLINE:
            place = behind + len(values)
            values += data + bytes(len(data) % 2)  # values begin at even places
            data = struct.pack("<I", place)
        rows += struct.pack("<HHI", tag, entry.kind, entry.count) + data
    return struct.pack("<H", len(entries)) + rows + bytes(4) + values
