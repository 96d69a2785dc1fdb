"""Tell a mark from a texture by how the colours across an outline change from tile to tile.

A mark of opacity a and colour c makes ``(1 - a) J + a c`` of every J. So what tells two tiles apart
is weaker inside its outline by the same factor, whatever the tiles show, and what is added to it is
the same. A texture that repeats shows the same in all tiles: what tells them apart is light, which
weakens everything by a factor and adds nothing, or noise, which is not alike on both sides.

Tiles ``(K, 3, h, w)`` in [0, 1]; maps ``(h, w)`` of one tile. Colours across an outline are
``(K, 3, n)``, for n pairs of pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from stages.watermark.outline_law import LEAST_SAMPLES, outline_sides, robust_slope
from stages.watermark.pixel_maps import ACROSS_OFFSETS, dilated, pixel_pairs

BESIDE = 6  # pixels around an outline in which colours are compared beside it
LEAST_CHANGE = 4 / 255
"""Standard deviation of a colour from tile to tile, at least: copies of one picture tell no law."""


@dataclass(frozen=True)
class TileLaw:
    """How the colours inside an outline follow those outside of it from tile to tile.

    transmission: how much of the contrast outside is left inside: 1 less the opacity of a mark.
    error: standard error of that, by leaving out tiles.
    correlation: of both sides from tile to tile, -1 to 1.
    correlation_beside: the same between places beside the outline that are as far apart.
    color: of the mark that explains the rest, ``(3,)``. It may lie outside of [0, 1].
    spread: standard deviation of that colour over the outline.
    """

    transmission: float
    error: float
    correlation: float
    correlation_beside: float
    color: Tensor
    spread: float

    @property
    def opacity(self) -> float:
        """The opacity of a mark that obeys the law, 0 to 1."""
        return 1 - self.transmission

    @property
    def surplus(self) -> float:
        """``(1 - correlation) / (1 - correlation_beside)``, which is near 1 for a mark.

        There, what is inside is what lies behind, weakened. Else it is larger.
        """
        return (1 - self.correlation) / max(1e-6, 1 - self.correlation_beside)


class _Line(NamedTuple):
    """A line from outer to inner colours: slope, correlation, and the pairs' weights ``(n,)``."""

    slope: float
    correlation: float
    weight: Tensor


def fit_tile_law(tiles: Tensor, chosen: Tensor) -> TileLaw | None:
    """Return the law that a mark's outline obeys, or None where too little tells it.

    tiles: two or more. chosen: what the outline encloses, ``(h, w)``, boolean.
    """
    outer, inner = outline_sides(tiles, chosen)
    if outer.shape[-1] < LEAST_SAMPLES or float(outer.std(0).median()) < LEAST_CHANGE:
        return None
    line = _fit_line(outer, inner)
    added = (inner - line.slope * outer).mean(0) / max(1e-3, 1 - line.slope)
    color = (line.weight * added).sum(1) / line.weight.sum()
    deviation = (added - color[:, None]).square().mean(0)
    spread = float(((line.weight * deviation).sum() / line.weight.sum()).sqrt())
    beside = _fit_line(*pairs_beside(tiles, chosen))
    error = _slope_error(outer, inner)
    return TileLaw(line.slope, error, line.correlation, beside.correlation, color, spread)


def _slope_error(outer: Tensor, inner: Tensor) -> float:
    """Return the standard error of the slope, by leaving out each tile (jackknife, Tukey 1958)."""
    count = len(outer)
    if count <= 2:
        return math.inf
    slopes = [
        _fit_line(outer[kept], inner[kept]).slope
        for kept in (torch.arange(count) != left_out for left_out in range(count))
    ]
    deviation = torch.tensor(slopes) - sum(slopes) / count
    return float(((count - 1) / count * deviation.square().sum()).sqrt())


def _fit_line(outer: Tensor, inner: Tensor) -> _Line:
    """Return the line from outer to inner colours."""
    outer, inner = (side - side.mean(0, keepdim=True) for side in (outer, inner))
    slope, weight = robust_slope(outer, inner, 0.01, 100)
    spread_outer, spread_inner = ((weight * side.square()).sum() for side in (outer, inner))
    shared = (weight * outer * inner).sum()
    correlation = shared / (spread_outer * spread_inner).sqrt().clamp_min(1e-9)
    return _Line(float(slope), float(correlation), weight)


def pairs_beside(tiles: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the colours of pairs near an outline, both of whose ends lie outside.

    They are as far apart as those across it. tiles, chosen: see :func:`fit_tile_law`.
    """
    outside = dilated(chosen, BESIDE) & ~dilated(chosen, 1)
    ones, others = [], []
    for offset in ACROSS_OFFSETS:
        here, there = pixel_pairs(outside, offset)
        are_outside = here & there
        one, other = pixel_pairs(tiles, offset)
        ones.append(one[:, :, are_outside])
        others.append(other[:, :, are_outside])
    return torch.cat(ones, -1), torch.cat(others, -1)
