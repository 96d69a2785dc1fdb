"""Files that are small and unpack to far more than their pixels: refused before the media library unpacks them.

A PNG may carry compressed metadata, which the library inflates without a limit, and a text for each of its keys,
which it compares with all the others. An animation may have a frame for every twelve bytes. An MP4 may count millions
of samples in a few bytes, for each of which the library makes an entry of its index.
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
"""The most bytes that a picture's compressed metadata may unpack to. The largest of editors have about 10 MB."""
MAX_TEXTS = 4096
"""The most texts of a picture. The media library takes a time that grows with their number squared."""
MAX_ANIMATION_FRAMES = 1 << 18
"""The most frames of a GIF or APNG: 7 hours at 10 frames a second."""
MAX_ANIMATION_PIXELS = 1 << 40
"""The most pixels of a GIF or APNG, all frames together: its most frames at 2048x2048."""
MAX_FREE_SAMPLES = 1 << 22
"""The samples that an MP4 may count beyond two for each of its bytes: those of a file that was cut off."""
_MP4 = (b"ftyp", b"moov", b"mdat", b"moof", b"wide", b"free", b"skip", b"pnot", b"styp", b"sidx")
_NESTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
_PNG = b"\x89PNG\r\n\x1a\n"
_STEP = 1 << 20  # bytes that are inflated at once
_LEAST_FRAME = 12  # bytes of a GIF's frame at least: a descriptor, the size of codes, an end
_Bytes = bytes | mmap.mmap


def check_metadata(path: Path) -> None:
    """Raise :class:`UnlayerError` for a PNG or APNG whose metadata unpacks to more than the bounds of this module."""
    with path.open("rb") as file:
        if file.read(8) != _PNG:
            return
    with _mapped(path) as data:
        if fault := metadata_fault(data):
            raise UnlayerError(f"{printable(path)}: {fault}; write it again without its metadata")


def metadata_fault(data: _Bytes) -> str | None:
    """Say what is wrong with the metadata of a PNG's bytes, or None."""
    unpacked = texts = 0
    for kind, begin, end in _chunks(data):
        texts += kind in (b"tEXt", b"zTXt", b"iTXt")
        if texts > MAX_TEXTS:
            return f"holds more than {MAX_TEXTS} texts beside its pixels"
        if kind in (b"iCCP", b"zTXt"):
            # A name, a zero, the method of compression; a text's name has up to 79 bytes.
            packed = data.find(b"\0", begin, end) + 2
            unpacked += _inflated(data, packed, end, MAX_METADATA - unpacked) if packed > 1 else 0
        if unpacked > MAX_METADATA:
            return f"holds compressed metadata of more than {MAX_METADATA >> 20} MiB"
    return None


def check_index(path: Path) -> None:
    """Raise :class:`UnlayerError` for an MP4 or MOV that counts far more samples than it has bytes."""
    with path.open("rb") as file:
        if file.read(8)[4:] not in _MP4:
            return
    with _mapped(path) as data:
        most = 2 * len(data) + MAX_FREE_SAMPLES
        if any(count > most for count in _sample_counts(data, 0, len(data))):
            raise UnlayerError(
                f"{printable(path)}: counts more than {most} samples, far more than it has bytes; get the whole file"
            )


def _sample_counts(data: _Bytes, place: int, end: int) -> Iterator[int]:
    """Yield how many samples each table of an MP4 counts (sizes, times, offsets of times, runs of fragments), and their sum."""
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
        if kind in _NESTS:
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
    """Raise :class:`UnlayerError` for a GIF or APNG of more frames than its bounds allow. width, height: of its canvas."""
    most = min(MAX_ANIMATION_FRAMES, MAX_ANIMATION_PIXELS // max(1, width * height))
    if container not in ("gif", "apng") or path.stat().st_size < most * _LEAST_FRAME:
        return
    with _mapped(path) as data:
        frames = (
            _gif_frames(data)
            if container == "gif"
            else (begin for kind, begin, _ in _chunks(data) if kind == b"fcTL")
        )
        for count, _ in enumerate(frames, 1):
            if count > most:
                raise UnlayerError(
                    f"{printable(path)}: is an animation of more than {most} frames of {width}x{height}; "
                    "take a part of it with --end, or convert it to a video"
                )


def _chunks(data: _Bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's kind and where its content begins and ends."""
    place, length = 8, len(data)
    while place + 8 <= length:
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        begin = place + 8
        yield kind, begin, min(begin + size, length)
        place = begin + size + 4


def _inflated(data: _Bytes, begin: int, end: int, most: int) -> int:
    """Return how many bytes a zlib stream unpacks to, counted in steps until there are more than ``most``."""
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
    """Yield where each frame of a GIF begins, as far as its blocks can be followed."""
    place, length = 13, len(data)
    if length > place:
        place += _colours(data[10])
    while place < length:
        mark = data[place]
        if mark == 0x2C and place + 10 < length:
            yield place
            place += 11 + _colours(data[place + 9])
        elif mark == 0x21:
            place += 2
        else:
            # The end, or something that the media library passes over as well.
            place += 1
            continue
        while place < length and (size := data[place]):
            place += 1 + size
        place += 1


def _colours(flags: int) -> int:
    """Bytes of the table of colours that a GIF's flags tell of."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[_Bytes]:
    """The bytes of a file, without reading all of them."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            # Some file systems cannot map.
            yield file.read()
            return
        with data:
            yield data
