"""Divide a picture into the tiles of a lattice.

Every tile shows another part of the scene under the same mark, so the tiles are pictures under one
mark. A tile is what lies nearest to a point of the lattice. Pictures ``(3, H, W)`` in [0, 1]; maps
``(h, w)`` of one tile with what is around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from stages.watermark.pictures import signed_edges
from stages.watermark.tile_lattice import Lattice

AROUND = 8
"""Pixels around a tile that its picture also shows, so that the mark has an outside."""
LEAST_SHOWN = 0.5
"""Part of a tile's picture that the picture shows, at least, for the tile to count."""
MOST_STEPS_AWAY = 2
"""Steps along each direction in which what lies beyond the border is looked for."""
TRIED_PER_STEP = 12  # places along each step that are tried for a tile's middle
MOST_EDGES = 4000  # strongest common edges whose distance from the middle is minimised


@dataclass(frozen=True)
class Tiling:
    """A picture's division into tiles.

    size: of the picture, height and width. lattice: of the tiles' middles.
    middle: row and column of one tile's middle.
    reach: rows and columns of a tile's picture, to each side of its middle.
    """

    size: tuple[int, int]
    lattice: Lattice
    middle: tuple[float, float]
    reach: tuple[int, int]

    def middles(self) -> Tensor:
        """Return row and column of every tile's middle near the picture, ``(n, 2)``, whole."""
        basis = self.lattice.basis
        middle = torch.tensor(self.middle, dtype=torch.float64)
        height, width = self.size
        corners = torch.tensor([[0, 0], [height, 0], [0, width], [height, width]])
        span = (corners - middle) @ torch.linalg.inv(basis)
        low, high = span.amin(0).floor().long() - 1, span.amax(0).ceil().long() + 1
        ones, others = (torch.arange(int(low[n]), int(high[n]) + 1) for n in (0, 1))
        return (middle + torch.cartesian_prod(ones, others).double() @ basis).round().long()

    def shown_middles(self) -> Tensor:
        """Return the middles of the tiles of which the picture shows enough, ``(K, 2)``.

        Those that it shows most of come first.
        """
        middles, reach = self.middles(), torch.tensor(self.reach)
        low, high = (middles - reach).clamp_min(0), middles + reach + 1
        high = torch.minimum(high, torch.tensor(self.size))
        shown = (high - low).clamp_min(0).prod(1) / (2 * reach + 1).prod()
        order = shown.argsort(descending=True, stable=True)
        return middles[order[shown[order] >= LEAST_SHOWN]]

    def tiles(self, picture: Tensor) -> Tensor:
        """Return the pictures of the tiles, ``(K, 3, h, w)``.

        What lies beyond the border is taken from the nearest tile that shows this part: it is
        under the same part of the mark. Tiles that cannot be completed are left out.
        """
        around = torch.arange(-MOST_STEPS_AWAY, MOST_STEPS_AWAY + 1)
        steps = torch.cartesian_prod(around, around).double() @ self.lattice.basis
        steps = steps[steps.square().sum(1).argsort(stable=True)].round().long()
        tiles = [self._whole_tile(picture, middle, steps) for middle in self.shown_middles()]
        found = [tile for tile in tiles if tile is not None]
        if not found:
            down, right = self.reach
            return picture.new_zeros(0, 3, 2 * down + 1, 2 * right + 1)
        return torch.stack(found)

    def _whole_tile(self, picture: Tensor, middle: Tensor, steps: Tensor) -> Tensor | None:
        """Return the picture ``(3, h, w)`` of one tile, or None if parts of it are nowhere.

        middle: of the tile, row and column. steps: to the tiles that it is completed from,
        ``(n, 2)``, the nearest one first.
        """
        height, width = self.size
        down, right = self.reach
        rows, columns = torch.arange(-down, down + 1), torch.arange(-right, right + 1)
        tile = picture.new_zeros(3, len(rows), len(columns))
        known = torch.zeros(len(rows), len(columns), dtype=torch.bool)
        for step in steps:
            row, column = rows + middle[0] + step[0], columns + middle[1] + step[1]
            inside = ((row >= 0) & (row < height))[:, None] & (column >= 0) & (column < width)
            new = inside & ~known
            if bool(new.any()):
                given = picture[:, row.clamp(0, height - 1)][:, :, column.clamp(0, width - 1)]
                tile = torch.where(new, given, tile)
                known |= new
            if bool(known.all()):
                return tile
        return None

    def places(self) -> Tensor:
        """Return where each pixel lies in its tile's picture, ``(2, H, W)``: row and column."""
        reach = torch.tensor(self.reach).view(2, 1, 1)
        return offsets_from_middles(self.size, self.lattice, self.middle) + reach

    def laid_out(self, layer: Tensor) -> Tensor:
        """Return a tile's ``layer`` (C, h, w) over the whole picture, ``(C, H, W)``."""
        rows, columns = self.places()
        return layer[:, rows, columns]


