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
_PNG = b"\x89PNG\r\n\x1a\n"
_GIF_HEADER = 13  # bytes of a GIF's signature and screen descriptor
_STEP = 1 << 20  # bytes that are inflated at a time
_MIN_FRAME_BYTES = 12  # of a GIF's frame: a descriptor, the code size, an end mark
_Bytes = bytes | mmap.mmap


def check_metadata(path: Path) -> None:
    """Raise :class:`UnlayerError` for a PNG or APNG whose metadata exceeds this module's limits."""
    with path.open("rb") as file:
        if file.read(8) != _PNG:
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
            packed = data.find(b"\0", begin, end) + 2
            unpacked += _inflated(data, packed, end, MAX_METADATA - unpacked) if packed > 1 else 0
        if unpacked > MAX_METADATA:
            return f"holds compressed metadata of more than {MAX_METADATA >> 20} MiB"
    return None


def check_index(path: Path) -> None:
    """Raise :class:`UnlayerError` for an MP4 or MOV that declares far more samples than bytes."""
    with path.open("rb") as file:
        if file.read(8)[4:] not in _MP4:
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
    while place + 8 <= end:
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        begin = place + 8
        if size == 1 and begin + 8 <= end:
            size = int.from_bytes(data[begin : begin + 8], "big")
            begin += 8
        after = min(place + size, end) if size else end
        if after < begin:
            return
        if kind in _CONTAINER_BOXES:
            for count in _sample_counts(data, begin, after):
                runs += count if kind in (b"moof", b"traf") else 0
                yield count
        elif kind in (b"stsz", b"stz2"):
            yield int.from_bytes(data[begin + 8 : begin + 12], "big")
        elif kind == b"trun":
            runs += int.from_bytes(data[begin + 4 : begin + 8], "big")
        elif kind in (b"stts", b"ctts"):
            entries = min(
                int.from_bytes(data[begin + 4 : begin + 8], "big"), (after - begin - 8) // 8
            )
            counts = data[begin + 8 : begin + 8 + 8 * max(0, entries)]
            yield sum(
                int.from_bytes(counts[place : place + 4], "big")
                for place in range(0, len(counts), 8)
            )
        place = after
    yield runs


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
    place = len(_PNG)
    length = len(data)
    while place + 8 <= length:
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        begin = place + 8
        yield kind, begin, min(begin + size, length)
        place = begin + size + 4


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
        place += _color_table_bytes(data[10])
    while place < length:
        mark = data[place]
        if mark == 0x2C and place + 10 < length:
            yield place
            place += 11 + _color_table_bytes(data[place + 9])
        elif mark == 0x21:
            place += 2
        else:
            # The end, or something that the media library skips as well.
            place += 1
            continue
        while place < length and (size := data[place]):
            place += 1 + size
        place += 1


def _apng_frames(data: _Bytes) -> Iterator[int]:
    """Yield the position of each frame's control chunk in an APNG."""
    return (begin for kind, begin, _ in _chunks(data) if kind == b"fcTL")


def _color_table_bytes(flags: int) -> int:
    """Return the size in bytes of the colour table that a GIF's flags declare."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


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
