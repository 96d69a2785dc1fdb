"""Read what cameras write into photographs (EXIF 2.32), and make it fit an upright layer.

The block is a small TIFF: directories of tags whose values lie anywhere in it. In a copy of it, the
orientation is set to upright, because layers are, and the thumbnail, which shows the mixture, is
left out. Where the picture lay on its side, its width and height change places. Everything else
stays where it is, as makers' notes count from the block's beginning.

A TIFF picture has the same tags in its own directories. They are collected into a new block.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stages.media.picture_metadata import (
    EXIF_MARKER,
    EXIF_PREFIX,
    JFIF_MARKER,
    JPEG_START,
    PNG_SIGNATURE,
    TIFF_ENTRY,
    TIFF_ORDERS,
    is_webp,
    jpeg_segments,
    png_chunks,
    webp_chunks,
)

MAX_EXIF = 65_000
"""Most bytes of an EXIF block: a JPEG has room for 65,533."""
_MAX_ENTRIES = 512
"""Most entries of a directory that are read."""
_MAX_DPI = 60_000.0
"""Most pixels per inch that are believed; a microscope's picture has up to 50,000."""
_ORIENTATION = 0x0112
_UPRIGHT = 1
_SIDEWAYS = range(5, 9)
"""Orientations of pictures whose rows are shown as columns."""
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_INCH, _CENTIMETRE = 2, 3
_JFIF_INCH, _JFIF_CENTIMETRE = 1, 2
_PNG_METRE = 1
_CM_PER_INCH = 2.54
EXIF_IFD, GPS_IFD, _INTEROPERABILITY_IFD = 0x8769, 0x8825, 0xA005
ACROSS_AND_DOWN = (
    (0x0100, 0x0101),  # ImageWidth, ImageLength
    (X_RESOLUTION, Y_RESOLUTION),
    (0xA002, 0xA003),  # PixelXDimension, PixelYDimension
    (0xA20E, 0xA20F),  # FocalPlaneXResolution, FocalPlaneYResolution
    (0x1001, 0x1002),  # RelatedImageWidth, RelatedImageLength
)
"""Tags of the two sides of a picture, which change places where it is turned by 90 degrees."""
DESCRIPTIVE = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
"""Tags of a TIFF's main directory that describe the photograph and not the file: description,
maker, model, software, date, artist, copyright."""
_UNIT_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Bytes of one value of each of TIFF's types."""
_WORD_SIZES = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8}
"""Bytes that are swapped together where the byte order changes; a rational has two words."""
_SHORT, _LONG, _RATIONAL = 3, 4, 5
"""TIFF's types of numbers of 16 bits, of 32 bits, and of fractions of two of these."""
_INLINE = 4
"""Bytes of a value up to which it stands in its entry. Larger ones have their place there."""
_VALUE = 8
"""Where in an entry the value or its place is."""
_PARTS_OF_AN_INCH = 1000  # the denominator with which a resolution is written
_FAULTS = (OSError, ValueError, struct.error, EOFError, MemoryError, IndexError)


@dataclass(frozen=True)
class ExifEntry:
    """One tag's values. kind: TIFF's type. count: how many values. data: them, little-endian."""

    kind: int
    count: int
    data: bytes


Directory = Mapping[int, ExifEntry]
"""Entries by their tags."""


def read_exif(path: Path) -> bytes | None:
    """Return the EXIF block of a JPEG, PNG, WebP or TIFF picture, upright and without thumbnail.

    ``None`` where there is none, or it is damaged or too large. Never raises.
    """
    with contextlib.suppress(*_FAULTS), path.open("rb") as file:
        head = file.read(16)
        if head[:4] in TIFF_ORDERS:
            return _block_of_tiff(file)
        block = _block_in(file, head)
        if block is not None and len(block) <= MAX_EXIF:
            return upright_block(block)
    return None


def read_dpi(path: Path) -> tuple[float, float] | None:
    """Return an upright picture's pixels per inch, across and down; ``None`` without any.

    Never raises.
    """
    dpi: tuple[float, float] | None = None
    with contextlib.suppress(*_FAULTS), path.open("rb") as file:
        head = file.read(16)
        if head.startswith(PNG_SIGNATURE):
            dpi = _png_dpi(file)
        elif head.startswith(JPEG_START):
            dpi = _jpeg_dpi(file)
        is_tiff = head[:4] in TIFF_ORDERS
        block = None if is_tiff else _block_in(file, head)
        view = file if is_tiff else io.BytesIO(block or b"")
        main = read_directory(view, *_start(view))
        dpi = dpi or _dpi_of(main)
        turned = main.get(_ORIENTATION)
        if dpi and turned and int.from_bytes(turned.data, "little") in _SIDEWAYS:
            dpi = dpi[::-1]
    return dpi


