"""Read facts about a stream that the media library does not give.

These are HDR's static metadata, clean aperture, stereo layout, spherical projection and Dolby
Vision. The library's own side data is not read, because it crashes on some files and keeps frames
alive. Containers and bitstreams are parsed here instead. Files are untrusted: all parsing is
bounded, and whatever does not parse is ignored.
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

_MAX_BOXES = 4096  # boxes or elements that are read in one file
_MAX_BYTES = 1 << 20  # that are read of a Matroska file's tracks
_ENTRY = 86  # bytes of a video sample entry before its boxes (ISO/IEC 14496-12, 12.1.3)
_SPHERICAL = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")  # RFC of spherical video, version 1
# Matroska's element identities (RFC 9559, section 5).
_SEGMENT, _TRACKS, _TRACK_ENTRY, _TRACK_TYPE = 0x18538067, 0x1654AE6B, 0xAE, 0x83
_BLOCK_ADDITION, _ADDITION_TYPE, _ADDITION_DATA = 0x41E4, 0x41E7, 0x41ED
_VIDEO, _STEREO_MODE, _COLOR = 0xE0, 0x53B8, 0x55B0
_CROP = (0x54CC, 0x54BB, 0x54DD, 0x54AA)  # left, top, right, bottom
_MAX_CLL, _MAX_FALL, _MASTERING, _FIRST_POINT = 0x55BC, 0x55BD, 0x55D0, 0x55D1
_PROJECTION, _PROJECTION_TYPE = 0x7670, 0x7671
_ABSURD = 1e9  # no chromaticity or luminance is as large
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
    """Facts about one video stream.

    mastering, light: see :class:`stages.media.color_tags.ColorTags`.
    crop: the clean aperture as left, top, right and bottom, in stored pixels.
    dolby_vision: its profile; 0 where the profile is not known. dynamic: whether HDR10+ was seen.
    stereo: how two views share a frame. spherical: whether the picture is a projection of a sphere.
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
    """Return the facts that a file states about one video track. Never raises.

    container: the demuxer's name. codec: the codec's canonical name.
    track: the track's number in an MP4; in Matroska its position among the video tracks.
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
            vision = found.dolby_vision
            if seen.dolby_vision and vision is None:
                # The profile is not known: the units are there, but not the box that states it.
                vision = 0
            found = replace(
                found,
                mastering=found.mastering or seen.mastering,
                light=found.light or seen.light,
                dynamic=found.dynamic or seen.dynamic,
                dolby_vision=vision,
            )
    return found


def boxes(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield each MP4 box between two positions: its kind, where its content begins, its end."""
    for _ in range(_MAX_BOXES):
        file.seek(begin)
        head = file.read(16)
        if begin + 8 > end or len(head) < 8:
            return
        size, kind = struct.unpack_from(">I4s", head)
        content = begin + 8
        if size == 1 and len(head) == 16:
            size = struct.unpack_from(">Q", head, 8)[0]
            content = begin + 16
        stop = end if size == 0 else begin + size
        if stop < content or stop > end:
            return
        yield kind, content, stop
        begin = stop


def _inner(file: BinaryIO, span: tuple[int, int], *kinds: bytes) -> tuple[int, int] | None:
    """Return the begin and end of the content of the first box along a path of kinds."""
    for wanted in kinds:
        span = next(
            ((begin, end) for kind, begin, end in boxes(file, *span) if kind == wanted), (-1, -1)
        )
        if span[0] < 0:
            return None
    return span


def _of_mp4(file: BinaryIO, track: int, size: tuple[int, int]) -> StreamFacts:
    """Return the facts about the track with this number in an MP4 or MOV."""
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
        if entry is None:
            return StreamFacts(spherical=spherical)
        return _of_entry(file, entry[1] - 8, entry[2], size, spherical)
    return StreamFacts()


def _starts(file: BinaryIO, at: int, data: bytes) -> bool:
    file.seek(at)
    return file.read(len(data)) == data


def _of_entry(
    file: BinaryIO, begin: int, end: int, size: tuple[int, int], spherical: bool
) -> StreamFacts:
    """Return the facts from the boxes of a video sample entry between two positions."""
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
    """Return what a clean aperture cuts off: left, top, right, bottom, in whole pixels.

    values: its width, height, and the horizontal and vertical offset of its centre, each as a
        numerator and a denominator (ISO/IEC 14496-12, 12.1.4).
    size: the stored ``(H, W)``.

    Returns None where nothing is cut off, or where the aperture does not fit the frame.
    """
    if any(values[at] == 0 for at in (1, 3, 5, 7)):
        return None
    wide, high, across, down = (Fraction(values[at], values[at + 1]) for at in (0, 2, 4, 6))
    left, top = (size[1] - wide) / 2 + across, (size[0] - high) / 2 + down
    edges = (left, top, size[1] - left - wide, size[0] - top - high)
    # Odd sizes give half pixels; the aperture is rounded outwards then.
    crop = tuple(max(0, int(edge)) for edge in edges)
    if (
        any(edge < 0 for edge in edges)
        or crop[0] + crop[2] >= size[1]
        or crop[1] + crop[3] >= size[0]
    ):
        return None
    return None if not any(crop) else (crop[0], crop[1], crop[2], crop[3])


