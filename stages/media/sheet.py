"""Draw the contact sheet: one picture that shows a separation at a glance.

At the top there is one row each for the input, the layers and, if there is one, the matte, in
evenly spaced frames. Below, for a transition, there is the mixing curve over all its frames, with
the shown frames marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from stages.errors import UnlayerError
from stages.storage import safe_files

Image = NDArray[np.uint8]

COLUMNS = 8  # pictures in a row
# The layout, in pixels.
_LABEL = 150  # width of the rows' names
_GAP = 6  # between pictures
_HEAD = 44  # height of the title
_NUMBERS = 28  # height of the line of frame numbers
_PLOT = 260  # height of the mixing curve
_TICKS = 16  # most frame numbers below the curve
_INK, _FAINT = (40, 40, 40), (205, 205, 205)
_LINE = (200, 90, 20)  # OpenCV's order: blue, green, red


def chosen_frames(count: int, columns: int = COLUMNS) -> list[int]:
    """Return at most ``columns`` evenly spaced indices of ``count`` frames, with both ends."""
    if count <= columns:
        return list(range(count))
    return [round(column * (count - 1) / (columns - 1)) for column in range(columns)]


def draw_sheet(
    rows: Mapping[str, torch.Tensor],
    numbers: Sequence[int],
    mix: Sequence[float] = (),
    first_frame: int = 0,
    *,
    title: str = "",
    width: int = 1600,
) -> Image:
    """Return the sheet as an ``(H, width, 3)`` picture, RGB, 8 bits.

    rows: for each row's name its pictures, ``(N, 3, h, w)`` or ``(N, 1, h, w)`` in [0, 1], with
        the same ``N`` for all.
    numbers: the ``N`` frame numbers that are shown.
    mix: the weight of the incoming side, 0 to 1, for each frame from ``first_frame`` on. If empty,
        no curve is drawn.
    title: a line at the top. width: of the sheet, in pixels.

    Raises ValueError where the rows and numbers do not match.
    """
    if (
        not rows
        or any(len(pictures) != len(numbers) for pictures in rows.values())
        or not len(numbers)
    ):
        counts = {name: len(pictures) for name, pictures in rows.items()}
        raise ValueError(f"each row needs {len(numbers)} pictures, got {counts}")
    height, wide = next(iter(rows.values())).shape[-2:]
    # Divide the width by eight even for fewer frames, so that a short transition is not enlarged.
    cell_w = (width - _LABEL - _GAP) // max(COLUMNS, len(numbers)) - _GAP
    cell_h = min(max(1, round(height * cell_w / wide)), 4 * cell_w)
    plot_top = _HEAD + _NUMBERS + len(rows) * (cell_h + _GAP)
    sheet = np.full((plot_top + (_PLOT if len(mix) else 0), width, 3), 255, np.uint8)
    _text(sheet, title, (_GAP + 4, 30), 0.7)
    lefts = [_LABEL + column * (cell_w + _GAP) for column in range(len(numbers))]
    for left, number in zip(lefts, numbers, strict=True):
        _text(sheet, str(number), (left, _HEAD + 18), 0.5)
    for row, (name, pictures) in enumerate(rows.items()):
        top = _HEAD + _NUMBERS + row * (cell_h + _GAP)
        _text(sheet, name, (_GAP + 4, top + 20), 0.5)
        for left, picture in zip(lefts, pictures, strict=True):
            sheet[top : top + cell_h, left : left + cell_w] = _shrunk(picture, cell_h, cell_w)
    if len(mix):
        _plot(sheet, plot_top, mix, first_frame, numbers)
    return sheet[..., ::-1].copy()


def write_sheet(path: Path, sheet: Image) -> None:
    """Write an RGB picture as PNG.

    Raises UnlayerError where it cannot be encoded and OSError where it cannot be written.
    """
    done, data = cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))
    if not done:
        raise UnlayerError(f"{path}: the contact sheet could not be made")
    safe_files.write_whole(path, data.tobytes())


def _shrunk(picture: torch.Tensor, height: int, width: int) -> Image:
    """Return a ``(3 or 1, h, w)`` picture as ``(height, width, 3)``, blue first."""
    values = (
        picture.detach()
        .to("cpu", torch.float32)
        .clamp(0, 1)
        .expand(3, -1, -1)
        .flip(0)
        .permute(1, 2, 0)
        .mul(255)
        .round()
    )
    smaller = cv2.resize(
        values.to(torch.uint8).numpy(), (width, height), interpolation=cv2.INTER_AREA
    )
    return np.asarray(smaller, np.uint8)


def _text(sheet: Image, text: str, at: tuple[int, int], size: float) -> None:
    # OpenCV's Hershey fonts only have ASCII.
    cv2.putText(
        sheet,
        text.encode("ascii", "replace").decode(),
        at,
        cv2.FONT_HERSHEY_SIMPLEX,
        size,
        _INK,
        1,
        cv2.LINE_AA,
    )


def _plot(
    sheet: Image, top: int, mix: Sequence[float], first_frame: int, shown: Sequence[int]
) -> None:
    """Draw the mixing curve, from 0 to 1, over the frame numbers."""
    left, right = _LABEL, sheet.shape[1] - 2 * _GAP - 20
    upper, lower = top + 24, top + _PLOT - 44

    def place(frame: float, weight: float) -> tuple[int, int]:
        across = (frame - first_frame + 0.5) / len(mix)
        return round(left + across * (right - left)), round(lower - weight * (lower - upper))

    _text(sheet, "mix", (_GAP + 4, upper + 6), 0.5)
    for weight in (0, 0.25, 0.5, 0.75, 1):
        level = place(first_frame, weight)[1]
        cv2.line(sheet, (left, level), (right, level), _FAINT, 1)
        _text(sheet, f"{weight:g}", (left - 48, level + 5), 0.5)
    every = max(1, -(-len(mix) // _TICKS))
    for frame in range(first_frame, first_frame + len(mix), every):
        x, y = place(frame, 0)
        cv2.line(sheet, (x, y), (x, y + 5), _INK, 1)
        _text(sheet, str(frame), (x - 5 * len(str(frame)), y + 24), 0.5)
    points = [place(first_frame + index, float(weight)) for index, weight in enumerate(mix)]
    for begin, end in zip(points, points[1:], strict=False):
        cv2.line(sheet, begin, end, _LINE, 2, cv2.LINE_AA)
    for number in shown:
        cv2.circle(sheet, points[number - first_frame], 4, _LINE, -1, cv2.LINE_AA)
