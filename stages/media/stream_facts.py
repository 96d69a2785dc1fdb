"""Read facts about a stream that the media library does not give.

These are HDR's static metadata, clean aperture, stereo layout, spherical projection and Dolby
Vision. The library's own side data is not read, because it crashes on some files and keeps frames
alive. Containers and bitstreams are parsed here instead. Files are untrusted: all parsing is
bounded, and whatever does not parse is ignored.
"""

from __future__ import annotations

import contextlib
import os
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from stages.media import ebml
from stages.media.bitstream import scan_packet
from stages.media.color_tags import CHROMATICITY_STEPS, LUMINANCE_STEPS, MASTERING_BYTES
from stages.media.ebml import elements
from stages.media.mp4_boxes import COUNT, FULL_BOX_HEAD, VIDEO_ENTRY, boxes, first_inside
from stages.media.orientation import Crop

_MAX_TRACK_BYTES = 1 << 20  # that are read of a Matroska file's tracks
_MAX_TOP_ELEMENTS = 4096  # elements of a Matroska file that are read to find its tracks
_ELEMENT_HEAD = 16  # bytes that hold any element's identifier and size, of 8 bytes at most each
_MAX_BOX_BYTES = 256  # that are read of a box in a sample entry; the ones wanted are shorter
_TRACK_NUMBER = {0: 12, 1: 20}
"""Where the box tkhd has the track's number, by the box's version (ISO/IEC 14496-12, 8.3.2)."""
_SPHERICAL = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")  # RFC of spherical video, version 1
_MATROSKA_DOLBY_VISION = (b"dvcC", b"dvvC")
_DOLBY_VISION = (*_MATROSKA_DOLBY_VISION, b"dvwC")
"""Kinds of boxes with Dolby Vision's configuration; Matroska has the first two of them."""
_PROFILE_BYTE = 2
"""The byte of that configuration whose upper seven bits are the profile."""
# The box SmDm of VP9 in MP4 counts in these parts of 1, and of one cd/m2.
_SMDM_CHROMATICITY, _SMDM_LARGEST, _SMDM_LEAST = 1 << 16, 1 << 8, 1 << 14
_ABSURD = 1e9  # no chromaticity or luminance is as large
_STEREO = {1: "top and bottom", 2: "side by side", 3: "stereo mesh"}
"""How two views share a frame, by the number in the box st3d."""
_MATROSKA_STEREO = {
    1: "side by side",
    2: "top and bottom",
    3: "top and bottom",
    11: "side by side",
    13: "alternating",
    14: "alternating",
}
"""The same by Matroska's number (RFC 9559, 5.1.4.1.28.3)."""


@dataclass(frozen=True)
class StreamFacts:
    """Facts about one video stream.

    mastering, light: see :class:`stages.media.color_tags.ColorTags`.
    crop: what lies outside of the clean aperture, in stored pixels.
    dolby_vision: its profile; 0 where the profile is not known. dynamic: whether HDR10+ was seen.
    stereo: how two views share a frame. spherical: whether the picture is a projection of a sphere.
    """

    mastering: bytes | None = None
    light: tuple[int, int] | None = None
    crop: Crop | None = None
    dolby_vision: int | None = None
    dynamic: bool = False
    stereo: str = ""
    spherical: bool = False


@dataclass(frozen=True)
class StoredTrack:
    """Where a video track is in its file, and how it is stored.

    container: the demuxer's name. number: the track's own in an MP4; in Matroska its position among
    the video tracks. codec: its canonical name. size: the stored ``(H, W)``.
    """

    container: str
    number: int
    codec: str
    size: tuple[int, int]


def read_facts(path: Path, track: StoredTrack, data: list[bytes]) -> StreamFacts:
    """Return the facts that a file states about one video track. Never raises.

    data: the codec's header and its first packets.
    """
    facts = StreamFacts()
    with (
        contextlib.suppress(OSError, ValueError, IndexError, struct.error, ZeroDivisionError),
        path.open("rb") as file,
    ):
        if track.container.startswith("mov"):
            facts = _facts_of_mp4(file, track)
        elif track.container.startswith("matroska"):
            facts = _facts_of_matroska(file, track.number)
    for packet in data:
        with contextlib.suppress(ValueError, IndexError, struct.error):
            seen = scan_packet(packet, track.codec)
            vision = facts.dolby_vision
            if seen.dolby_vision and vision is None:
                # The profile is not known: the units are there, but not the box that states it.
                vision = 0
            facts = replace(
                facts,
                mastering=facts.mastering or seen.mastering,
                light=facts.light or seen.light,
                dynamic=facts.dynamic or seen.dynamic,
                dolby_vision=vision,
            )
    return facts