def _from_smdm(data: bytes) -> bytes:
    """Convert VP9's SmDm box into an ``mdcv`` payload.

    SmDm has red, green, blue and white in 0.16 fixed point, and luminances in 24.8 and 18.14.
    """
    red, green, blue, white = (struct.unpack_from(">HH", data, 4 * at) for at in range(4))
    largest, least = struct.unpack_from(">II", data, 16)
    return pack_mastering(
        [value / 65536 for point in (green, blue, red, white) for value in point],
        largest / 256,
        least / 16384,
    )


def pack_mastering(points: list[float], largest: float, least: float) -> bytes:
    """Return an ``mdcv`` payload.

    points: x and y of green, blue, red and white. largest, least: luminances in cd/m2.
    """
    codes = [min(0xFFFF, max(0, round(value * 50_000))) for value in points]
    return struct.pack(
        ">8HII",
        *codes,
        *(min(0xFFFFFFFF, max(0, round(value * 10_000))) for value in (largest, least)),
    )


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the identity and the content of each EBML element."""
    at = 0
    for _ in range(_MAX_BOXES):
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
    """Return the content of a Matroska file's Tracks element; empty where there is none."""
    file.seek(0)
    at = 0
    inside = False
    for _ in range(_MAX_BOXES):
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
        if name == _SEGMENT and not inside:
            at = content
            inside = True
        elif name == _TRACKS:
            file.seek(content)
            return file.read(min(size, _MAX_BYTES))
        elif size == (1 << 7 * size_length) - 1:
            return b""
        else:
            at = content + size
    return b""


def _of_matroska(file: BinaryIO, track: int) -> StreamFacts:
    """Return the facts about the video track at this position among the video tracks."""
    count = -1
    for name, entry in elements(_tracks(file)):
        parts = dict(elements(entry))
        # Tracks of type 1 are video. They are counted, as the library does not give track numbers.
        count += name == _TRACK_ENTRY and int.from_bytes(parts.get(_TRACK_TYPE, b""), "big") == 1
        if count < track:
            continue
        vision = None
        for kind, mapping in elements(entry):
            block = dict(elements(mapping)) if kind == _BLOCK_ADDITION else {}
            if (
                block.get(_ADDITION_TYPE, b"")[-4:] in (b"dvcC", b"dvvC")
                and len(block.get(_ADDITION_DATA, b"")) > 2
            ):
                vision = block[_ADDITION_DATA][2] >> 1
        video = dict(elements(parts.get(_VIDEO, b"")))
        crop = tuple(int.from_bytes(video.get(key, b""), "big") for key in _CROP)
        color = dict(elements(video.get(_COLOR, b"")))
        light = tuple(int.from_bytes(color.get(key, b""), "big") for key in (_MAX_CLL, _MAX_FALL))
        projection = dict(elements(video.get(_PROJECTION, b"")))
        return StreamFacts(
            mastering=_matroska_mastering(dict(elements(color.get(_MASTERING, b"")))),
            light=(light[0], light[1]) if any(light) else None,
            crop=(crop[0], crop[1], crop[2], crop[3]) if any(crop) else None,
            dolby_vision=vision,
            stereo=_MATROSKA_STEREO.get(int.from_bytes(video.get(_STEREO_MODE, b""), "big"), ""),
            spherical=bool(int.from_bytes(projection.get(_PROJECTION_TYPE, b""), "big")),
        )
    return StreamFacts()


def _matroska_mastering(parts: dict[int, bytes]) -> bytes | None:
    """Convert a MasteringMetadata element into an ``mdcv`` payload; None where it is empty.

    Its floats are red (from 55D1), green, blue and white as x and y, then the luminances.
    """
    values = [_float(parts.get(_FIRST_POINT + number, b"")) for number in range(10)]
    if not any(values):
        return None
    red, green, blue, white = (values[at : at + 2] for at in (0, 2, 4, 6))
    return pack_mastering([*green, *blue, *red, *white], values[8], values[9])


def _float(data: bytes) -> float:
    """Return an EBML float; 0 where it is missing or absurd."""
    if len(data) not in (4, 8):
        return 0.0
    value = struct.unpack({4: ">f", 8: ">d"}[len(data)], data)[0]
    return float(value) if abs(value) < _ABSURD else 0.0
