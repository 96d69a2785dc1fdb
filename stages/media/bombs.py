"""Refuse decompression bombs before the media library unpacks them.

These are small files that unpack to far more than their pixels. A PNG may hold compressed metadata,
which the library inflates without a limit, and many texts, each of which the library compares with
all others. An animation may have a frame for every twelve bytes. An MP4 may declare millions of
samples in a few bytes, and the library makes an index entry for each.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from stages.errors import UnlayerError
from stages.media.mp4_boxes import (
    BOX_HEAD,
    COUNT,
    FULL_BOX_HEAD,
    LONG_BOX_HEAD,
    SIZE_IS_LONG,
    SIZE_TO_END,
)
from stages.media.picture_metadata import CHUNK_CHECKSUM, CHUNK_HEAD, PNG_SIGNATURE
from stages.media.sniff import printable

MAX_METADATA = 64 << 20
"""Most bytes that a picture's compressed metadata may unpack to. Editors write up to 10 MB."""
MAX_TEXTS = 4096
"""Most texts in a picture. The media library's time grows with the square of their number."""
MAX_ANIMATION_FRAMES = 1 << 18
"""Most frames of a GIF or APNG: 7 hours at 10 frames a second."""
MAX_ANIMATION_PIXELS = 1 << 40
"""Most pixels of all frames of a GIF or APNG together: the most frames at 2048x2048."""
MAX_FREE_SAMPLES = 1 << 22
"""Samples that an MP4 may declare beyond two for each byte, as a file that was cut off does."""
_MP4 = (b"ftyp", b"moov", b"mdat", b"moof", b"wide", b"free", b"skip", b"pnot", b"styp", b"sidx")
_CONTAINER_BOXES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
_TABLE_HEAD = FULL_BOX_HEAD + COUNT  # bytes of an MP4's table of samples before its entries
_TIME_ENTRY = 8  # bytes of an entry of stts and ctts: a number of samples, and their time
# A GIF (GIF89a, sections 18 to 24) is its signature and its screen, a colour table, and blocks.
_GIF_HEADER = 13  # bytes of the signature and of the screen's descriptor
_SCREEN_FLAGS = 10  # the place of the flags in these bytes
_FRAME_MARK, _EXTENSION_MARK = 0x2C, 0x21  # what a frame and an extension begin with
_FRAME_FLAGS = 9  # the place of the flags in a frame's descriptor, counted from its mark
_FRAME_HEAD = 11  # bytes of a frame's descriptor and of the code size
_EXTENSION_HEAD = 2  # bytes of an extension before its data: the mark and the kind
_HAS_TABLE, _TABLE_SIZE = 0x80, 0x07  # bits of the flags: is there a colour table, how large is it
_STEP = 1 << 20  # bytes that are inflated at a time
_MIN_FRAME_BYTES = _FRAME_HEAD + 1  # of a GIF's frame: its head, and an end mark
_Bytes = bytes | mmap.mmap


def check_metadata(path: Path) -> None:
    """Raise :class:`UnlayerError` for a PNG or APNG whose metadata exceeds this module's limits."""
    with path.open("rb") as file:
        if file.read(len(PNG_SIGNATURE)) != PNG_SIGNATURE:
            return
    with _mapped(path) as data:
        if fault := metadata_fault(data):
            raise UnlayerError(f"{printable(path)}: {fault}; save it again without its metadata")


def metadata_fault(data: _Bytes) -> str | None:
    """Return what is wrong with the metadata of a PNG, or None."""
    unpacked = texts = 0
    for kind, begin, end in _chunks(data):
        texts += kind in (b"tEXt", b"zTXt", b"iTXt")
        if texts > MAX_TEXTS:
            return f"holds more than {MAX_TEXTS} texts beside its pixels"
        if kind in (b"iCCP", b"zTXt"):
            # The content is a name, a zero, the compression method and the packed data.
            zero = data.find(b"\0", begin, end)
            if zero >= 0:
                unpacked += _inflated(data, zero + 2, end, MAX_METADATA - unpacked)
        if unpacked > MAX_METADATA:
            return f"holds compressed metadata of more than {MAX_METADATA >> 20} MiB"
    return None


def check_index(path: Path) -> None:
    """Raise :class:`UnlayerError` for an MP4 or MOV that declares far more samples than bytes."""
    with path.open("rb") as file:
        if file.read(BOX_HEAD)[4:] not in _MP4:
            return
    with _mapped(path) as data:
        most = 2 * len(data) + MAX_FREE_SAMPLES
        if any(count > most for count in _sample_counts(data, 0, len(data))):
            raise UnlayerError(
                f"{printable(path)}: declares more than {most} samples, far more than it has "
                "bytes; get the whole file"
            )


