"""What the search looks at in small frames: block contents, how far apart two frames are, and what motion leaves over.

Frames are ``(T, H, W, 3)`` float32, RGB in [0, 1], as small as :func:`stages.find.search.search_size` makes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

CELLS = 4  # cells along each side of a block: enough of them tell one content from another, few enough forgive motion
SCAN_BLOCKS = (4, 6)  # rows, columns
MARK, LETTERS = (
    0.02,
    0.15,
)  # part of a plain frame that a mark may cover; how far letters are from the colour of their card
PLAIN = 0.02  # mean difference from its median colour below which a frame is plain
STRUCTURE = 0.004  # contrast below which a block has no structure


def resized(frames: Array, height: int, width: int, how: int = cv2.INTER_AREA) -> Array:
    """Frames ``(T, H, W, 3)`` at another size, ``(T, height, width, 3)``."""
    if frames.shape[1:3] == (height, width):
        return frames
    return np.stack(
        [cv2.resize(frame, (width, height), interpolation=how) for frame in frames]
    ).astype(np.float32)


def blocked(frames: Array, rows: int, columns: int) -> Array:
    """Cuts frames whose sides are multiples of ``rows`` and ``columns`` into blocks: ``(T, rows * columns, pixels of a block, 3)``."""
    count, height, width, _ = frames.shape
    parts = frames.reshape(count, rows, height // rows, columns, width // columns, 3)
    return parts.transpose(0, 1, 3, 2, 4, 5).reshape(count, rows * columns, -1, 3)


def contents(frames: Array) -> Array:
    """Coarse content of each block of each frame, ``(T, K, D)``: mean colours of its cells."""
    rows, columns = SCAN_BLOCKS
    small = resized(frames, rows * CELLS, columns * CELLS)
    return blocked(small, rows, columns).reshape(len(frames), rows * columns, -1)


def distances(one: Array, many: Array) -> Array:
    """Mean squared difference of each block's content: ``(K, D)`` and ``(T, K, D)`` to ``(T, K)``."""
    return np.asarray(((many - one) ** 2).mean(2))


def grey_bytes(frame: Array) -> npt.NDArray[np.uint8]:
    """Luma of one frame ``(H, W, 3)`` as bytes, what optical flow wants."""
    return (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) * 255 + 0.5).astype(np.uint8)


LEAST_SIDE = 32