def _facts_of_mp4(file: BinaryIO, track: StoredTrack) -> StreamFacts:
    """Return the facts about one track of an MP4 or MOV."""
    span = _mp4_track(file, track.number)
    if span is None:
        return StreamFacts()
    begin, end = span
    spherical = any(
        kind == b"uuid" and _starts(file, at, _SPHERICAL[:4])
        for kind, at, _ in boxes(file, begin, end)
    )
    facts = StreamFacts(spherical=spherical)
    described = first_inside(file, span, b"mdia", b"minf", b"stbl", b"stsd")
    if described is None:
        return facts
    entries = boxes(file, described[0] + FULL_BOX_HEAD + COUNT, described[1])
    _, content, stop = next(entries, (b"", 0, 0))
    return _with_sample_entry(facts, file, (content, stop), track.size) if content else facts


def _mp4_track(file: BinaryIO, track: int) -> tuple[int, int] | None:
    """Return where the content of the box of the track with this number begins and ends."""
    length = file.seek(0, os.SEEK_END)
    movie = first_inside(file, (0, length), b"moov")
    if movie is None:
        return None
    for kind, begin, end in boxes(file, *movie):
        head = first_inside(file, (begin, end), b"tkhd") if kind == b"trak" else None
        if head is None:
            continue
        file.seek(head[0])
        header = file.read(max(_TRACK_NUMBER.values()) + 4)
        version = 1 if header[0] == 1 else 0
        if struct.unpack_from(">I", header, _TRACK_NUMBER[version])[0] == track:
            return begin, end
    return None


def _starts(file: BinaryIO, at: int, data: bytes) -> bool:
    """Return whether a file has ``data`` at the position ``at``."""
    file.seek(at)
    return file.read(len(data)) == data


def _with_sample_entry(
    facts: StreamFacts, file: BinaryIO, entry: tuple[int, int], size: tuple[int, int]
) -> StreamFacts:
    """Return the facts with those from the boxes of a video sample entry.

    entry: where its content begins and ends. size: the stored ``(H, W)``.
    """
    content, end = entry
    for kind, at, stop in boxes(file, content + VIDEO_ENTRY, end):
        file.seek(at)
        data = file.read(min(stop - at, _MAX_BOX_BYTES))
        after_head = data[FULL_BOX_HEAD:]
        if kind == b"mdcv" and len(data) >= MASTERING_BYTES:
            facts = replace(facts, mastering=data[:MASTERING_BYTES])
        elif kind == b"SmDm" and len(after_head) >= MASTERING_BYTES:
            facts = replace(facts, mastering=_from_smdm(after_head[:MASTERING_BYTES]))
        elif kind == b"clli" and len(data) >= 4:
            facts = replace(facts, light=struct.unpack_from(">HH", data))
        elif kind == b"CoLL" and len(after_head) >= 4:
            facts = replace(facts, light=struct.unpack_from(">HH", after_head))
        elif kind in _DOLBY_VISION and len(data) >= 4:
            facts = replace(facts, dolby_vision=data[_PROFILE_BYTE] >> 1)
        elif kind == b"clap" and len(data) >= 32:
            facts = replace(facts, crop=crop_from_clap(struct.unpack_from(">8i", data), size))
        elif kind == b"st3d" and len(after_head) >= 1:
            facts = replace(facts, stereo=_STEREO.get(after_head[0], ""))
        elif kind == b"sv3d":
            facts = replace(facts, spherical=True)
    return facts