def _sample_counts(data: _Bytes, place: int, end: int) -> Iterator[int]:
    """Yield the number of samples that each table of an MP4 declares between two positions.

    The tables hold sizes, times and time offsets. The runs of all fragments are added up and come
    last.
    """
    runs = 0
    while place + BOX_HEAD <= end:
        size, kind = struct.unpack(">I4s", data[place : place + BOX_HEAD])
        begin = place + BOX_HEAD
        if size == SIZE_IS_LONG and place + LONG_BOX_HEAD <= end:
            begin = place + LONG_BOX_HEAD
            size = int.from_bytes(data[place + BOX_HEAD : begin], "big")
        after = end if size == SIZE_TO_END else min(place + size, end)
        if after < begin:
            return
        if kind in _CONTAINER_BOXES:
            for count in _sample_counts(data, begin, after):
                runs += count if kind in (b"moof", b"traf") else 0
                yield count
        elif kind in (b"stsz", b"stz2"):
            # The size that all samples have comes before their number.
            yield _number(data, begin + FULL_BOX_HEAD + 4)
        elif kind == b"trun":
            runs += _number(data, begin + FULL_BOX_HEAD)
        elif kind in (b"stts", b"ctts"):
            yield _samples_of_times(data, begin, after)
        place = after
    yield runs


def _samples_of_times(data: _Bytes, begin: int, end: int) -> int:
    """Return how many samples a table of times declares, given the begin and end of its content."""
    first = begin + _TABLE_HEAD
    entries = min(_number(data, begin + FULL_BOX_HEAD), (end - first) // _TIME_ENTRY)
    table = data[first : first + _TIME_ENTRY * max(0, entries)]
    return sum(_number(table, at) for at in range(0, len(table), _TIME_ENTRY))


def _number(data: _Bytes, at: int) -> int:
    """Return the number of 4 bytes at a position; the data may end within it."""
    return int.from_bytes(data[at : at + 4], "big")


def check_animation(path: Path, container: str, width: int, height: int) -> None:
    """Raise :class:`UnlayerError` for a GIF or APNG with more frames than this module allows.

    container: the demuxer's name. width, height: of the canvas, in pixels.
    """
    most = min(MAX_ANIMATION_FRAMES, MAX_ANIMATION_PIXELS // max(1, width * height))
    if container not in ("gif", "apng") or path.stat().st_size < most * _MIN_FRAME_BYTES:
        return
    with _mapped(path) as data:
        frames = _gif_frames(data) if container == "gif" else _apng_frames(data)
        for count, _ in enumerate(frames, 1):
            if count > most:
                raise UnlayerError(
                    f"{printable(path)}: is an animation of more than {most} frames of "
                    f"{width}x{height}; convert it to a video, or read only its beginning",
                    settings=("end",),
                )


def _chunks(data: _Bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each PNG chunk's kind and the begin and end of its content."""
    place = len(PNG_SIGNATURE)
    length = len(data)
    while place + CHUNK_HEAD <= length:
        size, kind = struct.unpack(">I4s", data[place : place + CHUNK_HEAD])
        begin = place + CHUNK_HEAD
        yield kind, begin, min(begin + size, length)
        place = begin + size + CHUNK_CHECKSUM


def _inflated(data: _Bytes, begin: int, end: int, most: int) -> int:
    """Return how many bytes a zlib stream unpacks to; stop counting above ``most``."""
    inflater = zlib.decompressobj()
    total = 0
    rest = data[begin:end]
    with contextlib.suppress(zlib.error):
        while total <= most and not inflater.eof and (rest or total):
            step = len(inflater.decompress(rest, _STEP))
            rest = inflater.unconsumed_tail
            total += step
            if not step and not rest:
                break
    return total


def _gif_frames(data: _Bytes) -> Iterator[int]:
    """Yield the position of each frame of a GIF, as far as its blocks can be followed."""
    place = _GIF_HEADER
    length = len(data)
    if length > place:
        place += _color_table_bytes(data[_SCREEN_FLAGS])
    while place < length:
        mark = data[place]
        if mark == _FRAME_MARK and place + _FRAME_HEAD <= length:
            yield place
            place += _FRAME_HEAD + _color_table_bytes(data[place + _FRAME_FLAGS])
        elif mark == _EXTENSION_MARK:
            place += _EXTENSION_HEAD
        else:
            # The end, or something that the media library skips as well.
            place += 1
            continue
        # The data are blocks of up to 255 bytes, each after its length, until one of length 0.
        while place < length and (size := data[place]):
            place += 1 + size
        place += 1


def _apng_frames(data: _Bytes) -> Iterator[int]:
    """Yield the position of each frame's control chunk in an APNG."""
    return (begin for kind, begin, _ in _chunks(data) if kind == b"fcTL")


def _color_table_bytes(flags: int) -> int:
    """Return the size in bytes of the colour table that a GIF's flags declare."""
    return 3 << ((flags & _TABLE_SIZE) + 1) if flags & _HAS_TABLE else 0


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[_Bytes]:
    """Map a file into memory, without reading all of it."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            # Some file systems cannot map files.
            yield file.read()
            return
        with data:
            yield data
