"""Find HDR metadata inside the packets of H.264, HEVC and AV1 video.

Packets are untrusted: parsing stays within the packet, and whatever does not parse is ignored.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

# Payload types of SEI messages: ISO/IEC 23008-2 (HEVC) and ISO/IEC 14496-10 (H.264), annex D.
_T35, _MASTERING, _LIGHT = 4, 137, 144
_HEVC_SEI = (39, 40)  # NAL units with messages, before and after the picture
_HEVC_RPU = 62  # Dolby Vision's own NAL unit
_H264_SEI = (6,)
# ITU-T T.35: United States, Samsung's HDR10+ (ST 2094-40), application 4.
_HDR10_PLUS = bytes.fromhex("b5003c000104")
# AV1 specification, 6.2.2 and 6.7.1: the unit type, and the types of metadata in it.
_AV1_METADATA, _AV1_LIGHT, _AV1_MASTERING, _AV1_T35 = 5, 1, 2, 4
_MAX_UNITS = 256  # that are read of one packet


@dataclass(frozen=True)
class HdrMessages:
    """The HDR metadata of a packet; see :class:`stages.media.stream_facts.StreamFacts`."""

    mastering: bytes | None = None
    light: tuple[int, int] | None = None
    dynamic: bool = False
    dolby_vision: bool = False


def scan_packet(data: bytes, codec: str) -> HdrMessages:
    """Return the HDR metadata of one packet, or of a codec's header.

    codec: its canonical name in FFmpeg.

    Raises IndexError, ValueError or struct.error where the data is damaged.
    """
    found = HdrMessages()
    if "av1" in codec:
        for kind, content in _av1_units(data):
            if kind == _AV1_METADATA and content:
                found = _with_av1_metadata(found, content)
    elif codec in ("hevc", "h264"):
        for unit in _nal_units(data):
            found = _with_nal_unit(found, unit, is_hevc=codec == "hevc")
    return found


def _with_nal_unit(found: HdrMessages, unit: bytes, *, is_hevc: bool) -> HdrMessages:
    """Return the metadata with those of a NAL unit, which is of HEVC or else of H.264."""
    kind = unit[0] >> 1 & 63 if is_hevc else unit[0] & 31
    if is_hevc and kind == _HEVC_RPU:
        return replace(found, dolby_vision=True)
    if kind not in (_HEVC_SEI if is_hevc else _H264_SEI):
        return found
    body = unit[2:] if is_hevc else unit[1:]
    for payload_type, payload in _sei_messages(body.replace(b"\0\0\3", b"\0\0")):
        found = _with_sei_message(found, payload_type, payload)
    return found


def _with_sei_message(found: HdrMessages, payload_type: int, payload: bytes) -> HdrMessages:
    """Return the metadata with those of an SEI message."""
    if payload_type == _MASTERING and len(payload) >= 24:
        return replace(found, mastering=payload[:24])
    if payload_type == _LIGHT and len(payload) >= 4:
        return replace(found, light=struct.unpack_from(">HH", payload))
    if payload_type == _T35 and payload.startswith(_HDR10_PLUS):
        return replace(found, dynamic=True)
    return found


def _nal_units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a packet, or of an ``hvcC`` header.

    In a packet, units are separated by start codes or preceded by their lengths.
    """
    starts_with_code = data[:3] == b"\0\0\1" or data[:4] == b"\0\0\0\1"
    if starts_with_code:
        parts = data.split(b"\0\0\1", _MAX_UNITS)[1:]
        yield from (part for part in parts if len(part) > 2)
        return
    if data[:1] == b"\1" and len(data) > 23:
        yield from _header_units(data)
    at = 0
    for _ in range(_MAX_UNITS):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 3 or at + 4 + size > len(data):
            return
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _header_units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an HEVC decoder configuration record (ISO/IEC 14496-15, 8.3.3.1)."""
    at = 23
    for _ in range(data[22]):
        count = int.from_bytes(data[at + 1 : at + 3], "big")
        at += 3
        for _ in range(min(count, _MAX_UNITS)):
            size = int.from_bytes(data[at : at + 2], "big")
            if size < 3 or at + 2 + size > len(data):
                return
            yield data[at + 2 : at + 2 + size]
            at += 2 + size


def _sei_messages(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the payload of each message of an SEI unit.

    Type and size are each coded as bytes of 255 followed by one smaller byte, all added up.
    """
    at = 0
    while at + 2 <= len(body) and body[at : at + 1] != b"\x80":
        numbers = []
        for _ in range(2):
            number = 0
            while at < len(body) and body[at] == 255:
                number += 255
                at += 1
            numbers.append(number + body[at])
            at += 1
        yield numbers[0], body[at : at + numbers[1]]
        at += numbers[1]


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """Return a LEB128 number (7 bits a byte, lowest first) and the position after it."""
    value = 0
    for shift in range(8):
        byte = data[at + shift]
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            return value, at + shift + 1
    raise ValueError("a LEB128 number is too long")


def _av1_units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the content of each open bitstream unit (AV1 specification, 5.3)."""
    at = 4 if data[:1] == b"\x81" else 0
    for _ in range(_MAX_UNITS):
        if at >= len(data):
            return
        head = data[at]
        at += 2 if head & 4 else 1
        size = len(data) - at
        if head & 2:
            size, at = _leb128(data, at)
        yield head >> 3 & 15, data[at : at + size]
        at += size


def _with_av1_metadata(found: HdrMessages, content: bytes) -> HdrMessages:
    """Return the metadata with those of a metadata unit."""
    kind, at = _leb128(content, 0)
    body = content[at:]
    if kind == _AV1_LIGHT and len(body) >= 4:
        return replace(found, light=struct.unpack_from(">HH", body))
    if kind == _AV1_MASTERING and len(body) >= 24:
        # Red, green and blue are 0.16 fixed point; the luminances are 24.8 and 18.14.
        points = [struct.unpack_from(">HH", body, 4 * number) for number in (1, 2, 0, 3)]
        codes = [round(value * 50_000 / 65_536) for point in points for value in point]
        largest, least = struct.unpack_from(">II", body, 16)
        return replace(
            found,
            mastering=struct.pack(
                ">8HII", *codes, round(largest * 10_000 / 256), round(least * 10_000 / 16_384)
            ),
        )
    if kind == _AV1_T35 and body.startswith(_HDR10_PLUS):
        return replace(found, dynamic=True)
    return found
