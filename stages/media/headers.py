"""What FFmpeg's muxers cannot be told through PyAV, written into finished files: HDR's static data, and colours of PNGs."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

from stages.media.color_tags import BT709, UNSPECIFIED, ColorTags, mastering_values
from stages.media.stream_facts import boxes, elements

RESERVED = "x" * 160
"""A track's name that makes room in a Matroska header; :func:`write_matroska_light` puts HDR's data in its place."""
_PNG_START = 8 + 25  # bytes of a PNG's signature and its first chunk, IHDR
_SRGB = 13
_HEAD = 1 << 16  # bytes in which a header's tracks lie
_TRACK, _NAME, _VIDEO, _COLOUR, _VOID = 0xAE, 0x536E, 0xE0, 0x55B0, 0xEC
_TRACKS = bytes.fromhex("1654ae6b")


def png_with_colors(png: bytes, color: ColorTags, icc: bytes | None) -> bytes:
    """Return a PNG that says what its values mean: with a profile (iCCP), else with H.273's numbers (cICP)."""
    chunks = b""
    if icc is not None:
        chunks = _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc, 9))
    elif UNSPECIFIED not in (color.primaries, color.transfer) and (
        color.primaries,
        color.transfer,
    ) not in (
        (BT709, BT709),
        (BT709, _SRGB),
    ):
        chunks = _chunk(b"cICP", bytes([color.primaries, color.transfer, 0, 1]))
        if color.mastering is not None:
            green, blue, red, rest = (color.mastering[at : at + 4] for at in (0, 4, 8, 12))
            chunks += _chunk(b"mDCV", red + green + blue + rest + color.mastering[16:24])
        if color.light is not None:
            # In units of 0.0001 cd/m2.
            chunks += _chunk(
                b"cLLI", struct.pack(">II", *(10_000 * value for value in color.light))
            )
    return png[:_PNG_START] + chunks + png[_PNG_START:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_light(path: Path, muxer: str, color: ColorTags) -> bool:
    """Write HDR's static data into a file that was written with :data:`RESERVED`. Returns whether they found a place."""
    if muxer in ("matroska", "webm"):
        return write_matroska_light(path, color)
    return muxer == "mov" and write_mov_light(path, color)


def write_mov_light(path: Path, color: ColorTags) -> bool:
    """Put the boxes ``mdcv`` and ``clli`` into the description of the first track of a file whose index comes last."""
    added = b""
    if color.mastering is not None:
        added += struct.pack(">I4s", 32, b"mdcv") + color.mastering
    if color.light is not None:
        added += struct.pack(">I4sHH", 12, b"clli", *color.light)
    with path.open("rb+") as file:
        end = file.seek(0, 2)
        movie = next(
            ((begin, stop) for kind, begin, stop in boxes(file, 0, end) if kind == b"moov"), None
        )
        if movie is None or movie[1] != end:
            return False
        start = movie[0] - 8
        file.seek(start)
        index = bytearray(file.read())
        view = BytesIO(bytes(index))
        grown, span = [0], (8, len(index))
        for wanted in (b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
            span = next(
                ((begin, stop) for kind, begin, stop in boxes(view, *span) if kind == wanted),
                (0, 0),
            )
            if span == (0, 0):
                return False
            grown.append(span[0] - 8)
        entry = next(boxes(view, span[0] + 8, span[1]), None)
        if entry is None:
            return False
        grown.append(entry[1] - 8)
        for at in grown:
            struct.pack_into(">I", index, at, struct.unpack_from(">I", index, at)[0] + len(added))
        index[entry[2] : entry[2]] = added
        file.seek(start)
        file.write(index)
    return True


def write_matroska_light(path: Path, color: ColorTags) -> bool:
    """Put the elements MasteringMetadata, MaxCLL and MaxFALL into the first track, in the room of its name."""
    with path.open("rb+") as file:
        head = bytearray(file.read(_HEAD))
        at = head.find(_TRACKS)
        # The list of what is where names the tracks first.
        while at >= 3 and head[at - 3 : at - 1] == b"\x53\xab":
            at = head.find(_TRACKS, at + 4)
        if at < 0:
            return False
        place, tracks = _content(head, at + 4)
        if head[place] != _TRACK:
            return False
        begin, size = _content(head, place + 1)
        if begin + size > place + tracks or begin + size > len(head):
            return False
        entry = _with_light(bytes(head[begin : begin + size]), color)
        room = size - len(entry)
        if room < 9:
            return False
        # An empty element fills what is left, so that nothing behind it moves.
        entry += bytes([_VOID]) + b"\x01" + (room - 9).to_bytes(7, "big") + bytes(room - 9)
        file.seek(begin)
        file.write(entry)
    return True


def _content(data: bytearray, at: int) -> tuple[int, int]:
    """Return where an element's content begins and its length, whose field begins at ``at``."""
    length = 9 - data[at].bit_length()
    return at + length, int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)


def _with_light(entry: bytes, color: ColorTags) -> bytes:
    """Return a track entry without its name, with HDR's data in its element Colour."""
    parts = []
    for name, content in elements(entry):
        if name == _NAME:
            continue
        if name == _VIDEO:
            inner = [
                (key, value) for key, value in elements(content) if key not in (_COLOUR, _VOID)
            ]
            colour = dict(elements(content)).get(_COLOUR, b"") + _light_elements(color)
            content = b"".join(_element(key, value) for key, value in [*inner, (_COLOUR, colour)])
        if name != _VOID:
            parts.append(_element(name, content))
    return b"".join(parts)


def _light_elements(color: ColorTags) -> bytes:
    out = b""
    if color.light is not None:
        out += b"".join(
            _element(0x55BC + at, value.to_bytes(2, "big")) for at, value in enumerate(color.light)
        )
    if color.mastering is not None:
        values = mastering_values(color.mastering)
        points = [values[name] for name in ("red", "green", "blue", "white")]
        numbers = [part for point in points if isinstance(point, list) for part in point]
        numbers += [
            value
            for name in ("max_luminance", "min_luminance")
            if isinstance(value := values[name], float)
        ]
        inner = b"".join(
            _element(0x55D1 + at, struct.pack(">f", value)) for at, value in enumerate(numbers)
        )
        out += _element(0x55D0, inner)
    return out


def _element(name: int, content: bytes) -> bytes:
    """Return an EBML element, its length in as few bytes as it needs."""
    size = len(content)
    length = next(count for count in range(1, 9) if size < (1 << 7 * count) - 1)
    return (
        name.to_bytes((name.bit_length() + 7) // 8, "big")
        + (size | 1 << 7 * length).to_bytes(length, "big")
        + content
    )
