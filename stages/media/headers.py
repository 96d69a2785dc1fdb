"""Write HDR metadata, colour tags and Matroska's time base into finished files.

PyAV offers no way to pass these to FFmpeg's muxers.
"""

from __future__ import annotations

import re
import struct
import zlib
from fractions import Fraction
from io import BytesIO
from pathlib import Path

from stages.media.color_tags import BT709, UNSPECIFIED, ColorTags, mastering_values
from stages.media.stream_facts import boxes, elements

RESERVED = "x" * 160
"""A track name that reserves space in a Matroska header.

:func:`write_matroska_hdr` puts the HDR metadata in its place.
"""
MATROSKA_TIME_BASE = Fraction(1, 100_000)
"""Seconds that our Matroska files count time in.

FFmpeg's muxer only knows milliseconds. We give it times in units of 10 microseconds and call them
milliseconds. :func:`fix_matroska` then writes the true time base into the header. A frame's time is
off by 5 microseconds at most, instead of 500.
"""
# Parts of the header that FFmpeg's muxer writes.
_SCALE = bytes.fromhex("2ad7b183")
_GAP = bytes.fromhex("ec01000000000000020000")
_UNKNOWN_DISPLAY = bytes.fromhex("54b28104")
_DURATION = re.compile(rb"DURATION\x44\x87[\x93\x94](\d\d:\d\d:\d\d\.\d{9})")
"""The tag with a track's duration, as text of a fixed length."""
_CLUSTER = bytes.fromhex("1f43b675")
"""The identity of the element with the first frames, after the header."""
_MAX_HEADER = 4 << 20  # bytes in which it is looked for; long tags come before it
_PNG_START = 8 + 25  # bytes of a PNG's signature and its first chunk, IHDR
METRES_PER_INCH = 0.0254
_METRE = 1  # PNG's number of that unit
_SRGB = 13  # H.273's number of that transfer
_LIGHT_UNIT = 10_000  # units of PNG's cLLI in one cd/m2
_HEAD = 1 << 16  # bytes at the front of a Matroska file that contain its tracks
# Element identities: RFC 9559 (Matroska), section 5.
_TRACK, _NAME, _VIDEO, _COLOR, _VOID = 0xAE, 0x536E, 0xE0, 0x55B0, 0xEC
_MAX_CLL, _MASTERING, _FIRST_POINT = 0x55BC, 0x55D0, 0x55D1
_SAMPLE_ENTRY = 78  # bytes of a video's sample entry in MP4 and MOV before its boxes
_TERMINATOR = bytes(4)
_TRACKS = bytes.fromhex("1654ae6b")


def png_with_labels(
    png: bytes,
    color: ColorTags,
    icc: bytes | None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """Return a PNG with what it can say about its colours and its origin, if it needs any.

    png: the file's bytes, as OpenCV encodes them.
    icc: an ICC profile, for the chunk iCCP. Without one, H.273's numbers and the HDR metadata of
        ``color`` are written (cICP, mDCV, cLLI). BT.709 and sRGB need nothing.
    exif: an EXIF block, for the chunk eXIf.
    dpi: the resolution in pixels per inch, across and down, for the chunk pHYs.
    """
    chunks = b""
    if icc is not None:
        chunks = _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc, 9))
    elif _needs_tags(color):
        chunks = _chunk(b"cICP", bytes([color.primaries, color.transfer, 0, 1]))
        if color.mastering is not None:
            green, blue, red, rest = (color.mastering[at : at + 4] for at in (0, 4, 8, 12))
            chunks += _chunk(b"mDCV", red + green + blue + rest + color.mastering[16:24])
        if color.light is not None:
            light = (_LIGHT_UNIT * value for value in color.light)
            chunks += _chunk(b"cLLI", struct.pack(">II", *light))
    rest = png[_PNG_START:]
    if dpi is not None:
        across, down = (round(value / METRES_PER_INCH) for value in dpi)
        # The encoder's own chunk says only that pixels are square.
        if rest[4:8] == b"pHYs":
            rest = rest[12 + int.from_bytes(rest[:4], "big") :]
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, _METRE))
    if exif is not None:
        chunks += _chunk(b"eXIf", exif)
    return png[:_PNG_START] + chunks + rest


def _needs_tags(color: ColorTags) -> bool:
    """Return whether a viewer would take the values for something else without tags."""
    meaning = (color.primaries, color.transfer)
    return UNSPECIFIED not in meaning and meaning not in ((BT709, BT709), (BT709, _SRGB))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_mov_hdr(path: Path, color: ColorTags) -> bool:
    """Add the boxes ``mdcv`` and ``clli`` to the description of a MOV file's first track.

    Returns False where the index is not the last box of the file, or is not as expected.
    """
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
        grown = [0]
        span = (8, len(index))
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
        end_of_boxes = entry[2]
        # Some codecs have four zeros after the last box, where readers stop.
        if _boxes_end(index, entry[1] + _SAMPLE_ENTRY) == entry[2] - len(_TERMINATOR):
            end_of_boxes -= len(_TERMINATOR)
        index[end_of_boxes:end_of_boxes] = added
        file.seek(start)
        file.write(index)
    return True


def _boxes_end(index: bytearray, at: int) -> int:
    """Return where a row of boxes ends that begins at ``at``."""
    while at + 8 <= len(index) and (size := struct.unpack_from(">I", index, at)[0]) >= 8:
        at += size
    return at


