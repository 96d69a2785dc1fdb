"""What the media library does not tell of a stream: HDR's static data, clean aperture, stereo, spherical, Dolby Vision.

The library's own side data is not read: it crashes on some files and keeps frames alive. Containers and bitstreams are
walked here instead. Files are untrusted: every walk is bounded, and whatever does not parse says nothing.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from stages.media.bitstream import scan_packet

_MOST_BOXES = 4096  # boxes or elements that are looked at in one file
_MOST_BYTES = 1 << 20  # of one sample description or track entry
_ENTRY = 86  # bytes of a video sample entry before its boxes (ISO/IEC 14496-12, 12.1.3)
_SPHERICAL = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")  # RFC of spherical video, version 1
_STEREO = {1: "top and bottom", 2: "side by side", 3: "stereo mesh"}
_MATROSKA_STEREO = {
    1: "side by side",
    2: "top and bottom",
    3: "top and bottom",
    11: "side by side",
    13: "alternating",
    14: "alternating",
}


@dataclass(frozen=True)
class StreamFacts:
    """mastering, light: see :class:`stages.media.color_tags.ColorTags`. crop: left, top, right and bottom, in stored pixels.

    dolby_vision: its profile. dynamic: whether HDR10+ metadata were seen. stereo: how two views share a frame.
    spherical: whether the picture is a projection of a sphere.
    """

    mastering: bytes | None = None
    light: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    dolby_vision: int | None = None
    dynamic: bool = False
    stereo: str = ""
    spherical: bool = False


def read_facts(
    path: Path, container: str, track: int, codec: str, size: tuple[int, int], data: list[bytes]
) -> StreamFacts:
    """Return what a file says of one video track beyond what the library tells. Never raises.

    container: the demuxer's name. track: the track's number in an MP4; in Matroska its place among the videos.
    size: the stored ``(H, W)``. data: the codec's header and its first packets.
    """
    facts = StreamFacts()
    with (
        contextlib.suppress(OSError, ValueError, IndexError, struct.error, ZeroDivisionError),
        path.open("rb") as file,
    ):
        if container.startswith("mov"):
            facts = _of_mp4(file, track, size)
        elif container.startswith("matroska"):
            facts = _of_matroska(file, track)
    found = replace(facts)
    for packet in data:
        with contextlib.suppress(ValueError, IndexError, struct.error):
            seen = scan_packet(packet, codec)
            found = replace(
                found,
                mastering=found.mastering or seen.mastering,
                light=found.light or seen.light,
                dynamic=found.dynamic or seen.dynamic,
                # An unspecified profile: the units are there, the box that tells it is not.
                dolby_vision=0
                if seen.dolby_vision and found.dolby_vision is None
                else found.dolby_vision,
            )
    return found


def boxes(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, the beginning of the content and the end of each MP4 box between two places of a file."""
    for _ in range(_MOST_BOXES):
        file.seek(begin)
        head = file.read(16)
        if begin + 8 > end or len(head) < 8:
            return
        size, kind = struct.unpack_from(">I4s", head)
        content = begin + 8
        if size == 1 and len(head) == 16:
            size, content = struct.unpack_from(">Q", head, 8)[0], begin + 16
        stop = end if size == 0 else begin + size
        if stop < content or stop > end:
            return
        yield kind, content, stop
        begin = stop


def _inner(file: BinaryIO, span: tuple[int, int], *kinds: bytes) -> tuple[int, int] | None:
    """Return where the content of the first box along a path of kinds lies."""
    for wanted in kinds:
        span = next(
            ((begin, end) for kind, begin, end in boxes(file, *span) if kind == wanted), (-1, -1)
        )
        if span[0] < 0:
            return None
    return span


