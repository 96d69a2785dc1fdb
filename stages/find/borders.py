"""Find the plain border that two frames share, such as the black bars of a film.

A border says nothing about what a frame shows. If it counted, two films with black bars, or two
photographs of a slideshow, would seem to have much in common. Frames are ``(H, W, 3)`` float32,
RGB in [0, 1]. See :mod:`stages.dark_bars` for the dark bars of a whole clip.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

PLAIN_LINE = 0.04  # range of a row or column of pixels below which it is plain, in [0, 1]
SAME_COLOR = 0.04  # difference of two colours that count as one, in [0, 1]
SOFT_EDGE = 1  # pixels of the picture beside a border with which shrinking mixes the border


def shared_border(one: Frame, other: Frame) -> Mask | None:
    """Return the pixels ``(H, W)`` of the border that two frames of one size share, or None.

    They lie in the border of each frame and have one colour in both. Pictures may differ in size:
    what only one of them covers is not shared.
    """
    first, second = border(one), border(other)
    if first is None or second is None:
        return None
    shared = first & second & (np.abs(one - other).max(2) <= SAME_COLOR)
    return grown(shared) if shared.any() else None


def border(frame: Frame) -> Mask | None:
    """Return the pixels ``(H, W)`` of a frame's plain border, or None where it has none.

    It goes around the picture or along some of its sides. All of a frame of one colour is border.
    """
    top, bottom = _plain_lines(frame, 1)
    left, right = _plain_lines(frame, 0)
    if not top + bottom + left + right:
        return None
    height, width = frame.shape[:2]
    mask = np.ones((height, width), np.bool_)
    mask[top : height - bottom, left : width - right] = False
    return mask


def grown(mask: Mask) -> Mask:
    """Return a border ``(H, W)`` with the soft edge of the picture beside it."""
    beside = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cv2.dilate(mask.astype(np.uint8), beside, iterations=SOFT_EDGE) > 0


def _plain_lines(frame: Frame, axis: int) -> tuple[int, int]:
    """Return how many lines at both edges of a frame are plain and of their edge's colour.

    axis: along the lines, 1 for rows and 0 for columns.
    """
    edges = frame[[0, -1]] if axis == 1 else frame[:, [0, -1]]
    if not is_plain(edges, axis).any():
        return 0, 0  # as in most frames: the other lines are not looked at
    plain, colors = is_plain(frame, axis), frame.mean(axis)
    return _run(plain, colors), _run(plain[::-1], colors[::-1])


def is_plain(frame: Frame, axis: int) -> npt.NDArray[np.bool_]:
    """Return which lines of a frame are plain. axis: along them, 1 for rows and 0 for columns."""
    return np.asarray(np.ptp(frame, axis=axis).max(-1) <= PLAIN_LINE)


def _run(plain: npt.NDArray[np.bool_], colors: Frame) -> int:
    """Return how many lines from the first one on are plain and of its colour.

    plain: whether each line is, ``(N,)``. colors: mean colours of the lines, ``(N, 3)``.
    """
    alike = plain & (np.abs(colors - colors[0]).max(1) <= SAME_COLOR)
    return len(alike) if alike.all() else int(alike.argmin())
