"""Read the arguments of ``--hint`` and ``--hint-background``: files, boxes, points and frames.

============================  =================================================
``mask.png``                  a picture (or clip), white on black
``box:10,20,200,120``         a box: left, top, width and height in pixels
``point:64,48``               a point: x and y in pixels
``48:mask.png``               the same, drawn for frame 48
============================  =================================================
"""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.values import parse_path

BOX, POINT = "box", "point"
"""How the arguments of boxes and points begin."""

_MISTYPED = re.compile(r"[^\W\d]*\W{0,2}-?\d+(?:\.\d+)?(?:[\s,;x]+-?\d+(?:\.\d+)?)+\)?", re.ASCII)
"""A word and numbers, which is meant as a box or point where no file has this name."""
_FRAME = re.compile(r"(\d{1,9}):(.+)", re.ASCII | re.DOTALL)
_NUMBERS = {BOX: re.compile(r"(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})", re.ASCII)}
_NUMBERS[POINT] = re.compile(r"(\d{1,6}),(\d{1,6})", re.ASCII)
_SHAPES = {BOX: "box:X,Y,W,H", POINT: "point:X,Y"}
_MEANINGS = {
    BOX: "left, top, width and height in whole pixels, W and H above 0 (box:10,20,200,120)",
    POINT: "two whole numbers of pixels, counted from the top left corner (point:64,48)",
}


@dataclass(frozen=True)
class HintArgument:
    """One hint as the user gave it: a file, a box or a point.

    frame: the frame that it was drawn for, counted from 0 in the input; ``None`` where not said.
    file: the picture or clip. box: left, top, width, height in pixels. point: x, y in pixels.
    One of the three is given.
    """

    frame: int | None = None
    file: Path | None = None
    box: tuple[int, int, int, int] | None = None
    point: tuple[int, int] | None = None

    def __str__(self) -> str:
        """Return the argument as on the command line."""
        return self.named(str(self.file))

    def named(self, file: str) -> str:
        """Return the argument as on the command line, with another name for its file."""
        frame = "" if self.frame is None else f"{self.frame}:"
        if self.box is not None:
            return f"{frame}{BOX}:{','.join(map(str, self.box))}"
        if self.point is not None:
            return f"{frame}{POINT}:{','.join(map(str, self.point))}"
        looks_like_another = _FRAME.fullmatch(file) or file.partition(":")[0] in _NUMBERS
        return f"{frame}./{file}" if looks_like_another else f"{frame}{file}"

    @property
    def area(self) -> tuple[int, int, int, int] | None:
        """Left, top, width and height of a box or point in pixels; ``None`` of a file."""
        if self.point is not None:
            return (*self.point, 1, 1)
        return self.box


def parse_hint(argument: str) -> HintArgument:
    """Return the hint that ``argument`` describes; see this module's table.

    A file whose name looks like another kind of hint is written with its folder: ``./box:1.png``.
    Raises ArgumentTypeError where its numbers are not those of a box or point, and where it looks
    like a mistyped one and no file has this name.
    """
    match = _FRAME.fullmatch(argument)
    frame = int(match[1]) if match else None
    rest = match[2] if match else argument
    kind, colon, numbers = rest.partition(":")
    if not colon or kind not in _NUMBERS:
        if _MISTYPED.fullmatch(rest) and not os.path.lexists(rest):
            raise argparse.ArgumentTypeError(
                f"{argument!r} is neither a file nor {_SHAPES[BOX]} or {_SHAPES[POINT]}, in pixels "
                "(box:10,20,200,120)"
            )
        return HintArgument(frame, file=parse_path(rest))
    values = _NUMBERS[kind].fullmatch(numbers)
    if values is None or (kind == BOX and not int(values[3]) * int(values[4])):
        raise argparse.ArgumentTypeError(f"{argument!r} is not {_SHAPES[kind]}: {_MEANINGS[kind]}")
    found = tuple(map(int, values.groups()))
    if kind == POINT:
        return HintArgument(frame, point=(found[0], found[1]))
    return HintArgument(frame, box=(found[0], found[1], found[2], found[3]))
