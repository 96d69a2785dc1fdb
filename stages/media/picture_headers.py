"""Add colour information to finished TIFF and EXR pictures, which FFmpeg's encoders leave out."""

from __future__ import annotations

import struct
from collections.abc import Iterable

_TIFF_PROFILE = 34675  # the tag "InterColorProfile"
_UNDEFINED = 7  # TIFF's type of bytes without a meaning
_EXR_START = 8  # bytes of an EXR's magic number and version; the attributes follow


def tiff_with_profile(tiff: bytes, icc: bytes) -> bytes:
    """Return a little-endian TIFF of one page with an ICC profile.

    A new directory with the additional entry is appended, and all other data stay where they are.
    """
    (place,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, place)
    entries = [tiff[place + 2 + 12 * n : place + 14 + 12 * n] for n in range(count)]
    data = tiff + bytes(len(tiff) % 2)
    entries.append(struct.pack("<HHII", _TIFF_PROFILE, _UNDEFINED, len(icc), len(data)))
    data += icc + bytes(len(icc) % 2)
    # The entries of a directory are sorted by their tags.
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return tiff[:4] + struct.pack("<I", len(data)) + data[8:] + directory


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
