"""Add profiles, EXIF data and the resolution to finished TIFF, JPEG and EXR pictures."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from stages.media.exif import DESCRIPTIVE, ExifEntry, directories, parts_of, resolution_entries
from stages.media.picture_metadata import (
    EXIF_MARKER,
    EXIF_PREFIX,
    PROFILE_MARKER,
    PROFILE_NAME,
    TIFF_ENTRY,
    TIFF_PROFILE,
)

_UNDEFINED = 7  # TIFF's type of bytes without a meaning
_LONG = 4  # TIFF's type of 32-bit numbers
_JFIF_UNIT = 13  # the place of the unit of the density in a JPEG that begins with JFIF
_PER_INCH = 1  # JFIF's number of that unit
_MAX_DENSITY = 0xFFFF
_PROFILE_PART = 65_519  # bytes of a profile in one segment: 65,533 without its own header
_EXR_START = 8  # bytes of an EXR's magic number and version; the attributes follow


def tiff_with_labels(
    tiff: bytes,
    icc: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """Return a little-endian TIFF of one page with a profile, EXIF data and a resolution.

    tiff: the file's bytes. icc, exif: an ICC profile and an EXIF block, or ``None`` for none.
    dpi: pixels per inch, across and down.

    A new directory with the additional entries is appended, and all other data stay where they are.
    """
    if icc is None and exif is None and dpi is None:
        return tiff
    (place,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, place)
    entries = {}
    first = place + 2
    for at in range(first, first + TIFF_ENTRY * count, TIFF_ENTRY):
        (tag,) = struct.unpack_from("<H", tiff, at)
        entries[tag] = tiff[at : at + TIFF_ENTRY]
    data = tiff + bytes(len(tiff) % 2)
    for tag, entry in _additional(icc, exif, dpi).items():
        value = entry.data.ljust(4, b"\0")
        if len(value) > 4:
            value = struct.pack("<I", len(data))
            data += entry.data + bytes(len(entry.data) % 2)
        entries[tag] = struct.pack("<HHI", tag, entry.kind, entry.count) + value
    if exif is not None:
        for tag, part in parts_of(exif)[1].items():
            entries[tag] = struct.pack("<HHII", tag, _LONG, 1, len(data))
            data += directories(part, {}, len(data))
    # The entries of a directory are sorted by their tags.
    ordered = [entries[tag] for tag in sorted(entries)]
    directory = struct.pack("<H", len(ordered)) + b"".join(ordered) + bytes(4)
    return tiff[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def _additional(
    icc: bytes | None, exif: bytes | None, dpi: tuple[float, float] | None
) -> dict[int, ExifEntry]:
    """Return the entries of a TIFF's main directory that say these things."""
    entries: dict[int, ExifEntry] = {}
    if exif is not None:
        main = parts_of(exif)[0]
        entries |= {tag: main[tag] for tag in DESCRIPTIVE if tag in main}
    if dpi is not None:
        entries |= resolution_entries(dpi)
    if icc is not None:
        entries[TIFF_PROFILE] = ExifEntry(_UNDEFINED, len(icc), icc)
    return entries


def jpeg_with_labels(
    jpeg: bytes,
    icc: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """Return a JPEG that begins with JFIF, with a profile, EXIF data and a resolution.

    jpeg: the file's bytes. icc, exif: an ICC profile and an EXIF block, or ``None`` for none.
    dpi: pixels per inch, across and down.
    """
    end = 4 + int.from_bytes(jpeg[4:6], "big")
    first = bytearray(jpeg[:end])
    if dpi is not None:
        across, down = (min(_MAX_DENSITY, round(value)) for value in dpi)
        struct.pack_into(">BHH", first, _JFIF_UNIT, _PER_INCH, across, down)
    segments = b""
    if exif is not None:
        segments += _segment(EXIF_MARKER, EXIF_PREFIX + exif)
    if icc is not None:
        parts = [icc[at : at + _PROFILE_PART] for at in range(0, len(icc), _PROFILE_PART)]
        for number, part in enumerate(parts, 1):
            counts = bytes([number, len(parts)])
            segments += _segment(PROFILE_MARKER, PROFILE_NAME + counts + part)
    return bytes(first) + segments + jpeg[end:]


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def exr_with_colors(exr: bytes, points: Iterable[tuple[float, float]]) -> bytes:
    """Return an EXR of scan lines with the attribute ``chromaticities``.

    points: x and y of red, green, blue and white.
    """
    values = [value for point in points for value in point]
    added = b"chromaticities\0chromaticities\0" + struct.pack("<i8f", 4 * len(values), *values)
    end = _EXR_START
    while exr[end]:
        # An attribute is its name, its type, the length of its value, and the value.
        kind = exr.index(b"\0", end) + 1
        size = exr.index(b"\0", kind) + 1
        end = size + 4 + struct.unpack_from("<i", exr, size)[0]
    # A table of the places of the chunks follows. It ends where the first chunk begins.
    table = end + 1
    (first,) = struct.unpack_from("<Q", exr, table)
    places = struct.unpack_from(f"<{(first - table) // 8}Q", exr, table)
    moved = struct.pack(f"<{len(places)}Q", *(place + len(added) for place in places))
    return exr[:end] + added + b"\0" + moved + exr[first:]
