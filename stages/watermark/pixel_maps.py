"""Helpers for maps of pixels ``(H, W)``: pairs of pixels, dilation, bounds, other sizes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.motion.flow import box_max

Area = tuple[slice, slice]
"""Rows and columns of a picture."""

Offset = tuple[int, int]
"""The step from a pixel to its partner in a pair, (down, right) in pixels, down at least 0."""

ACROSS_OFFSETS: tuple[Offset, ...] = (
    *((0, 3), (3, 0), (2, 2), (2, -2)),
    *((0, 4), (4, 0), (3, 3), (3, -3)),
)
"""Pairs with one pixel inside an outline and one outside, both clear of its soft edge."""


def pixel_pairs(picture: Tensor, offset: Offset) -> tuple[Tensor, Tensor]:
    """Return two views of ``picture`` (..., H, W): each pixel, and its partner.

    Both views are empty if the picture is too small.
    """
    down, right = offset
    height, width = picture.shape[-2:]
    upper, lower = slice(0, max(0, height - down)), slice(min(down, height), height)
    left, beyond = slice(0, max(0, width - abs(right))), slice(min(abs(right), width), width)
    if right < 0:
        left, beyond = beyond, left
    return picture[..., upper, left], picture[..., lower, beyond]


def dilated(chosen: Tensor, radius: int) -> Tensor:
    """Return ``chosen`` (H, W), boolean, grown by ``radius`` pixels; a negative one shrinks it."""
    sign = 1 if radius > 0 else -1
    return box_max(sign * chosen.float()[None, None], abs(radius))[0, 0] * sign > 0.5


def outline_band(chosen: Tensor, radius: int) -> Tensor:
    """Return the pixels within ``radius`` of the outline of ``chosen`` (H, W), on both sides."""
    return dilated(chosen, radius) & ~dilated(chosen, -radius)


def inner_part(box: Tensor) -> Tensor:
    """Return ``box`` (H, W) without the picture's outermost pixels, as numbers 0 and 1.

    So every mark has an outside.
    """
    allowed = box.clone()
    if min(box.shape) > 2:
        allowed[0], allowed[-1], allowed[:, 0], allowed[:, -1] = False, False, False, False
    return allowed.float()


def bounds_around(place: Tensor, margin: int, part: float = 0.0) -> Area:
    """Return the rows and columns that ``place`` spans, enlarged on every side.

    place: ``(H, W)``, boolean, true somewhere. margin: pixels to add on each side.
    part: fraction of the span's own length to add on each side.
    """
    spans = []
    for line in (place.any(1), place.any(0)):
        marked = line.nonzero()
        first, last = int(marked.min()), int(marked.max()) + 1
        more = margin + round(part * (last - first))
        spans.append(slice(max(0, first - more), min(len(line), last + more)))
    return spans[0], spans[1]


def placed_in_zeros(layer: Tensor, area: Area, size: tuple[int, int]) -> Tensor:
    """Return ``layer`` (C, h, w) as the ``area`` of a picture of zeros, ``(C, H, W)``.

    size: height and width of that picture.
    """
    whole = torch.zeros(len(layer), *size)
    whole[(..., *area)] = layer
    return whole


def resized_map(values: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Return the map ``values`` (H, W) at another size, by nearest neighbours."""
    if values.shape == size:
        return values
    return F.interpolate(values[None, None], size=tuple(size), mode="nearest")[0, 0]
