"""Add labels to finished pictures: colours, profile, EXIF data and resolution."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from stages.media.color_tags import BT709, MASTERING_BYTES, SRGB, UNSPECIFIED, ColorTags
from stages.media.exif import DESCRIPTIVE, resolution_entries
from stages.media.picture_metadata import (
    EXIF_MARKER,
    EXIF_PREFIX,
    PNG_SIGNATURE,
    PROFILE_MARKER,
    PROFILE_NAME,
    TIFF_ENTRY,
    TIFF_PROFILE,
)
from stages.media.tiff_directories import (
    INLINE,
    LONG,
    UNDEFINED,
    TiffEntry,
    entry_places,
    packed_directories,
    read_directories,
)

_PNG_START = len(PNG_SIGNATURE) + 25  # bytes up to the end of a PNG's first chunk, IHDR
_METRES_PER_INCH = 0.0254
_METRE = 1  # PNG's number of that unit
_LIGHT_STEPS = 10_000  # steps in which PNG's cLLI counts one cd/m2
_JFIF_UNIT = 13  # the place of the unit of the density in a JPEG that begins with JFIF
_PER_INCH = 1  # JFIF's number of that unit
_MAX_DENSITY = 0xFFFF
_PROFILE_PART = 65_519  # bytes of a profile in one segment: 65,533 without its own header
_EXR_START = 8  # bytes of an EXR's magic number and version; the attributes follow


@dataclass(frozen=True)
class PictureLabels:
    """What a picture file says about its pixels.

    color: the meaning of the values. icc: the RGB profile. exif: the EXIF block, see
    :mod:`stages.media.exif`. dpi: pixels per inch, across and down. ``None`` where there is none.
    """

    color: ColorTags = ColorTags()
    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None


def png_with_labels(png: bytes, labels: PictureLabels) -> bytes:
    """Return a PNG with what it can say about its colours and its origin, if it needs any.

    A profile is in the chunk iCCP. Without one, H.273's numbers and the HDR metadata are written
    (cICP, mDCV, cLLI); BT.709 and sRGB need nothing. EXIF data are in eXIf, the resolution in pHYs.

    png: the file's bytes.
    """
    color = labels.color
    chunks = b""
    if labels.icc is not None:
        chunks = _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(labels.icc, 9))
    elif _needs_tags(color):
        chunks = _chunk(b"cICP", bytes([color.primaries, color.transfer, 0, 1]))
        if color.mastering is not None:
            green, blue, red, white = (color.mastering[at : at + 4] for at in (0, 4, 8, 12))
            luminances = color.mastering[16:MASTERING_BYTES]
            chunks += _chunk(b"mDCV", red + green + blue + white + luminances)
        if color.light is not None:
            light = (_LIGHT_STEPS * value for value in color.light)
            chunks += _chunk(b"cLLI", struct.pack(">II", *light))
    rest = png[_PNG_START:]
    if labels.dpi is not None:
        across, down = (round(value / _METRES_PER_INCH) for value in labels.dpi)
        # The encoder's own chunk says only that pixels are square.
        if rest[4:8] == b"pHYs":
            rest = rest[12 + int.from_bytes(rest[:4], "big") :]
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, _METRE))
    if labels.exif is not None:
        chunks += _chunk(b"eXIf", labels.exif)
    return png[:_PNG_START] + chunks + rest


def _needs_tags(color: ColorTags) -> bool:
    """Return whether a viewer would take the values for something else without tags."""
    meaning = (color.primaries, color.transfer)
    return UNSPECIFIED not in meaning and meaning not in ((BT709, BT709), (BT709, SRGB))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiff_with_labels(tiff: bytes, labels: PictureLabels) -> bytes:
    """Return a little-endian TIFF of one page with a profile, EXIF data and a resolution.

    A new directory with the additional entries is appended, and all other data stay where they are.

    tiff: the file's bytes.
    """
    if labels.icc is None and labels.exif is None and labels.dpi is None:
        return tiff
    added, inner = _tiff_entries(labels)
    (place,) = struct.unpack_from("<I", tiff, 4)
    entries = {
        tag: tiff[at : at + TIFF_ENTRY] for tag, at in entry_places(tiff, "<", place).items()
    }
    data = tiff + bytes(len(tiff) % 2)
    for tag, entry in added.items():
        value = entry.data.ljust(INLINE, b"\0")
        if len(value) > INLINE:
            value = struct.pack("<I", len(data))
            data += entry.data + bytes(len(entry.data) % 2)
        entries[tag] = struct.pack("<HHI", tag, entry.kind, entry.count) + value
    for tag, directory in inner.items():
        entries[tag] = struct.pack("<HHII", tag, LONG, 1, len(data))
        data += packed_directories(directory, {}, len(data))
    # The entries of a directory are sorted by their tags.
    ordered = [entries[tag] for tag in sorted(entries)]
    main = struct.pack("<H", len(ordered)) + b"".join(ordered) + bytes(4)
    return tiff[:4] + struct.pack("<I", len(data)) + data[8:] + main


def _tiff_entries(
    labels: PictureLabels,
) -> tuple[dict[int, TiffEntry], dict[int, dict[int, TiffEntry]]]:
    """Return the entries of a TIFF's main directory that hold labels, and directories for it."""
    entries: dict[int, TiffEntry] = {}
    inner: dict[int, dict[int, TiffEntry]] = {}
    if labels.exif is not None:
        main, inner = read_directories(labels.exif)
        entries |= {tag: main[tag] for tag in DESCRIPTIVE if tag in main}
    if labels.dpi is not None:
        entries |= resolution_entries(labels.dpi)
    if labels.icc is not None:
        entries[TIFF_PROFILE] = TiffEntry(UNDEFINED, len(labels.icc), labels.icc)
    return entries, inner


def jpeg_with_labels(jpeg: bytes, labels: PictureLabels) -> bytes:
    """Return a JPEG that begins with JFIF, with a profile, EXIF data and a resolution.

    jpeg: the file's bytes.
    """
    end = 4 + int.from_bytes(jpeg[4:6], "big")
    first = bytearray(jpeg[:end])
    if labels.dpi is not None:
        across, down = (min(_MAX_DENSITY, round(value)) for value in labels.dpi)
        struct.pack_into(">BHH", first, _JFIF_UNIT, _PER_INCH, across, down)
    segments = b""
    if labels.exif is not None:
        segments += _segment(EXIF_MARKER, EXIF_PREFIX + labels.exif)
    if labels.icc is not None:
        parts = [
            labels.icc[at : at + _PROFILE_PART] for at in range(0, len(labels.icc), _PROFILE_PART)
        ]
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
