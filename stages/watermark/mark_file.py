"""A mark that the user gives as a picture, drawn at any size and place.

Pictures ``(3, h, w)``, coverages ``(1, h, w)``, both in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.mark import Mark

BACKGROUND_TOLERANCE = 0.06
"""Largest difference of a channel from the colour of an even background, in [0, 1]."""
LEAST_EVEN_RIM = 0.9
"""Least part of a picture's rim that has one colour, if the picture lies on an even background."""
SOFT_RIM = 2
"""Pixels around a pixel of a soft outline in which the mark's own colour is found."""


class MarkPlacement(NamedTuple):
    """Where a mark lies in a frame, in pixels of the frame.

    top, left: of the mark's picture; they may be fractions. height, width: of it.
    """

    top: float
    left: float
    height: float
    width: float


class Drawing(NamedTuple):
    """How a mark's picture was resized.

    kernel: one of :data:`KERNELS`.
    premultiplied: whether colours were multiplied by the coverage before they were averaged, so
        that the colour of what is transparent does not count.
    softness: standard deviation in pixels of the Gaussian by which compression blurred it.
    """

    kernel: str = "box"
    premultiplied: bool = True
    softness: float = 0.0


@dataclass(frozen=True)
class MarkFile:
    """A mark as the user gave it.

    color: ``(3, h, w)``. coverage: ``(1, h, w)``, at most 1 somewhere.

    Raises ValueError where no pixel is covered.
    """

    color: Tensor
    coverage: Tensor

    def __post_init__(self) -> None:
        if not bool((self.coverage > 0).any()):
            raise ValueError("no pixel of the mark is covered")

    @classmethod
    def of_picture(cls, pixels: Tensor) -> MarkFile:
        """Return the mark in a picture ``(3, h, w)``, or with alpha as fourth channel.

        Without alpha, an even background counts as transparent. A picture without an even
        background is covered everywhere. The coverage is scaled to 1 at most, because the opacity
        is measured.
        Raises ValueError where no pixel is covered.
        """
        color = pixels[:3]
        has_alpha = len(pixels) == 4 and float(pixels[3].min()) < 1
        coverage = pixels[3:] if has_alpha else _coverage_on_plain(color)
        if not bool((coverage > 0).any()):
            raise ValueError("no pixel of the mark is covered")
        return cls(color, coverage / coverage.max())

    def trimmed(self) -> tuple[MarkFile, tuple[int, int]]:
        """Return the mark without its empty rim, and the rows and columns cut off before it."""
        covered = self.coverage[0] > 0
        rows, columns = covered.any(1).nonzero()[:, 0], covered.any(0).nonzero()[:, 0]
        top, left = int(rows[0]), int(columns[0])
        part = (slice(None), slice(top, int(rows[-1]) + 1), slice(left, int(columns[-1]) + 1))
        return MarkFile(self.color[part], self.coverage[part]), (top, left)

    @property
    def size(self) -> tuple[int, int]:
        """Its height and width in pixels."""
        return self.color.shape[-2], self.color.shape[-1]

    def drawn(
        self, placement: MarkPlacement, frame_size: tuple[int, int], drawing: Drawing
    ) -> tuple[Tensor, Tensor]:
        """Return ink ``(3, H, W)`` and coverage ``(1, H, W)`` of the mark in a frame.

        frame_size: height and width. What lies outside of the frame is left out.
        """
        height, width = frame_size
        color = self.color * self.coverage if drawing.premultiplied else self.color
        layers = torch.cat([color, self.coverage])
        rows = resampling(self.size[0], height, placement.top, placement.height, drawing.kernel)
        columns = resampling(self.size[1], width, placement.left, placement.width, drawing.kernel)
        if drawing.softness > 0:
            rows = _blurring(height, drawing.softness) @ rows
            columns = _blurring(width, drawing.softness) @ columns
        resized = (rows @ layers @ columns.T).clamp(0, 1)
        color, coverage = resized[:3], resized[3:]
        if drawing.premultiplied:
            return torch.minimum(color, coverage), coverage
        # Beside the mark's own rim, its colour is that of the rim.
        reached = (rows.sum(1)[:, None] * columns.sum(1)).clamp_min(1e-6)
        return (color / reached).clamp(0, 1) * coverage, coverage

    def mark(
        self,
        placement: MarkPlacement,
        opacity: float,
        frame_size: tuple[int, int],
        drawing: Drawing,
    ) -> Mark:
        """Return the mark as it lies over a frame.

        opacity: of its most covered pixels, 0 to 1. frame_size: height and width.
        """
        ink, coverage = self.drawn(placement, frame_size, drawing)
        return Mark(opacity * coverage, opacity * ink, opacity, 0.0)


