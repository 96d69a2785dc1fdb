"""Damage files: mutations, drawn by seed, that know how files are built."""

from __future__ import annotations

import copy
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Order = Literal["big", "little"]


@dataclass(frozen=True)
class Piece:
    """A box, chunk, element or segment of a file. All places are in bytes from the file's start.

    begin, end: the first byte, and the one after the last.
    field, width, order: the place, size and byte order of the number that gives its length.
    content: where its content begins.
    """

    begin: int
    field: int
    width: int
    order: Order
    content: int
    end: int


BOXES = {
    b"moov",
    b"trak",
    b"mdia",
    b"minf",
    b"stbl",
    b"moof",
    b"traf",
    b"edts",
    b"udta",
    b"mvex",
    b"dinf",
    b"iprp",
    b"ipco",
    b"jp2h",
}
ELEMENTS = {
    b"\x18\x53\x80\x67",
    b"\x16\x54\xae\x6b",
    b"\xae",
    b"\xe0",
    b"\x1f\x43\xb6\x75",
    b"\xa0",
    b"\x1c\x53\xbb\x6b",
    b"\xbb",
    b"\xb7",
}


def pieces_of(data: bytes) -> list[Piece]:
    """Return the parts of a file, also nested ones; nothing for a file of unknown kind."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return list(_chunks(data, 8, len(data), "big", 4))
    if data[:4] == b"RIFF":
        return list(_chunks(data, 12, len(data), "little", 0))
    if data[:2] == b"\xff\xd8":
        return list(_segments(data))
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return list(_elements(data, 0, len(data)))
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"jP  "):
        return list(_boxes(data, 0, len(data)))
    return []


def _chunks(data: bytes, place: int, end: int, order: Order, tail: int) -> Iterator[Piece]:
    while place + 8 <= end:
        size = int.from_bytes(data[place + (0 if tail else 4) :][:4], order)
        after = place + 8 + size + (tail or size % 2)
        if after > end:
            return
        yield Piece(place, place + (0 if tail else 4), 4, order, place + 8, after)
        if data[place : place + 4] == b"LIST":
            yield from _chunks(data, place + 12, after, order, tail)
        place = after


def _segments(data: bytes) -> Iterator[Piece]:
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        after = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        yield Piece(place, place + 2, 2, "big", place + 4, min(after, len(data)))
        place = after


def _boxes(data: bytes, place: int, end: int) -> Iterator[Piece]:
    while place + 8 <= end:
        size = int.from_bytes(data[place : place + 4], "big")
        if size < 8 or place + size > end:
            return
        yield Piece(place, place, 4, "big", place + 8, place + size)
        kind = data[place + 4 : place + 8]
        if kind in BOXES or kind in (b"meta", b"stsd", b"dref"):
            yield from _boxes(
                data, place + 8 + {b"meta": 4, b"stsd": 8, b"dref": 8}.get(kind, 0), place + size
            )
        place += size


def _elements(data: bytes, place: int, end: int) -> Iterator[Piece]:
    while place + 2 <= end and data[place]:
        name = data[place : place + 9 - data[place].bit_length()]
        field = place + len(name)
        if field >= end or not data[field]:
            return
        width = 9 - data[field].bit_length()
        size = int.from_bytes(data[field : field + width], "big") & ((1 << 7 * width) - 1)
        after = field + width + size
        if size == (1 << 7 * width) - 1 or after > end:
            after = end
        yield Piece(place, field, width, "big", field + width, after)
        if name in ELEMENTS:
            yield from _elements(data, field + width, after)
        place = after


def mutate(data: bytes, others: Callable[[], bytes], rng: np.random.Generator) -> bytes:
    """Return the bytes with one to four faults. others: returns another file, if possible alike."""
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if len(made) < 8:
            break
        pieces = pieces_of(bytes(made)) if rng.random() < 0.6 else []
        if pieces:
            _change_piece(made, pieces, rng)
        else:
            change_bytes(made, others, rng)
    if made[:4] == b"\x89PNG" and rng.random() < 0.8:
        made = _with_sums(made)
    return bytes(made)


def _number(rng: np.random.Generator, width: int, near: int) -> int:
    """Return a number at the edge of what ``width`` bytes hold, one near ``near``, or any."""
    top: int = 256**width
    edges = [
        0,
        1,
        2,
        7,
        top - 1,
        top - 2,
        top // 2,
        top // 2 - 1,
        near + 1,
        near - 1,
        near * 2,
        near + 8,
        near - 8,
        top // 256,
    ]
    return (
        int(rng.choice(edges) if rng.random() < 0.8 else int(rng.integers(0, min(top, 2**62))))
        % top
    )


def _change_piece(made: bytearray, pieces: list[Piece], rng: np.random.Generator) -> None:
    piece = pieces[int(rng.integers(len(pieces)))]
    other = pieces[int(rng.integers(len(pieces)))]
    whole = bytes(made[piece.begin : piece.end])
    big = piece.order
    match int(rng.integers(8)):
        case 0:
            near = int.from_bytes(made[piece.field : piece.field + piece.width], big)
            made[piece.field : piece.field + piece.width] = _number(
                rng, piece.width, near
            ).to_bytes(piece.width, big)
        case 1:
            del made[piece.begin : piece.end]
        case 2:
            made[other.end : other.end] = whole * int(rng.choice([1, 1, 1, 2, 50]))
        case 3:
            made[piece.begin : piece.end] = made[other.begin : other.end]
        case 4 | 5 | 6 if piece.end > piece.content:
            # Counts, sizes and kinds are numbers near the beginning of the content.
            place = piece.content + int(rng.integers(0, min(64, piece.end - piece.content)))
            width = int(rng.choice([1, 2, 4, 4, 8]))
            near = int.from_bytes(made[place : place + width], big)
            made[place : place + width] = _number(rng, width, near).to_bytes(width, big)[
                : len(made) - place
            ]
        case _:
            del made[(piece.content + piece.end) // 2 : piece.end]


def change_bytes(made: bytearray, others: Callable[[], bytes], rng: np.random.Generator) -> None:
    """Make one change in place to a file that is not empty.

    The change cuts the end off, flips bits, alters a number of the header, or makes a piece zero,
    noise, missing, doubled, or a piece of another file.
    """
    first, last = sorted(int(place) for place in rng.integers(0, len(made) + 1, 2))
    head = int(rng.integers(0, min(len(made), 512)))
    match int(rng.integers(9)):
        case 0:
            del made[max(1, last) :]
        case 1 | 2:
            for place in rng.integers(0, len(made), int(rng.integers(1, 20))):
                made[place] ^= 1 << int(rng.integers(8))
        case 3:
            width = int(rng.choice([1, 2, 4]))
            order: Order = "big" if rng.random() < 0.5 else "little"
            made[head : head + width] = _number(
                rng, width, int.from_bytes(made[head : head + width], order)
            ).to_bytes(width, order)
        case 4:
            made[first:last] = bytes(last - first)
        case 5:
            made[first : first + 64] = rng.bytes(64)
        case 6:
            del made[first : first + int(rng.integers(1, 64))]
        case 7:
            made[head:head] = made[first : first + 256]
        case _:
            made[first:] = others()[first:]


def _with_sums(made: bytearray) -> bytearray:
    """Return the PNG with right checksums; a wrong one would hide the contents of a chunk."""
    for piece in pieces_of(bytes(made)):
        made[piece.end - 4 : piece.end] = struct.pack(
            ">I", zlib.crc32(made[piece.begin + 4 : piece.end - 4])
        )
    return made


def mutate_text(text: str, rng: np.random.Generator) -> bytes:
    """Return damaged JSON or TOML: a value of another kind, a missing key, or changed bytes."""
    data = text.encode()
    if rng.random() < 0.6:
        try:
            whole = json.loads(text)
        except ValueError:
            whole = None
        if isinstance(whole, dict):
            for _ in range(int(rng.integers(1, 4))):
                _change_value(whole, rng)
            return json.dumps(whole).encode()
    lines = text.splitlines()
    if rng.random() < 0.5 and len(lines) > 2 and " = " in lines[0]:
        place = int(rng.integers(len(lines)))
        value = json.dumps(STRANGE[int(rng.integers(len(STRANGE)))])
        lines[place] = f"{lines[place].partition(' = ')[0]} = {value}"
        return "\n".join(lines).encode()
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if len(made) > 8:
            change_bytes(made, lambda: data[::-1], rng)
    return bytes(made)


STRANGE: list[object] = [
    None,
    True,
    -1,
    0,
    2**63,
    2**64,
    1e308,
    "",
    "../../x",
    "/etc/passwd",
    "a\0b",
    [],
    {},
    [[]],
    {"a": {}},
    "\ud800",
    "1/0",
    0.5,
]


def _change_value(value: Any, rng: np.random.Generator) -> None:
    """Descend along random keys, and replace or remove the value there."""
    while True:
        keys: list[object] = []
        if isinstance(value, dict):
            keys = list(value)
        elif isinstance(value, list):
            keys = list(range(len(value)))
        if not keys:
            return
        key = keys[int(rng.integers(len(keys)))]
        inside = value[key]
        if not isinstance(inside, dict | list) or not inside or rng.random() < 0.2:
            if rng.random() < 0.15:
                del value[key]
            else:
                value[key] = copy.deepcopy(STRANGE[int(rng.integers(len(STRANGE)))])
            return
        value = inside