def _block_in(file: BinaryIO, head: bytes) -> bytes | None:
    """Return the block of a JPEG, PNG or WebP, as it is stored there."""
    if head.startswith(PNG_SIGNATURE):
        for kind, size in png_chunks(file):
            if kind == b"eXIf" and size <= MAX_EXIF:
                return file.read(size)
    elif head.startswith(JPEG_START):
        for marker, size in jpeg_segments(file):
            prefix = len(EXIF_PREFIX)
            if marker == EXIF_MARKER and size > prefix and file.read(prefix) == EXIF_PREFIX:
                return file.read(size - prefix)
    elif is_webp(head):
        for kind, size in webp_chunks(file):
            if kind == b"EXIF" and size <= MAX_EXIF:
                return file.read(size).removeprefix(EXIF_PREFIX)
    return None


def upright_block(block: bytes) -> bytes:
    """Return a block with the orientation upright and without its thumbnail's directory.

    The sides of a picture that lay on its side change places. Raises struct.error or ValueError
    where the block is damaged.
    """
    data = bytearray(block)
    order, place = _start(io.BytesIO(block))
    main = _entry_places(data, order, place)
    if _ORIENTATION in main:
        at = main[_ORIENTATION]
        (turned,) = struct.unpack_from(f"{order}H", data, at + _VALUE)
        # Type, count, value and padding.
        struct.pack_into(f"{order}HIHH", data, at + 2, _SHORT, 1, _UPRIGHT, 0)
        if turned in _SIDEWAYS:
            # A damaged inner directory is no reason to lose the rest.
            with contextlib.suppress(struct.error):
                _turn_sides(data, order, main)
    (count,) = struct.unpack_from(f"{order}H", data, place)
    # The place of the next directory, the thumbnail's, follows the entries.
    struct.pack_into(f"{order}I", data, place + 2 + TIFF_ENTRY * count, 0)
    return bytes(data)


def _entry_places(data: bytearray, order: str, place: int) -> dict[int, int]:
    """Return where each entry of the directory at ``place`` begins, by its tag."""
    (count,) = struct.unpack_from(f"{order}H", data, place)
    first = place + 2
    places = range(first, first + TIFF_ENTRY * count, TIFF_ENTRY)
    return {struct.unpack_from(f"{order}H", data, at)[0]: at for at in places}


def _turn_sides(data: bytearray, order: str, main: Mapping[int, int]) -> None:
    """Exchange width and height in the directories of a block.

    main: where the entries of the main directory are, by their tags.
    """
    levels = [main]
    for tag in (EXIF_IFD, _INTEROPERABILITY_IFD):
        if tag not in levels[-1]:
            break
        (place,) = struct.unpack_from(f"{order}I", data, levels[-1][tag] + _VALUE)
        levels.append(_entry_places(data, order, place))
    for places in levels:
        for pair in ACROSS_AND_DOWN:
            if all(tag in places for tag in pair):
                # Type, count, and the value or its place: all but the tag itself.
                across, down = (slice(places[tag] + 2, places[tag] + TIFF_ENTRY) for tag in pair)
                data[across], data[down] = data[down], data[across]


def _start(file: BinaryIO) -> tuple[str, int]:
    """Return a TIFF's byte order as in :mod:`struct`, and the place of its first directory."""
    file.seek(0)
    head = file.read(8)
    order = TIFF_ORDERS.get(head[:4])
    if order is None:
        raise ValueError("no TIFF")
    return order, int(struct.unpack(f"{order}I", head[4:])[0])


def read_directory(file: BinaryIO, order: str, place: int) -> dict[int, ExifEntry]:
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
        data = rows[at + _VALUE : at + _VALUE + size]
        if size > _INLINE:
            file.seek(struct.unpack_from(f"{order}I", rows, at + _VALUE)[0])
            data = file.read(size)
        if len(data) == size:
            directory[tag] = ExifEntry(kind, number, data if order == "<" else _swapped(data, kind))
    return directory


def _swapped(data: bytes, kind: int) -> bytes:
    """Return values in the other byte order."""
    size = _WORD_SIZES.get(kind, 1)
    return b"".join(data[at : at + size][::-1] for at in range(0, len(data), size))


def _block_of_tiff(file: BinaryIO) -> bytes | None:
    """Return a new block with the descriptive tags of a TIFF picture."""
    order, place = _start(file)
    main = read_directory(file, order, place)
    kept = {tag: entry for tag, entry in main.items() if tag in DESCRIPTIVE}
    parts = {}
    for tag in (EXIF_IFD, GPS_IFD):
        if tag in main and main[tag].kind == _LONG:
            part = read_directory(file, order, int.from_bytes(main[tag].data, "little"))
            part.pop(_INTEROPERABILITY_IFD, None)
            parts[tag] = part
    turned = main.get(_ORIENTATION)
    if turned and int.from_bytes(turned.data, "little") in _SIDEWAYS:
        parts = {tag: _with_sides_turned(part) for tag, part in parts.items()}
    if not kept and not any(parts.values()):
        return None
    start = b"II*\0" + struct.pack("<I", 8)
    block = start + directories(kept, parts, len(start))
    return block if len(block) <= MAX_EXIF else None


