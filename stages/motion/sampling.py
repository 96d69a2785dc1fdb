"""A quarter of a picture's pixels, spread evenly, so that a step of a flow fit costs a quarter."""

from __future__ import annotations

from torch import Tensor

from stages.motion.flow import lookup, pair_of_numbers, sample

MAX_WHOLE_PIXELS = 128 * 72
"""Pixels of the largest picture that is sampled whole. It is cheap, and a quarter of it would tell
too little."""

OFFSETS = ((0, 0), (1, 1), (0, 1), (1, 0))
"""First row and column of each sampling. Samplings that follow each other lie diagonally."""


class InterleavedSampling:
    """Every second pixel, across and down, of pictures of one size.

    There are :data:`COUNT` such samplings, and together they make up the picture. A mean over one
    of them has the expectation of the mean over the picture, at a quarter of the cost. Small
    pictures are sampled whole.

    size: height and width of the pictures. number: of the sampling, 0 to 3.
    like: a tensor with the type and device of the pictures.
    """

    COUNT = 4

    @classmethod
    def numbers(cls, size: tuple[int, int]) -> range:
        """Return the numbers of the samplings of a size that differ."""
        return range(1 if size[0] * size[1] <= MAX_WHOLE_PIXELS else cls.COUNT)

    def __init__(self, size: tuple[int, int], number: int, like: Tensor) -> None:
        self._stride = 1 if size[0] * size[1] <= MAX_WHOLE_PIXELS else 2
        down, right = OFFSETS[number] if self._stride == 2 else (0, 0)
        # In a picture one pixel high or wide, that pixel.
        self._begin = min(down, size[0] - 1), min(right, size[1] - 1)
        identity = lookup(like.new_zeros(1, 2, *size))
        self._places = self.of(identity.permute(0, 3, 1, 2))
        self._scale = pair_of_numbers(2 / size[1], 2 / size[0], like.dtype, like.device)

    def of(self, picture: Tensor) -> Tensor:
        """Return the sampled pixels of ``(T, C, H, W)``."""
        rows = slice(self._begin[0], None, self._stride)
        columns = slice(self._begin[1], None, self._stride)
        return picture[..., rows, columns].contiguous()

    def resized(self, picture: Tensor) -> Tensor:
        """Return the sampled pixels of ``(T, C, h, w)`` enlarged to the size of the pictures."""
        return sample(picture, self._places.permute(0, 2, 3, 1).expand(len(picture), -1, -1, -1))

    def warp(self, picture: Tensor, flow: Tensor) -> Tensor:
        """Return the sampled pixels of ``picture`` ``(T, C, H, W)`` warped along their ``flow``."""
        grid = self._places.addcmul(flow, self._scale).permute(0, 2, 3, 1)
        return sample(picture, grid)
