"""Write HDR metadata, and Matroska's time base and display size, into finished video files.

PyAV offers no way to pass these to FFmpeg's muxers.
"""

from __future__ import annotations

import os
import re
import struct
from fractions import Fraction
from io import BytesIO
from pathlib import Path

from stages.media import ebml
from stages.media.color_tags import MASTERING_BYTES, ColorTags, mastering_values
from stages.media.ebml import element, elements, identifier_bytes
from stages.media.mp4_boxes import BOX_HEAD, COUNT, FULL_BOX_HEAD, VIDEO_ENTRY, boxes, first_inside

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
_TIMESTAMP_SCALE = bytes.fromhex("2ad7b183")
"""The identifier of the element with the time base, and its size of 3 bytes."""
_GAP = bytes.fromhex("ec01000000000000020000")
"""The void element of 11 bytes that the muxer leaves, with a size of 8 bytes."""
_UNKNOWN_DISPLAY = bytes.fromhex("54b28104")
"""The element DisplayUnit, which says here that the display size is not known."""
_DISPLAY_WIDTH, _DISPLAY_HEIGHT = bytes.fromhex("54b082"), bytes.fromhex("54ba82")
"""The identifiers of the elements with the display size, and their sizes of 2 bytes."""
_DURATION = re.compile(rb"DURATION\x44\x87[\x93\x94](\d\d:\d\d:\d\d\.\d{9})")
"""The tag with a track's duration, as text of a fixed length."""
_CLUSTER = identifier_bytes(ebml.CLUSTER)
"""Begins the element with the first frames, after the header."""
_TRACKS = identifier_bytes(ebml.TRACKS)
_SEEK_ID = b"\x53\xab"
"""The identifier of the element by which the seek head names another element."""
_VIDEO_START = re.compile(rb"\xe0([\x80-\xfe])\xb0[\x81-\x84]")
"""The element Video, with a size of one byte, and the picture's width as its first element."""
_ONE_BYTE = 0x80  # marks the size of an element, and that it has one byte
_VOID_HEAD = 9  # bytes of a void element whose size has 8 bytes
_MAX_HEADER = 4 << 20  # bytes in which the first cluster is looked for; long tags come before it
_MAX_TRACKS_END = 1 << 16  # bytes at the front of a Matroska file that contain its tracks
_TERMINATOR = bytes(4)
"""Zeros that some codecs have after the last box of a sample entry, where readers stop."""


def write_mov_hdr(path: Path, color: ColorTags) -> bool:
    """Add the boxes ``mdcv`` and ``clli`` to the description of a MOV file's first track.

    Returns False where the index is not the last box of the file, or is not as expected.
    """
    added = b""
    if color.mastering is not None:
        added += struct.pack(">I4s", BOX_HEAD + MASTERING_BYTES, b"mdcv") + color.mastering
    if color.light is not None:
        added += struct.pack(">I4sHH", BOX_HEAD + 4, b"clli", *color.light)
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        movie = first_inside(file, (0, end), b"moov")
        if movie is None or movie[1] != end:
            return False
        start = movie[0] - BOX_HEAD
        file.seek(start)
        index = bytearray(file.read())
        if not _add_to_first_entry(index, added):
            return False
        file.seek(start)
        file.write(index)
    return True