def write_matroska_hdr(path: Path, color: ColorTags) -> bool:
    """Write MasteringMetadata, MaxCLL and MaxFALL in place of the first track's name.

    The file must have been written with :data:`RESERVED` as that name.
    Returns False where the header is not as expected or has too little space.
    """
    with path.open("rb+") as file:
        head = bytearray(file.read(_HEAD))
        at = head.find(_TRACKS)
        # The seek head mentions the same identity first; skip that.
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
        # A void element fills the rest, so that nothing after it moves.
        entry += bytes([_VOID]) + b"\x01" + (room - 9).to_bytes(7, "big") + bytes(room - 9)
        file.seek(begin)
        file.write(entry)
    return True


def _content(data: bytearray, at: int) -> tuple[int, int]:
    """Return where an element's content begins, and its length.

    at: the position of the element's length field.
    """
    length = 9 - data[at].bit_length()
    return at + length, int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)


def _with_light(entry: bytes, color: ColorTags) -> bytes:
    """Return a track entry without its name, with the HDR metadata in its Colour element."""
    parts = []
    for name, content in elements(entry):
        if name == _NAME:
            continue
        if name == _VIDEO:
            inner = [(key, value) for key, value in elements(content) if key not in (_COLOR, _VOID)]
            element = dict(elements(content)).get(_COLOR, b"") + _light_elements(color)
            content = b"".join(_element(key, value) for key, value in [*inner, (_COLOR, element)])
        if name != _VOID:
            parts.append(_element(name, content))
    return b"".join(parts)


def _light_elements(color: ColorTags) -> bytes:
    """Return the HDR metadata as EBML elements."""
    out = b""
    if color.light is not None:
        out += b"".join(
            _element(_MAX_CLL + at, value.to_bytes(2, "big"))
            for at, value in enumerate(color.light)
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
            _element(_FIRST_POINT + at, struct.pack(">f", value))
            for at, value in enumerate(numbers)
        )
        out += _element(_MASTERING, inner)
    return out


def _element(name: int, content: bytes) -> bytes:
    """Return an EBML element, with its length in as few bytes as possible."""
    size = len(content)
    length = next(count for count in range(1, 9) if size < (1 << 7 * count) - 1)
    return (
        name.to_bytes((name.bit_length() + 7) // 8, "big")
        + (size | 1 << 7 * length).to_bytes(length, "big")
        + content
    )


def fix_matroska(
    path: Path, time_base: Fraction, width: int, height: int, pixel_aspect: Fraction
) -> bool:
    """Write the time base and the pixel aspect into a finished Matroska file's header.

    All other bytes stay where they are.

    time_base: the unit of the file's times, in seconds. width, height: of the picture, in pixels.
    pixel_aspect: written as a display size of exactly this ratio, into a gap that the muxer leaves.

    Returns whether there was space for everything.
    """
    with path.open("rb+") as file:
        head = bytearray(file.read(_MAX_HEADER).partition(_CLUSTER)[0])
        place = head.index(_SCALE) + len(_SCALE)
        head[place : place + 3] = int(time_base * 10**9).to_bytes(3, "big")
        _scale_durations(head, time_base * 1000)
        done = pixel_aspect == 1 or _insert_display(head, pixel_aspect * width / height, height)
        file.seek(0)
        file.write(head)
    return done


def _scale_durations(head: bytearray, scale: Fraction) -> None:
    """Multiply the tags with each track's duration by ``scale``; the muxer counts milliseconds."""
    for found in _DURATION.finditer(bytes(head)):
        hours, minutes, seconds = found[1].decode().split(":")
        whole = scale * (3600 * int(hours) + 60 * int(minutes) + Fraction(seconds))
        minutes_in_all, rest = divmod(whole, 60)
        hour, minute = divmod(int(minutes_in_all), 60)
        text = f"{hour:02d}:{minute:02d}:{float(rest):012.9f}"
        head[found.start(1) : found.end(1)] = text.encode()


def _insert_display(head: bytearray, ratio: Fraction, height: int) -> bool:
    """Put a display size of this ratio into the first video track of a header.

    Returns False where the header does not have the expected gap.
    """
    video = re.search(rb"\xe0([\x80-\xfe])\xb0[\x81-\x84]", head)
    if video is None:
        return False
    begin = video.start() + 2
    end = begin + video[1][0] - 0x80
    gap = head.find(_GAP, end)
    body = bytes(head[begin:end])
    # Both sides must fit 16 bits.
    ratio = ratio.limit_denominator(min(0xFFFF, int(0xFFFF / max(ratio, Fraction(1)))))
    if gap < 0 or _UNKNOWN_DISPLAY not in body or not ratio:
        return False
    times = max(1, round(height / ratio.denominator))
    sides = [(times * side).to_bytes(2, "big") for side in (ratio.numerator, ratio.denominator)]
    shown = b"\x54\xb0\x82" + sides[0] + b"\x54\xba\x82" + sides[1]
    body = body.replace(_UNKNOWN_DISPLAY, b"") + shown
    more = len(body) - (end - begin)
    rest = len(_GAP) - more
    void = bytes([0xEC, 0x80 + rest - 2]) + bytes(rest - 2)
    head[begin - 1 : gap + len(_GAP)] = (
        bytes([0x80 + len(body)]) + body + bytes(head[end:gap]) + void
    )
    return True
