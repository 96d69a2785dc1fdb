"""Walk through the boxes of MP4, MOV, AVIF and HEIF files (ISO/IEC 14496-12, 4.2).

A box is its size in 4 bytes, its kind in 4 letters, and its content, which may be boxes again.
Files are untrusted: a walk ends at the first box that does not lie within the one around it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

BOX_HEAD = 8
"""Bytes of a box's size and kind."""
LONG_BOX_HEAD = 16
"""Bytes of the head of a box whose size needs 8 bytes, which come after its kind."""
SIZE_IS_LONG, SIZE_TO_END = 1, 0
"""Sizes that are none: 8 bytes with the size follow, and the box goes on to the end."""
FULL_BOX_HEAD = 4
"""Bytes of the version and the flags that the content of many kinds of boxes begins with."""
COUNT = 4
"""Bytes of the number of entries in a table, after the version and the flags."""
VIDEO_ENTRY = 78
"""Bytes of the content of a video's sample entry before its boxes (12.1.3)."""

_MAX_BOXES = 4096  # boxes that are read at one level of a file


def boxes(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box between two positions: its kind, where its content begins, its end."""
    for _ in range(_MAX_BOXES):
        file.seek(begin)
        head = file.read(LONG_BOX_HEAD)
        if begin + BOX_HEAD > end or len(head) < BOX_HEAD:
            return
        size, kind = struct.unpack_from(">I4s", head)
        content = begin + BOX_HEAD
        if size == SIZE_IS_LONG and len(head) == LONG_BOX_HEAD:
            size = struct.unpack_from(">Q", head, BOX_HEAD)[0]
            content = begin + LONG_BOX_HEAD
        stop = end if size == SIZE_TO_END else begin + size
        if stop < content or stop > end:
            return
        yield kind, content, stop
        begin = stop


def first_inside(file: BinaryIO, span: tuple[int, int], *kinds: bytes) -> tuple[int, int] | None:
    """Return where the content of the first box along a path of kinds begins and ends.

    span: the begin and the end of what holds the first box of the path. Returns None where a box of
    the path is missing.
    """
    for wanted in kinds:
        inside = ((begin, end) for kind, begin, end in boxes(file, *span) if kind == wanted)
        inner = next(inside, None)
        if inner is None:
            return None
        span = inner
    return span