def _add_to_first_entry(index: bytearray, added: bytes) -> bool:
    """Add boxes to the first track's sample entry, and enlarge all boxes around it.

    index: the box ``moov``, which is changed. Returns False where it is not as expected.
    """
    view = BytesIO(bytes(index))
    around = [0]  # where the boxes begin that hold the entry
    span = (BOX_HEAD, len(index))
    for kind in (b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        inner = first_inside(view, span, kind)
        if inner is None:
            return False
        span = inner
        around.append(span[0] - BOX_HEAD)
    entry = next(boxes(view, span[0] + FULL_BOX_HEAD + COUNT, span[1]), None)
    if entry is None:
        return False
    _, content, end = entry
    around.append(content - BOX_HEAD)
    for at in around:
        (size,) = struct.unpack_from(">I", index, at)
        struct.pack_into(">I", index, at, size + len(added))
    if _boxes_end(index, content + VIDEO_ENTRY) == end - len(_TERMINATOR):
        end -= len(_TERMINATOR)
    index[end:end] = added
    return True


def _boxes_end(index: bytearray, at: int) -> int:
    """Return where a row of boxes ends that begins at ``at``."""
    while at + BOX_HEAD <= len(index):
        (size,) = struct.unpack_from(">I", index, at)
        if size < BOX_HEAD:
            break
        at += size
    return at


def write_matroska_hdr(path: Path, color: ColorTags) -> bool:
    """Write MasteringMetadata, MaxCLL and MaxFALL in place of the first track's name.

    The file must have been written with :data:`RESERVED` as that name.
    Returns False where the header is not as expected or has too little space.
    """
    with path.open("rb+") as file:
        head = bytearray(file.read(_MAX_TRACKS_END))
        at = head.find(_TRACKS)
        # The seek head names the tracks first. There their identifier is the content of an element.
        while at > len(_SEEK_ID) and head[at - 3 : at - 1] == _SEEK_ID:
            at = head.find(_TRACKS, at + len(_TRACKS))
        if at < 0:
            return False
        tracks, tracks_size = ebml.read_size(head, at + len(_TRACKS))
        if head[tracks] != ebml.TRACK_ENTRY:
            return False
        begin, size = ebml.read_size(head, tracks + 1)
        if begin + size > tracks + tracks_size or begin + size > len(head):
            return False
        entry = _with_light(bytes(head[begin : begin + size]), color)
        room = size - len(entry)
        if room < _VOID_HEAD:
            return False
        # A void element fills the rest, so that nothing after it moves.
        fill = room - _VOID_HEAD
        void = identifier_bytes(ebml.VOID) + b"\x01" + fill.to_bytes(7, "big") + bytes(fill)
        file.seek(begin)
        file.write(entry + void)
    return True


def _with_light(entry: bytes, color: ColorTags) -> bytes:
    """Return a track entry without its name, with the HDR metadata in its Colour element."""
    parts = []
    for identifier, content in elements(entry):
        if identifier == ebml.VIDEO:
            content = _video_with_light(content, color)
        if identifier not in (ebml.TRACK_NAME, ebml.VOID):
            parts.append(element(identifier, content))
    return b"".join(parts)


def _video_with_light(video: bytes, color: ColorTags) -> bytes:
    """Return the content of a Video element with the HDR metadata in its Colour element."""
    kept = [part for part in elements(video) if part[0] not in (ebml.COLOR, ebml.VOID)]
    tags = dict(elements(video)).get(ebml.COLOR, b"") + _light_elements(color)
    return b"".join(element(*part) for part in [*kept, (ebml.COLOR, tags)])


def _light_elements(color: ColorTags) -> bytes:
    """Return the HDR metadata as EBML elements."""
    out = b""
    if color.light is not None:
        for identifier, level in zip((ebml.MAX_CLL, ebml.MAX_FALL), color.light, strict=True):
            out += element(identifier, level.to_bytes(2, "big"))
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
            element(ebml.FIRST_POINT + at, struct.pack(">f", value))
            for at, value in enumerate(numbers)
        )
        out += element(ebml.MASTERING, inner)
    return out


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
        place = head.index(_TIMESTAMP_SCALE) + len(_TIMESTAMP_SCALE)
        head[place : place + 3] = int(time_base * 10**9).to_bytes(3, "big")  # in nanoseconds
        _scale_durations(head, time_base * 1000)
        done = pixel_aspect == 1 or _insert_display(head, pixel_aspect * width / height, height)
        file.seek(0)
        file.write(head)
    return done


def _scale_durations(head: bytearray, scale: Fraction) -> None:
    """Multiply the tags with each track's duration by ``scale``; the muxer counts milliseconds."""
    for match in _DURATION.finditer(bytes(head)):
        hours, minutes, seconds = match[1].decode().split(":")
        duration = scale * (3600 * int(hours) + 60 * int(minutes) + Fraction(seconds))
        all_minutes, second = divmod(duration, 60)
        hour, minute = divmod(int(all_minutes), 60)
        text = f"{hour:02d}:{minute:02d}:{float(second):012.9f}"
        head[match.start(1) : match.end(1)] = text.encode()


def _insert_display(head: bytearray, ratio: Fraction, height: int) -> bool:
    """Put a display size of this ratio into the first video track of a header.

    Returns False where the header does not have the expected gap.
    """
    video = _VIDEO_START.search(head)
    if video is None:
        return False
    begin = video.start() + 2
    end = begin + video[1][0] - _ONE_BYTE
    gap = head.find(_GAP, end)
    body = bytes(head[begin:end])
    # Both sides must fit 16 bits.
    ratio = ratio.limit_denominator(min(0xFFFF, int(0xFFFF / max(ratio, Fraction(1)))))
    if gap < 0 or _UNKNOWN_DISPLAY not in body or not ratio:
        return False
    times = max(1, round(height / ratio.denominator))
    sides = [(times * side).to_bytes(2, "big") for side in (ratio.numerator, ratio.denominator)]
    shown = _DISPLAY_WIDTH + sides[0] + _DISPLAY_HEIGHT + sides[1]
    body = body.replace(_UNKNOWN_DISPLAY, b"") + shown
    more = len(body) - (end - begin)
    rest = len(_GAP) - more
    void = element(ebml.VOID, bytes(rest - 2))
    size = bytes([_ONE_BYTE + len(body)])
    head[begin - 1 : gap + len(_GAP)] = size + body + bytes(head[end:gap]) + void
    return True
