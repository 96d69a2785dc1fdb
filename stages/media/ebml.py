"""Read and make elements of EBML, of which Matroska and WebM files consist (RFC 8794, RFC 9559).

An element is its identifier, its size and its content, which may be elements again. Identifier and
size are numbers of 1 to 8 bytes. The zero bits before the first 1 of a number tell how many more
bytes it has.
"""

from __future__ import annotations

from collections.abc import Iterator

# Matroska's element identifiers (RFC 9559, section 5). They contain the bits of their length.
HEADER = 0x1A45DFA3
SEGMENT, TRACKS, CLUSTER, VOID = 0x18538067, 0x1654AE6B, 0x1F43B675, 0xEC
TRACK_ENTRY, TRACK_TYPE, TRACK_NAME = 0xAE, 0x83, 0x536E
BLOCK_ADDITION, ADDITION_TYPE, ADDITION_DATA = 0x41E4, 0x41E7, 0x41ED
VIDEO, STEREO_MODE, COLOR = 0xE0, 0x53B8, 0x55B0
CROPS = (0x54CC, 0x54BB, 0x54DD, 0x54AA)
"""The elements with the pixels to cut off: left, top, right, bottom."""
MAX_CLL, MAX_FALL, MASTERING = 0x55BC, 0x55BD, 0x55D0
FIRST_POINT = 0x55D1
"""The first of ten elements in a row: x and y of red, green, blue and white, then luminances."""
PROJECTION, PROJECTION_TYPE = 0x7670, 0x7671
VIDEO_TRACK = 1
"""The track type of video."""

MAX_NUMBER = 8
"""Most bytes of a number."""

_MAX_ELEMENTS = 4096  # elements that are read at one level


def length_of_number(first: int) -> int:
    """Return how many bytes a number has, given its first byte; 9 where that byte is damaged."""
    return 9 - first.bit_length()


def is_unknown(size: int, length: int) -> bool:
    """Return whether an element's size, in ``length`` bytes, says that nobody knew it."""
    return size == (1 << 7 * length) - 1


def read_size(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Return where an element's content begins, and its size in bytes.

    at: the position of the size. Raises IndexError where ``data`` ends before it.
    """
    length = length_of_number(data[at])
    # Seven bits of each byte are left for the value.
    value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return at + length, value


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the identifier and the content of each element. Stop where one is damaged."""
    at = 0
    for _ in range(_MAX_ELEMENTS):
        if at >= len(data):
            return
        size_at = at + length_of_number(data[at])
        if size_at >= len(data) or not data[size_at]:
            return
        content, size = read_size(data, size_at)
        yield int.from_bytes(data[at:size_at], "big"), data[content : content + size]
        at = content + size


def identifier_bytes(identifier: int) -> bytes:
    """Return an identifier as it stands in a file."""
    return identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")


def element(identifier: int, content: bytes) -> bytes:
    """Return an element, with its size in as few bytes as possible."""
    size = len(content)
    length = next(count for count in range(1, MAX_NUMBER + 1) if size < (1 << 7 * count) - 1)
    return identifier_bytes(identifier) + (size | 1 << 7 * length).to_bytes(length, "big") + content
