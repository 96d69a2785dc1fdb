"""Measurements on small frames: block contents, distances, contrast, plainness.

Frames are ``(T, H, W, 3)`` float32, RGB in [0, 1], of the size that
:func:`stages.find.search.search_size` returns.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.find.borders import Mask, shared_border

Array = npt.NDArray[np.float32]

# Cells along each side of a block: enough to tell one content from another, few enough to forgive
# small motions.
CELLS = 4
SCAN_BLOCKS = (4, 6)  # rows, columns
MARK = 0.02  # part of a plain frame that a small mark, such as a logo, may cover
LETTERS = 0.15  # least difference of letters from the colour of their title card, in [0, 1]
LEAST_SIDE = 16  # pixels; smaller frames show neither motion nor a pattern
PLAIN = 0.02  # mean difference from its median colour below which a frame is plain


def is_too_small(frames: Array) -> bool:
    """Return whether frames ``(T, H, W, 3)`` are too small to show motion or a pattern."""
    return bool(min(frames.shape[1:3]) < LEAST_SIDE)


def channels_first(frames: Array) -> Tensor:
    """Return a frame ``(H, W, 3)`` as a tensor ``(3, H, W)``, or frames ``(T, H, W, 3)`` alike."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(frames, -1, -3)))


def channels_last(pixels: Tensor) -> Array:
    """Return frames ``(T, 3, H, W)`` as an array ``(T, H, W, 3)``."""
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())


def median(values: npt.NDArray[np.floating]) -> float:
    """Return the median of an array's finite values, of which there is at least one.

    NumPy's own function gives the same, but takes five times as long for some hundred values.
    """
    flat, half = values.ravel(), values.size // 2
    if values.size % 2:
        return float(np.partition(flat, half)[half])
    sides = np.partition(flat, (half - 1, half))
    return float((sides[half - 1] + sides[half]) / 2)


def resized(frames: Array, height: int, width: int, how: int = cv2.INTER_AREA) -> Array:
    """Return frames ``(T, H, W, 3)`` at another size, ``(T, height, width, 3)``."""
    if frames.shape[1:3] == (height, width):
        return frames
    return np.stack(
        [cv2.resize(frame, (width, height), interpolation=how) for frame in frames]
    ).astype(np.float32)


def blocked(frames: Array, rows: int, columns: int) -> Array:
    """Cut frames into blocks.

    frames: ``(T, H, W, 3)``, H a multiple of ``rows`` and W one of ``columns``. Returns
    ``(T, rows * columns, pixels of a block, 3)``.
    """
    count, height, width, _ = frames.shape
    parts = frames.reshape(count, rows, height // rows, columns, width // columns, 3)
    return parts.transpose(0, 1, 3, 2, 4, 5).reshape(count, rows * columns, -1, 3)


def contents(frames: Array) -> Array:
    """Return the coarse content of each block of each frame, ``(T, K, D)``.

    It consists of the mean colours of the block's cells.
    """
    rows, columns = SCAN_BLOCKS
    small = resized(frames, rows * CELLS, columns * CELLS)
    return blocked(small, rows, columns).reshape(len(frames), rows * columns, -1)


def distances(one: Array, many: Array) -> Array:
    """Return the mean squared difference of each block's content, ``(T, K)``.

    one: contents of one frame, ``(K, D)``; many: of other frames, ``(T, K, D)``.
    """
    return np.asarray(((many - one) ** 2).mean(2))


def contrast_ratio(frames: Array, mix: npt.NDArray[np.float64], *, related: bool = False) -> float:
    """Return whether the frames between two pictures have the contrast of one picture or of two.

    frames: ``(n + 2, H, W, 3)``, the two pictures first and last. mix: the last one's weights in
    the frames between them, ``(n,)``. related: whether the pictures may have something in common
    in the same places, as where one is a mixture with the other. That is reckoned with then.

    Returns about 1 for the contrast of one picture and about 0 for that of a mixture of two.
    Contrasts of unrelated pictures add up as squares, so that a mixture loses half of them in its
    middle. The frames are not matched to each other: a motion model can explain the frames of a
    whip pan very well, but cannot take away their contrast. The measure is taken of fine and of
    coarser detail, and the answer further from 0 is returned.
    """
    grays = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    ignored = shared_border(frames[0], frames[-1])
    answers = []
    for pictures in (grays, np.stack([cv2.GaussianBlur(gray, (0, 0), 1) for gray in grays])):
        contrast = _contrasts(pictures, 1, ignored) + _contrasts(pictures, 2, ignored)
        of_two = (1 - mix) ** 2 * contrast[0] + mix**2 * contrast[-1]
        if related:
            both = pictures[0] + pictures[-1]
            sums = _contrasts(both[None], 1, ignored) + _contrasts(both[None], 2, ignored)
            of_two = of_two + mix * (1 - mix) * (sums[0] - contrast[0] - contrast[-1])
        of_one = (1 - mix) * contrast[0] + mix * contrast[-1]
        answers.append(
            float((contrast[1:-1] - of_two).sum() / max(float((of_one - of_two).sum()), 1e-9))
        )
    return max(answers, key=abs)


def _contrasts(pictures: Array, axis: int, ignored: Mask | None) -> Array:
    """Return the mean squared difference of neighbours along an axis, 0 where there are none.

    pictures: ``(n, H, W)``. axis: 1 for rows, 2 for columns. ignored: pixels ``(H, W)`` that do
    not count.
    """
    if pictures.shape[axis] < 2:
        return np.zeros(len(pictures), pictures.dtype)
    squares = np.diff(pictures, axis=axis) ** 2
    if ignored is not None:
        first, second = (np.delete(ignored, end, axis - 1) for end in (-1, 0))
        squares = squares * ~(first | second)
    return np.asarray(squares.mean((1, 2)))


def plain_color(frame: Array) -> str | None:
    """Return the colour ``#rrggbb`` of a near-uniform frame, else None.

    frame: ``(H, W, 3)``. A small mark in a corner is tolerated. A title card counts as a picture.
    """
    pixels = frame.reshape(-1, 3)
    color = np.median(pixels, axis=0)
    away = np.abs(pixels - color)
    if float(away.mean()) > PLAIN or float(np.quantile(away.mean(1), 1 - MARK)) > LETTERS:
        return None
    return color_name(color)


def color_name(color: npt.NDArray[np.floating]) -> str:
    """Return a colour ``(3,)`` in [0, 1] as ``#rrggbb``."""
    return "#" + "".join(f"{round(float(part) * 255):02x}" for part in np.clip(color, 0, 1))


def spread(frame: Array) -> float:
    """Return the mean absolute difference of a frame ``(H, W, 3)`` from its median colour."""
    pixels = frame.reshape(-1, 3)
    return float(np.abs(pixels - np.median(pixels, axis=0)).mean())
