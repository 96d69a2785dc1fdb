"""Measurements on small frames: block contents, distances, optical flow, correlation, plainness.

Frames are ``(T, H, W, 3)`` float32, RGB in [0, 1], of the size that
:func:`stages.find.search.search_size` returns.
"""

from __future__ import annotations

from collections.abc import Sequence

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
NCC_BLOCKS = (6, 8)  # rows, columns
MARK = 0.02  # part of a plain frame that a small mark, such as a logo, may cover
LETTERS = 0.15  # least difference of letters from the colour of their title card, in [0, 1]
PLAIN = 0.02  # mean difference from its median colour below which a frame is plain
STRUCTURE = 0.004  # contrast below which a block has no structure
STRUCTURE_POWER = 0.25  # weight of a block: the fourth root of its variance
LEAST_SIDE = 16  # pixels; smaller frames show neither motion nor a pattern
LEAST_DIS_SIDE = 32  # pixels; with a shorter side this preset of DIS reads beyond its memory


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


def gray_bytes(frame: Array) -> npt.NDArray[np.uint8]:
    """Return the luma of a frame ``(H, W, 3)`` as bytes, the format for optical flow."""
    return (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) * 255 + 0.5).astype(np.uint8)


class OpticalFlow:
    """Dense optical flow between small frames, by DIS (Kroeger et al., ECCV 2016).

    Frames under 16 pixels a side are taken as not moving.
    """

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def flow(self, first: Array, second: Array) -> Array:
        """Return the displacement from each pixel of ``first`` to its place in ``second``.

        first, second: ``(H, W, 3)``. Returns ``(H, W, 2)`` (x, y) in pixels.
        """
        height, width = first.shape[:2]
        if min(height, width) < LEAST_SIDE:
            return np.zeros((height, width, 2), np.float32)
        edges = (0, max(0, LEAST_DIS_SIDE - height), 0, max(0, LEAST_DIS_SIDE - width))
        one, two = (
            cv2.copyMakeBorder(gray_bytes(frame), *edges, cv2.BORDER_REPLICATE)
            for frame in (first, second)
        )
        start = np.zeros((*one.shape[:2], 2), np.float32)
        found = np.asarray(self._dis.calc(one, two, start), np.float32)
        return np.ascontiguousarray(found[:height, :width])

    def residual(self, first: Array, second: Array) -> float:
        """Return the mean absolute difference that is left after motion compensation.

        first, second: ``(H, W, 3)``; ``second`` is warped to ``first`` by their flow.
        """
        return float(np.abs(warped(second, self.flow(first, second)) - first).mean())


def warped(frame: Array, flow: Array) -> Array:
    """Return ``out(x) = frame(x + flow(x))``; the frame's borders are repeated outwards.

    frame: ``(H, W, 3)`` or ``(H, W)``; flow: ``(H, W, 2)`` (x, y) in pixels.
    """
    height, width = frame.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    seen = cv2.remap(
        frame, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return seen.astype(np.float32, copy=False)


def motion_compensated_ncc(motion: OpticalFlow, one: Array, other: Array) -> float:
    """Return how much structure two frames have in common, from 0 (nothing) to 1 (all).

    one, other: ``(H, W, 3)``. It is the normalised cross-correlation within blocks after optical
    flow, weighted by how much structure a block holds. Motion, brightness and contrast do not
    count, nor does a border that both share.
    """
    ignored = shared_border(one, other)
    return max(
        _correlation(warped(one, motion.flow(other, one)), other, ignored),
        _correlation(warped(other, motion.flow(one, other)), one, ignored),
    )


class NccCache:
    """The NCC of pairs of frames, each pair computed once: it is the search's dearest measure.

    frames: of one stretch, ``(H, W, 3)`` each.
    """

    def __init__(self, motion: OpticalFlow, frames: Sequence[Array]) -> None:
        self._motion = motion
        self._frames = frames
        self._known: dict[tuple[int, int], float] = {}

    def __call__(self, one: int, other: int) -> float:
        """Return the NCC of the frames at two places of the stretch."""
        if (one, other) not in self._known:
            self._known[one, other] = motion_compensated_ncc(
                self._motion, self._frames[one], self._frames[other]
            )
        return self._known[one, other]


def _correlation(one: Array, other: Array, ignored: Mask | None) -> float:
    alike, weight = block_correlations(one, other, ignored)
    return float((weight * alike).sum() / (weight.sum() + 1e-6))


def block_correlations(
    one: Array, other: Array, ignored: Mask | None = None
) -> tuple[Array, Array]:
    """Return the correlation of each block of two frames and the block's weight, both ``(K,)``.

    one, other: ``(H, W, 3)``. ignored: pixels ``(H, W)`` that do not count. A block weighs the more
    the more structure it holds, and the more of its pixels count.
    """
    rows, columns = min(NCC_BLOCKS[0], one.shape[0]), min(NCC_BLOCKS[1], one.shape[1])
    height, width = rows * max(1, one.shape[0] // rows), columns * max(1, one.shape[1] // columns)
    pair = np.stack([one, other]).mean(3, keepdims=True).repeat(3, axis=3)
    blocks = blocked(resized(pair, height, width, cv2.INTER_LINEAR), rows, columns)[..., 0]
    counts = _counting(ignored, (height, width), blocks.shape[1:])
    number = np.maximum(counts.sum(1), 1)
    blocks = (blocks - ((blocks * counts).sum(2) / number)[..., None]) * counts
    power = (blocks**2).sum(2) / number
    product = (blocks[0] * blocks[1]).sum(1) / number
    alike = product / np.sqrt(power[0] * power[1] + STRUCTURE**2 * power.sum(0) + 1e-8)
    return alike, power.max(0) ** STRUCTURE_POWER * counts.mean(1)


def _counting(ignored: Mask | None, size: tuple[int, int], blocks: tuple[int, ...]) -> Array:
    """Return 1 for each pixel of the blocks that counts and 0 for the others, ``(K, pixels)``.

    ignored: pixels ``(H, W)``, or None. size: height and width of the frames that were cut into
    blocks. blocks: their shape, ``(K, pixels)``.
    """
    if ignored is None:
        return np.ones(blocks, np.float32)
    counting = (1 - ignored.astype(np.float32))[..., None].repeat(3, axis=2)
    large = resized(counting[None], *size, cv2.INTER_NEAREST)
    rows, columns = min(NCC_BLOCKS[0], ignored.shape[0]), min(NCC_BLOCKS[1], ignored.shape[1])
    return blocked(large, rows, columns)[0, ..., 0]


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