def crop_from_clap(values: tuple[int, ...], size: tuple[int, int]) -> Crop | None:
    """Return what a clean aperture cuts off, in whole pixels.

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
    crop = Crop(*(max(0, int(edge)) for edge in edges))
    is_inside = min(edges) >= 0 and crop.left + crop.right < size[1]
    return crop if is_inside and crop.top + crop.bottom < size[0] and any(crop) else None


def _from_smdm(data: bytes) -> bytes:
    """Convert the content of VP9's SmDm box into an ``mdcv`` payload.

    It has x and y of red, green, blue and white, then the largest and the least luminance.
    """
    red, green, blue, white = (struct.unpack_from(">HH", data, 4 * at) for at in range(4))
    largest, least = struct.unpack_from(">II", data, 16)
    return pack_mastering(
        [value / _SMDM_CHROMATICITY for point in (green, blue, red, white) for value in point],
        largest / _SMDM_LARGEST,
        least / _SMDM_LEAST,
    )


def pack_mastering(points: list[float], largest: float, least: float) -> bytes:
    """Return an ``mdcv`` payload.

    points: x and y of green, blue, red and white. largest, least: luminances in cd/m2.
    """
    codes = [min(0xFFFF, max(0, round(value * CHROMATICITY_STEPS))) for value in points]
    luminances = [
        min(0xFFFFFFFF, max(0, round(value * LUMINANCE_STEPS))) for value in (largest, least)
    ]
    return struct.pack(">8HII", *codes, *luminances)


def _tracks(file: BinaryIO) -> bytes:
    """Return the content of a Matroska file's Tracks element; empty where there is none."""
    at = 0
    inside = False
    for _ in range(_MAX_TOP_ELEMENTS):
        file.seek(at)
        head = file.read(_ELEMENT_HEAD)
        if len(head) < 3 or not head[0]:
            return b""
        size_at = ebml.length_of_number(head[0])
        if size_at >= len(head) or not head[size_at]:
            return b""
        identifier = int.from_bytes(head[:size_at], "big")
        head_length, size = ebml.read_size(head, size_at)
        content = at + head_length
        if identifier == ebml.SEGMENT and not inside:
            at = content
            inside = True
        elif identifier == ebml.TRACKS:
            file.seek(content)
            return file.read(min(size, _MAX_TRACK_BYTES))
        elif ebml.is_unknown(size, head_length - size_at):
            return b""
        else:
            at = content + size
    return b""


def _facts_of_matroska(file: BinaryIO, position: int) -> StreamFacts:
    """Return the facts about the video track at this position among the video tracks."""
    count = -1
    for identifier, entry in elements(_tracks(file)):
        # Video tracks are counted, as the library does not give track numbers.
        is_track = identifier == ebml.TRACK_ENTRY
        count += is_track and _number(dict(elements(entry)), ebml.TRACK_TYPE) == ebml.VIDEO_TRACK
        if count == position:
            return _facts_of_track_entry(entry)
    return StreamFacts()


def _facts_of_track_entry(entry: bytes) -> StreamFacts:
    """Return the facts from the content of a Matroska file's TrackEntry element."""
    video = dict(elements(dict(elements(entry)).get(ebml.VIDEO, b"")))
    color = dict(elements(video.get(ebml.COLOR, b"")))
    projection = dict(elements(video.get(ebml.PROJECTION, b"")))
    crop = Crop(*(_number(video, side) for side in ebml.CROPS))
    light = _number(color, ebml.MAX_CLL), _number(color, ebml.MAX_FALL)
    return StreamFacts(
        mastering=_matroska_mastering(dict(elements(color.get(ebml.MASTERING, b"")))),
        light=light if any(light) else None,
        crop=crop if any(crop) else None,
        dolby_vision=_matroska_dolby_vision(entry),
        stereo=_MATROSKA_STEREO.get(_number(video, ebml.STEREO_MODE), ""),
        spherical=bool(_number(projection, ebml.PROJECTION_TYPE)),
    )


def _number(parts: dict[int, bytes], identifier: int) -> int:
    """Return the content of an element as a number; 0 where the element is missing."""
    return int.from_bytes(parts.get(identifier, b""), "big")


def _matroska_dolby_vision(entry: bytes) -> int | None:
    """Return Dolby Vision's profile from the content of a TrackEntry element, or None."""
    profile = None
    for identifier, mapping in elements(entry):
        block = dict(elements(mapping)) if identifier == ebml.BLOCK_ADDITION else {}
        kind, data = block.get(ebml.ADDITION_TYPE, b"")[-4:], block.get(ebml.ADDITION_DATA, b"")
        if kind in _MATROSKA_DOLBY_VISION and len(data) > _PROFILE_BYTE:
            profile = data[_PROFILE_BYTE] >> 1
    return profile


def _matroska_mastering(parts: dict[int, bytes]) -> bytes | None:
    """Convert a MasteringMetadata element into an ``mdcv`` payload; None where it is empty.

    parts: its elements by their identifiers.
    """
    values = [_float(parts.get(ebml.FIRST_POINT + number, b"")) for number in range(10)]
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