def _of_mp4(file: BinaryIO, track: int, size: tuple[int, int]) -> StreamFacts:
    length = file.seek(0, 2)
    movie = _inner(file, (0, length), b"moov")
    if movie is None:
        return StreamFacts()
    for kind, begin, end in boxes(file, *movie):
        head = _inner(file, (begin, end), b"tkhd") if kind == b"trak" else None
        if head is None:
            continue
        file.seek(head[0])
        header = file.read(24)
        if struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)[0] != track:
            continue
        spherical = any(
            kind == b"uuid" and _starts(file, at, _SPHERICAL[:4])
            for kind, at, _ in boxes(file, begin, end)
        )
        described = _inner(file, (begin, end), b"mdia", b"minf", b"stbl", b"stsd")
        if described is None:
            return StreamFacts(spherical=spherical)
        entry = next(boxes(file, described[0] + 8, described[1]), None)
        return (
            StreamFacts(spherical=spherical)
            if entry is None
            else _of_entry(file, entry[1] - 8, entry[2], size, spherical)
        )
    return StreamFacts()


def _starts(file: BinaryIO, at: int, data: bytes) -> bool:
    file.seek(at)
    return file.read(len(data)) == data


def _of_entry(
    file: BinaryIO, begin: int, end: int, size: tuple[int, int], spherical: bool
) -> StreamFacts:
    """Read the boxes of a video sample entry."""
    facts = StreamFacts(spherical=spherical)
    for kind, at, stop in boxes(file, begin + _ENTRY, end):
        file.seek(at)
        data = file.read(min(stop - at, 256))
        if kind == b"mdcv" and len(data) >= 24:
            facts = replace(facts, mastering=data[:24])
        elif kind == b"SmDm" and len(data) >= 28:
            facts = replace(facts, mastering=_from_smdm(data[4:28]))
        elif kind == b"clli" and len(data) >= 4:
            facts = replace(facts, light=struct.unpack_from(">HH", data))
        elif kind == b"CoLL" and len(data) >= 8:
            facts = replace(facts, light=struct.unpack_from(">HH", data, 4))
        elif kind in (b"dvcC", b"dvvC", b"dvwC") and len(data) >= 4:
            facts = replace(facts, dolby_vision=data[2] >> 1)
        elif kind == b"clap" and len(data) >= 32:
            facts = replace(facts, crop=crop_from_clap(struct.unpack_from(">8i", data), size))
        elif kind == b"st3d" and len(data) >= 5:
            facts = replace(facts, stereo=_STEREO.get(data[4], ""))
        elif kind == b"sv3d":
            facts = replace(facts, spherical=True)
    return facts


