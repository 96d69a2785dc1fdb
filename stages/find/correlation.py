"""Normalised cross-correlation (NCC) of small frames: how much structure they have in common.

Frames are ``(H, W, 3)`` float32, RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from stages.find.borders import Mask, shared_border
from stages.find.features import Array, blocked, resized
from stages.find.optical_flow import optical_flow, warped

NCC_BLOCKS = (6, 8)  # rows, columns
STRUCTURE = 0.004  # contrast below which a block has no structure
STRUCTURE_POWER = 0.25  # weight of a block: the fourth root of its variance


def motion_compensated_ncc(one: Array, other: Array) -> float:
    """Return how much structure two frames have in common, from 0 (nothing) to 1 (all).

    one, other: ``(H, W, 3)``. It is the normalised cross-correlation within blocks after optical
    flow, weighted by how much structure a block holds. Motion, brightness and contrast do not
    count, nor does a border that both share.
    """
    ignored = shared_border(one, other)
    return max(
        _correlation(warped(one, optical_flow(other, one)), other, ignored),
        _correlation(warped(other, optical_flow(one, other)), one, ignored),
    )


class NccCache:
    """The NCC of pairs of frames, each pair computed once: it is the search's dearest measure.

    frames: of one stretch, ``(H, W, 3)`` each.
    """

    def __init__(self, frames: Sequence[Array]) -> None:
        self._frames = frames
        self._known: dict[tuple[int, int], float] = {}

    def __call__(self, one: int, other: int) -> float:
        """Return the NCC of the frames at two places of the stretch."""
        if (one, other) not in self._known:
            pair = self._frames[one], self._frames[other]
            self._known[one, other] = motion_compensated_ncc(*pair)
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