def _with_sides_turned(part: Directory) -> dict[int, ExifEntry]:
    """Return a directory in which width and height have changed places."""
    other = dict(pair for pair in ACROSS_AND_DOWN if all(tag in part for tag in pair))
    other |= {down: across for across, down in other.items()}
    return {other.get(tag, tag): entry for tag, entry in part.items()}


def parts_of(block: bytes) -> tuple[dict[int, ExifEntry], dict[int, dict[int, ExifEntry]]]:
    """Return the main directory of a block, and the directories that it leads to, by their tags.

    Raises struct.error or ValueError where the block is damaged.
    """
    file = io.BytesIO(block)
    order, place = _start(file)
    main = read_directory(file, order, place)
    parts = {}
    for tag in (EXIF_IFD, GPS_IFD):
        entry = main.pop(tag, None)
        if entry is not None and entry.kind == _LONG:
            parts[tag] = read_directory(file, order, int.from_bytes(entry.data, "little"))
            parts[tag].pop(_INTEROPERABILITY_IFD, None)
    return main, parts


def directories(main: Directory, parts: Mapping[int, Directory], at: int) -> bytes:
    """Return a main directory and those that it leads to, little-endian, for the place ``at``.

    parts: by the tags under which the main directory has their places.
    """
    everything = dict(main)
    for tag in parts:
        everything[tag] = ExifEntry(_LONG, 1, bytes(4))  # its place, which is not known yet
    after = at + len(_directory(everything, at))
    added = b""
    for tag, part in parts.items():
        everything[tag] = ExifEntry(_LONG, 1, struct.pack("<I", after + len(added)))
        added += _directory(part, after + len(added))
    return _directory(everything, at) + added


def _directory(entries: Directory, at: int) -> bytes:
    """Return one directory with its values behind it, for the place ``at``."""
    rows, values = b"", b""
    # The number of entries, the entries, and the place of the next directory come first.
    behind = at + 2 + TIFF_ENTRY * len(entries) + 4
    for tag in sorted(entries):
        entry = entries[tag]
        data = entry.data.ljust(_INLINE, b"\0")
        if len(data) > _INLINE:
            place = behind + len(values)
            values += data + bytes(len(data) % 2)  # values begin at even places
            data = struct.pack("<I", place)
        rows += struct.pack("<HHI", tag, entry.kind, entry.count) + data
    return struct.pack("<H", len(entries)) + rows + bytes(4) + values


def resolution_entries(dpi: tuple[float, float]) -> dict[int, ExifEntry]:
    """Return the three entries of a TIFF that say how many pixels an inch has."""
    across, down = (
        struct.pack("<II", round(value * _PARTS_OF_AN_INCH), _PARTS_OF_AN_INCH) for value in dpi
    )
    return {
        X_RESOLUTION: ExifEntry(_RATIONAL, 1, across),
        Y_RESOLUTION: ExifEntry(_RATIONAL, 1, down),
        RESOLUTION_UNIT: ExifEntry(_SHORT, 1, struct.pack("<H", _INCH)),
    }


def _dpi_of(main: Directory) -> tuple[float, float] | None:
    """Return the pixels per inch in a main directory, or ``None``."""
    unit = main.get(RESOLUTION_UNIT)
    factor = {_INCH: 1.0, _CENTIMETRE: _CM_PER_INCH}.get(
        _INCH if unit is None else int.from_bytes(unit.data, "little"), 0.0
    )
    values = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        if tag not in main or main[tag].kind != _RATIONAL:
            return None
        top, bottom = struct.unpack_from("<II", main[tag].data)
        values.append(factor * top / bottom if bottom else 0.0)
    return _checked(values[0], values[1])


def _png_dpi(file: BinaryIO) -> tuple[float, float] | None:
    """Return the resolution of the chunk pHYs, whose unit is the metre."""
    for kind, size in png_chunks(file):
        if kind == b"pHYs" and size == 9:
            across, down, unit = struct.unpack(">IIB", file.read(9))
            inch = 0.01 * _CM_PER_INCH
            return _checked(across * inch, down * inch) if unit == _PNG_METRE else None
    return None


def _jpeg_dpi(file: BinaryIO) -> tuple[float, float] | None:
    """Return the density in a JPEG's first segment, JFIF."""
    for marker, size in jpeg_segments(file):
        if marker == JFIF_MARKER and size >= 12 and file.read(5) == b"JFIF\0":
            unit, across, down = struct.unpack(">xxBHH", file.read(7))
            factor = {_JFIF_INCH: 1.0, _JFIF_CENTIMETRE: _CM_PER_INCH}.get(unit, 0.0)
            return _checked(factor * across, factor * down)
    return None


def _checked(across: float, down: float) -> tuple[float, float] | None:
    """Return a resolution that printers and screens can have, else ``None``."""
    return (across, down) if 1 <= across <= _MAX_DPI and 1 <= down <= _MAX_DPI else None
