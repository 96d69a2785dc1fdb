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
from stages.media.tiff_directories import (
    EXIF_IFD,
    GPS_IFD,
    INTEROPERABILITY_IFD,
    LONG,
    MAX_EXIF,
    RATIONAL,
    SHORT,
    VALUE,
    Directory,
    TiffEntry,
    entry_places,
    first_directory,
    packed_directories,
    read_directory,
)

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
_PARTS_OF_AN_INCH = 1000  # the denominator with which a resolution is written
_FAULTS = (OSError, ValueError, struct.error, EOFError, MemoryError, IndexError)


def read_exif(path: Path) -> bytes | None:
    """Return the EXIF block of a JPEG, PNG, WebP or TIFF picture, upright and without thumbnail.

    ``None`` where there is none, or it is damaged or too large. Never raises.
    """
    with contextlib.suppress(*_FAULTS), path.open("rb") as file:
        head = file.read(16)
        if head[:4] in TIFF_ORDERS:
            return _block_of_tiff(file)
        block = _stored_block(file, head)
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
        block = None if is_tiff else _stored_block(file, head)
        view = file if is_tiff else io.BytesIO(block or b"")
        main = read_directory(view, *first_directory(view))
        dpi = dpi or _dpi_of(main)
        turned = main.get(_ORIENTATION)
        if dpi and turned and int.from_bytes(turned.data, "little") in _SIDEWAYS:
            dpi = dpi[::-1]
    return dpi


def _stored_block(file: BinaryIO, head: bytes) -> bytes | None:
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
    order, place = first_directory(io.BytesIO(block))
    main = entry_places(data, order, place)
    if _ORIENTATION in main:
        at = main[_ORIENTATION]
        (turned,) = struct.unpack_from(f"{order}H", data, at + VALUE)
        # Type, count, value and padding.
        struct.pack_into(f"{order}HIHH", data, at + 2, SHORT, 1, _UPRIGHT, 0)
        if turned in _SIDEWAYS:
            # A damaged inner directory is no reason to lose the rest.
            with contextlib.suppress(struct.error):
                _turn_sides(data, order, main)
    (count,) = struct.unpack_from(f"{order}H", data, place)
    # The place of the next directory, the thumbnail's, follows the entries.
    struct.pack_into(f"{order}I", data, place + 2 + TIFF_ENTRY * count, 0)
    return bytes(data)


def _turn_sides(data: bytearray, order: str, main: Mapping[int, int]) -> None:
    """Exchange width and height in the directories of a block.

    main: where the entries of the main directory are, by their tags.
    """
    levels = [main]
    for tag in (EXIF_IFD, INTEROPERABILITY_IFD):
        if tag not in levels[-1]:
            break
        (place,) = struct.unpack_from(f"{order}I", data, levels[-1][tag] + VALUE)
        levels.append(entry_places(data, order, place))
    for places in levels:
        for pair in ACROSS_AND_DOWN:
            if all(tag in places for tag in pair):
                # Type, count, and the value or its place: all but the tag itself.
                across, down = (slice(places[tag] + 2, places[tag] + TIFF_ENTRY) for tag in pair)
                data[across], data[down] = data[down], data[across]


def _block_of_tiff(file: BinaryIO) -> bytes | None:
    """Return a new block with the descriptive tags of a TIFF picture."""
    order, place = first_directory(file)
    main = read_directory(file, order, place)
    kept = {tag: entry for tag, entry in main.items() if tag in DESCRIPTIVE}
    parts = {}
    for tag in (EXIF_IFD, GPS_IFD):
        if tag in main and main[tag].kind == LONG:
            part = read_directory(file, order, int.from_bytes(main[tag].data, "little"))
            part.pop(INTEROPERABILITY_IFD, None)
            parts[tag] = part
    turned = main.get(_ORIENTATION)
    if turned and int.from_bytes(turned.data, "little") in _SIDEWAYS:
        parts = {tag: _with_sides_turned(part) for tag, part in parts.items()}
    if not kept and not any(parts.values()):
        return None
    start = b"II*\0" + struct.pack("<I", 8)
    block = start + packed_directories(kept, parts, len(start))
    return block if len(block) <= MAX_EXIF else None


def _with_sides_turned(part: Directory) -> dict[int, TiffEntry]:
    """Return a directory in which width and height have changed places."""
    other = dict(pair for pair in ACROSS_AND_DOWN if all(tag in part for tag in pair))
    other |= {down: across for across, down in other.items()}
    return {other.get(tag, tag): entry for tag, entry in part.items()}


def resolution_entries(dpi: tuple[float, float]) -> dict[int, TiffEntry]:
    """Return the three entries of a TIFF that say how many pixels an inch has."""
    across, down = (
        struct.pack("<II", round(value * _PARTS_OF_AN_INCH), _PARTS_OF_AN_INCH) for value in dpi
    )
    return {
        X_RESOLUTION: TiffEntry(RATIONAL, 1, across),
        Y_RESOLUTION: TiffEntry(RATIONAL, 1, down),
        RESOLUTION_UNIT: TiffEntry(SHORT, 1, struct.pack("<H", _INCH)),
    }


def _dpi_of(main: Directory) -> tuple[float, float] | None:
    """Return the pixels per inch in a main directory, or ``None``."""
    unit = main.get(RESOLUTION_UNIT)
    factor = {_INCH: 1.0, _CENTIMETRE: _CM_PER_INCH}.get(
        _INCH if unit is None else int.from_bytes(unit.data, "little"), 0.0
    )
    values = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        if tag not in main or main[tag].kind != RATIONAL:
            return None
        top, bottom = struct.unpack_from("<II", main[tag].data)
        values.append(factor * top / bottom if bottom else 0.0)
    return _possible_dpi(values[0], values[1])


def _png_dpi(file: BinaryIO) -> tuple[float, float] | None:
    """Return the resolution of the chunk pHYs, whose unit is the metre."""
    for kind, size in png_chunks(file):
        if kind == b"pHYs" and size == 9:
            across, down, unit = struct.unpack(">IIB", file.read(9))
            inch = 0.01 * _CM_PER_INCH
            return _possible_dpi(across * inch, down * inch) if unit == _PNG_METRE else None
    return None


def _jpeg_dpi(file: BinaryIO) -> tuple[float, float] | None:
    """Return the density in a JPEG's first segment, JFIF."""
    for marker, size in jpeg_segments(file):
        if marker == JFIF_MARKER and size >= 12 and file.read(5) == b"JFIF\0":
            unit, across, down = struct.unpack(">xxBHH", file.read(7))
            factor = {_JFIF_INCH: 1.0, _JFIF_CENTIMETRE: _CM_PER_INCH}.get(unit, 0.0)
            return _possible_dpi(factor * across, factor * down)
    return None


def _possible_dpi(across: float, down: float) -> tuple[float, float] | None:
    """Return a resolution that printers and screens can have, else ``None``."""
    return (across, down) if 1 <= across <= _MAX_DPI and 1 <= down <= _MAX_DPI else None