class Motion:
    """Dense optical flow between small frames (DIS). Frames under 16 pixels a side are taken as not moving."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def flow(self, first: Array, second: Array) -> Array:
        """Displacement ``(H, W, 2)`` in pixels (x, y) that leads from each pixel of ``first`` to ``second``."""
        if min(first.shape[:2]) < 16:
            return np.zeros((*first.shape[:2], 2), np.float32)
        height, width = first.shape[:2]
        # With a side of less than 32 pixels this preset of DIS reads beyond its memory.
        edges = (0, max(0, LEAST_SIDE - height), 0, max(0, LEAST_SIDE - width))
        one, two = (
            cv2.copyMakeBorder(grey_bytes(frame), *edges, cv2.BORDER_REPLICATE)
            for frame in (first, second)
        )
        found = np.asarray(
            self._dis.calc(one, two, np.zeros((*one.shape[:2], 2), np.float32)), np.float32
        )
        return np.ascontiguousarray(found[:height, :width])

    def residual(self, first: Array, second: Array) -> float:
        """Mean absolute difference between ``first`` and ``second`` brought to it by their flow."""
        return float(np.abs(carried(second, self.flow(first, second)) - first).mean())


def carried(frame: Array, flow: Array) -> Array:
    """``out(x) = frame(x + flow(x))``: a frame ``(H, W, 3)`` seen through a displacement ``(H, W, 2)``; borders are repeated."""
    height, width = frame.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    warped = cv2.remap(
        frame, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return warped.astype(np.float32, copy=False)


def motion_compensated_ncc(motion: Motion, one: Array, other: Array) -> float:
    """How much of the structure of two frames ``(H, W, 3)`` is the same once motion, light and contrast are taken away: 0 none, 1 all.

    Correlation within blocks after optical flow, weighted by how much structure a block holds.
    """
    return max(
        _correlation(carried(one, motion.flow(other, one)), other),
        _correlation(carried(other, motion.flow(one, other)), one),
    )


class NccCache:
    """The kinships of the frames of one stretch, each pair computed once: it is the search's dearest measure.

    frames: of the stretch, ``(H, W, 3)`` each.
    """

    def __init__(self, motion: Motion, frames: Sequence[Array]) -> None:
        self._motion, self._frames = motion, frames
        self._known: dict[tuple[int, int], float] = {}

    def __call__(self, one: int, other: int) -> float:
        """Return the kinship of the frames at two places of the stretch."""
        if (one, other) not in self._known:
            self._known[one, other] = motion_compensated_ncc(
                self._motion, self._frames[one], self._frames[other]
            )
        return self._known[one, other]


def _correlation(one: Array, other: Array) -> float:
    alike, weight = block_correlations(one, other)
    return float((weight * alike).sum() / (weight.sum() + 1e-6))


def block_correlations(one: Array, other: Array) -> tuple[Array, Array]:
    """Return the correlation of each block of two frames ``(H, W, 3)`` and its weight, which is how much structure it holds; ``(K,)``."""
    rows, columns = min(6, one.shape[0]), min(8, one.shape[1])
    pair = np.stack([one, other]).mean(3, keepdims=True).repeat(3, axis=3)
    height, width = rows * max(1, one.shape[0] // rows), columns * max(1, one.shape[1] // columns)
    blocks = blocked(resized(pair, height, width, cv2.INTER_LINEAR), rows, columns)[..., 0]
    blocks = blocks - blocks.mean(2, keepdims=True)
    power = (blocks**2).mean(2)
    alike = (blocks[0] * blocks[1]).mean(1) / np.sqrt(
        power[0] * power[1] + STRUCTURE**2 * power.sum(0) + 1e-8
    )
    return alike, power.max(0) ** 0.25


def contrast_ratio(frames: Array, mix: npt.NDArray[np.float64]) -> float:
    """Whether the frames between two pictures have the contrast of one picture, 1, or that of a mixture of two, 0.

    frames: ``(n + 2, H, W, 3)``, the two pictures first and last; mix: ``(n,)``, the last one's weights. Contrasts of pictures that have
    nothing to do with each other add up as squares, so a mixture loses half of them in its middle. Nothing is matched here: no motion,
    however well it explains a whip pan's frames, takes their contrast away. Of fine and of coarser detail the answer further from 0.
    """
    greys = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    answers = []
    for pictures in (greys, np.stack([cv2.GaussianBlur(grey, (0, 0), 1) for grey in greys])):
        contrast = (np.diff(pictures, axis=1) ** 2).mean((1, 2)) + (
            np.diff(pictures, axis=2) ** 2
        ).mean((1, 2))
        mixed = (1 - mix) ** 2 * contrast[0] + mix**2 * contrast[-1]
        either = (1 - mix) * contrast[0] + mix * contrast[-1]
        answers.append(
            float((contrast[1:-1] - mixed).sum() / max(float((either - mixed).sum()), 1e-9))
        )
    return max(answers, key=abs)


def plain_colour(frame: Array) -> str | None:
    """The colour ``#rrggbb`` of a frame ``(H, W, 3)`` that has only one, but for a mark in a corner; a title card is a picture."""
    pixels = frame.reshape(-1, 3)
    colour = np.median(pixels, axis=0)
    away = np.abs(pixels - colour)
    if float(away.mean()) > PLAIN or float(np.quantile(away.mean(1), 1 - MARK)) > LETTERS:
        return None
    return "#" + "".join(f"{round(float(part) * 255):02x}" for part in np.clip(colour, 0, 1))


def spread(frame: Array) -> float:
    """Return the mean absolute difference of a frame's ``(H, W, 3)`` pixels from their median colour."""
    pixels = frame.reshape(-1, 3)
    return float(np.abs(pixels - np.median(pixels, axis=0)).mean())