def resampling(source: int, target: int, first: float, length: float, kernel: str) -> Tensor:
    """Return the matrix ``(target, source)`` that resizes a line of pixels into another line.

    first, length: where the source lies in the target, in pixels of the target. Target pixels
    that the source does not reach are 0. kernel: one of :data:`KERNELS`. It is as wide as a pixel
    of the coarser line, so nothing is skipped where the source is made smaller.
    """
    scale = length / source
    width = max(1.0, 1 / scale)  # of a kernel, in pixels of the source
    centers = (torch.arange(target, dtype=torch.float32)[:, None] + 0.5 - first) / scale
    places = torch.arange(source, dtype=torch.float32)[None] + 0.5
    if kernel == "box":
        half = 0.5 / scale
        upper = torch.minimum(centers + half, places + 0.5)
        lower = torch.maximum(centers - half, places - 0.5)
        return (upper - lower).clamp_min(0) * scale
    # Near the ends of the source, the kernel is cut off, but what is outside is transparent.
    return KERNELS[kernel](((places - centers) / width).abs()) / width


def _blurring(length: int, deviation: float) -> Tensor:
    """Return the matrix ``(length, length)`` that blurs a line by a Gaussian."""
    place = torch.arange(length, dtype=torch.float32)
    weight = torch.exp(-0.5 * ((place[:, None] - place) / deviation).square())
    return weight / weight.sum(1, keepdim=True)


def _triangle(distance: Tensor) -> Tensor:
    return (1 - distance).clamp_min(0)


def _cubic(distance: Tensor) -> Tensor:
    """Return the cubic kernel of Keys (1981) with a = -0.5."""
    near = (1.5 * distance - 2.5) * distance.square() + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros(())))


def _lanczos(distance: Tensor) -> Tensor:
    """Return the kernel of Lanczos with three lobes."""
    value = torch.sinc(distance) * torch.sinc(distance / 3)
    return torch.where(distance < 3, value, torch.zeros(()))


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "box": lambda distance: (distance < 0.5).float(),
    "triangle": _triangle,
    "cubic": _cubic,
    "lanczos": _lanczos,
}
"""The kernels with which programs make a picture smaller or larger, by the distance from a pixel.
The box is exact for fractions of pixels, see :func:`resampling`."""


def _coverage_on_plain(color: Tensor) -> Tensor:
    """Return the coverage ``(1, h, w)`` of a mark on an even background, see :class:`MarkFile`.

    A pixel of a soft outline lies between the background and the colour of the mark beside it.
    """
    rim = torch.cat([color[:, 0], color[:, -1], color[:, :, 0], color[:, :, -1]], 1)
    background = rim.median(1).values
    is_plain = (rim - background[:, None]).abs().amax(0) <= BACKGROUND_TOLERANCE
    if float(is_plain.float().mean()) < LEAST_EVEN_RIM:
        return torch.ones_like(color[:1])
    distance = (color - background.view(3, 1, 1)).square().sum(0, keepdim=True).sqrt()
    side = 2 * SOFT_RIM + 1
    distance_of_mark = F.max_pool2d(distance[None], side, 1, SOFT_RIM)[0]
    coverage = distance / distance_of_mark.clamp_min(1e-6)
    is_marked = distance_of_mark > BACKGROUND_TOLERANCE
    return torch.where(is_marked, coverage, torch.zeros(())).clamp(0, 1)