def crop_from_clap(
    values: tuple[int, ...], size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Return what a clean aperture leaves off: left, top, right, bottom. None where it fits no whole pixels of the frame.

    values: width, height, horizontal and vertical offset of its centre, each as a numerator and a denominator
    (ISO/IEC 14496-12, 12.1.4). size: the stored ``(H, W)``.
    """
    if any(values[at] == 0 for at in (1, 3, 5, 7)):
        return None
    wide, high, across, down = (Fraction(values[at], values[at + 1]) for at in (0, 2, 4, 6))
    left, top = (size[1] - wide) / 2 + across, (size[0] - high) / 2 + down
    edges = (left, top, size[1] - left - wide, size[0] - top - high)
    # Half pixels come of odd sizes; the aperture is then rounded outwards.
    crop = tuple(max(0, int(edge)) for edge in edges)
    if (
        any(edge < 0 for edge in edges)
        or crop[0] + crop[2] >= size[1]
        or crop[1] + crop[3] >= size[0]
    ):
        return None
    return None if not any(crop) else (crop[0], crop[1], crop[2], crop[3])


def _from_smdm(data: bytes) -> bytes:
    """Turn VP9's box (red, green, blue in 0.16 fixed point, luminance in 24.8 and 18.14) into an ``mdcv`` payload."""
    red, green, blue, white = (struct.unpack_from(">HH", data, 4 * at) for at in range(4))
    largest, least = struct.unpack_from(">II", data, 16)
    return pack_mastering(
        [value / 65536 for point in (green, blue, red, white) for value in point],
        largest / 256,
        least / 16384,
    )


def pack_mastering(points: list[float], largest: float, least: float) -> bytes:
    """Return an ``mdcv`` payload: x and y of green, blue, red and white, then the luminances in cd/m2."""
    codes = [min(0xFFFF, max(0, round(value * 50_000))) for value in points]
    return struct.pack(
        ">8HII",
        *codes,
        *(min(0xFFFFFFFF, max(0, round(value * 10_000))) for value in (largest, least)),
    )


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the identity and the content of each EBML element."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at >= len(data):
            return
        name_length = 9 - data[at].bit_length()
        size_at = at + name_length
        if size_at >= len(data) or not data[size_at]:
            return
        size_length = 9 - data[size_at].bit_length()
        size = int.from_bytes(data[size_at : size_at + size_length], "big") & (
            (1 << 7 * size_length) - 1
        )
        content = size_at + size_length
        yield int.from_bytes(data[at:size_at], "big"), data[content : content + size]
        at = content + size


def _tracks(file: BinaryIO) -> bytes:
    """Return the content of a Matroska file's element Tracks."""
    file.seek(0)
    at, inside = 0, False
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 3 or not head[0]:
            return b""
        name_length = 9 - head[0].bit_length()
        if name_length >= len(head) or not head[name_length]:
            return b""
        size_length = 9 - head[name_length].bit_length()
        name = int.from_bytes(head[:name_length], "big")
        field = head[name_length : name_length + size_length]
        size = int.from_bytes(field, "big") & ((1 << 7 * size_length) - 1)
        content = at + name_length + size_length
        if name == 0x18538067 and not inside:
            at, inside = content, True
        elif name == 0x1654AE6B:
            file.seek(content)
            return file.read(min(size, _MOST_BYTES))
        elif size == (1 << 7 * size_length) - 1:
            return b""
        else:
            at = content + size
    return b""


def _of_matroska(file: BinaryIO, track: int) -> StreamFacts:
    count = -1
    for name, entry in elements(_tracks(file)):
        parts = dict(elements(entry))
        # A track of type 1 is video; the library tells no track's own number.
        count += name == 0xAE and int.from_bytes(parts.get(0x83, b""), "big") == 1
        if count < track:
            continue
        vision = None
        for kind, mapping in elements(entry):
            block = dict(elements(mapping)) if kind == 0x41E4 else {}
            if (
                block.get(0x41E7, b"")[-4:] in (b"dvcC", b"dvvC")
                and len(block.get(0x41ED, b"")) > 2
            ):
                vision = block[0x41ED][2] >> 1
        video = dict(elements(parts.get(0xE0, b"")))
        crop = tuple(
            int.from_bytes(video.get(key, b""), "big") for key in (0x54CC, 0x54BB, 0x54DD, 0x54AA)
        )
        colour = dict(elements(video.get(0x55B0, b"")))
        light = tuple(int.from_bytes(colour.get(key, b""), "big") for key in (0x55BC, 0x55BD))
        projection = dict(elements(video.get(0x7670, b"")))
        return StreamFacts(
            mastering=_matroska_mastering(dict(elements(colour.get(0x55D0, b"")))),
            light=(light[0], light[1]) if any(light) else None,
            crop=(crop[0], crop[1], crop[2], crop[3]) if any(crop) else None,
            dolby_vision=vision,
            stereo=_MATROSKA_STEREO.get(int.from_bytes(video.get(0x53B8, b""), "big"), ""),
            spherical=bool(int.from_bytes(projection.get(0x7671, b""), "big")),
        )
    return StreamFacts()


def _matroska_mastering(parts: dict[int, bytes]) -> bytes | None:
    """Turn a MasteringMetadata element (floats; red 55D1, green, blue, white, then luminance) into an ``mdcv`` payload."""
    values = [_float(parts.get(0x55D1 + number, b"")) for number in range(10)]
    if not any(values):
        return None
    red, green, blue, white = (values[at : at + 2] for at in (0, 2, 4, 6))
    return pack_mastering([*green, *blue, *red, *white], values[8], values[9])


def _float(data: bytes) -> float:
    value = struct.unpack({4: ">f", 8: ">d"}[len(data)], data)[0] if len(data) in (4, 8) else 0.0
    return float(value) if abs(value) < 1e9 else 0.0