def tiling_of(picture: Tensor, lattice: Lattice) -> Tiling:
    """Return the division into tiles that has the mark in the middle of its tile."""
    size = (picture.shape[-2], picture.shape[-1])
    down, right = reach_of(lattice)
    places = strong_places(picture, lattice)
    middle = min(_tried_middles(lattice), key=lambda tried: _mean_distance(places, lattice, tried))
    return Tiling(size, lattice, middle, (down + AROUND, right + AROUND))


def _tried_middles(lattice: Lattice) -> Iterator[tuple[float, float]]:
    """Yield middles that are spread over one cell of the lattice."""
    (down, right), (below, beside) = lattice.first, lattice.second
    for one, other in product(range(TRIED_PER_STEP), repeat=2):
        yield (
            round(down * one / TRIED_PER_STEP + below * other / TRIED_PER_STEP),
            round(right * one / TRIED_PER_STEP + beside * other / TRIED_PER_STEP),
        )


def _mean_distance(places: Tensor, lattice: Lattice, middle: tuple[float, float]) -> float:
    """Return the mean squared distance of ``places`` (n, 2) from the nearest tile's middle."""
    offset = places - torch.tensor(middle, dtype=torch.float64)
    steps = (offset @ torch.linalg.inv(lattice.basis)).round()
    around = torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2)).double()
    distance = offset[:, None] - (steps[:, None] + around[None]) @ lattice.basis
    return float(distance.square().sum(-1).amin(1).mean())


def strong_places(picture: Tensor, lattice: Lattice) -> Tensor:
    """Return places ``(n, 2)`` in a tile around (0, 0) at which the tiles have edges in common."""
    size = (picture.shape[-2], picture.shape[-1])
    down, right = reach_of(lattice)
    height, width = 2 * down + 1, 2 * right + 1
    offset = offsets_from_middles(size, lattice, (0.0, 0.0))
    # The number of each pixel's place in its tile, row by row.
    number = ((offset[0] + down) * width + offset[1] + right).flatten()
    count = torch.bincount(number, minlength=height * width).clamp_min(1)
    energy = torch.zeros(height * width)
    for plane in signed_edges(picture):
        total = torch.zeros(height * width).index_add_(0, number, plane.flatten())
        energy += (total / count).square()
    most = min(MOST_EDGES, height * width // 4)
    places = energy.topk(max(1, most)).indices
    return torch.stack([places // width - down, places % width - right], 1)


def reach_of(lattice: Lattice) -> tuple[int, int]:
    """Return how far a tile reaches down and right of its middle, in pixels."""
    longest = math.ceil(max(math.hypot(*step) for step in (lattice.first, lattice.second)))
    side = 2 * longest + 1
    distance = offsets_from_middles((side, side), lattice, (longest, longest)).abs()
    # Where steps are not whole, tiles elsewhere are rounded to other sizes.
    rounding = 0 if lattice.is_whole else 1
    return int(distance[0].max()) + rounding, int(distance[1].max()) + rounding


def offsets_from_middles(
    size: tuple[int, int], lattice: Lattice, middle: tuple[float, float]
) -> Tensor:
    """Return how far each pixel lies from the nearest middle, ``(2, H, W)``: down and right.

    size: of the picture, height and width. middle: row and column of one tile's middle.
    """
    basis = lattice.basis
    grid = torch.stack(
        torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij"), -1
    )
    first_middle = torch.tensor(middle, dtype=torch.float64)
    steps = ((grid - first_middle) @ torch.linalg.inv(basis)).round()
    best = torch.full((*size, 2), 10**6)
    # Where tiles are no rectangles, the nearest middle may be one step from the rounded one.
    for change in product((-1, 0, 1), repeat=2):
        near = steps + torch.tensor(change, dtype=torch.float64)
        offset = grid - (first_middle + near @ basis).round().long()
        is_closer = offset.square().sum(-1) < best.square().sum(-1)
        best = torch.where(is_closer[..., None], offset, best)
    return best.permute(2, 0, 1)
