"""Divide a picture into the tiles of a lattice, and tell whether they share a mark.

Every tile shows another part of the scene under the same mark, so the tiles are pictures under one
mark. A tile is what lies nearest to a point of the lattice. Pictures ``(3, H, W)`` in [0, 1]; maps
``(h, w)`` of one tile with what is around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.watermark.find import ACROSS, LEAST_SAMPLES, dilated, outline_sides, pairs
from stages.watermark.lattice import Lattice, signed_edges

AROUND = 8
"""Pixels around a tile that its picture also shows, so that the mark has an outside."""
LEAST_SHOWN = 0.5
"""Part of a tile's picture that the picture shows, at least, for the tile to count."""
FARTHEST = 2
"""Steps along each direction in which what lies beyond the border is looked for."""
TRIED = 12  # places along each step that are tried for a tile's middle
EDGES_COMPARED = 4000  # strongest common edges whose distance from the middle is minimised
BESIDE = 6  # pixels around an outline in which colours are compared beside it
LAW_TURNS = 40  # reweightings in :func:`law_of`
LEAST_CHANGE = 4 / 255
"""Standard deviation of a colour from tile to tile, at least: copies of one picture tell no law."""


@dataclass(frozen=True)
class Tiling:
    """Hold a picture's division into tiles.

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
        basis = torch.tensor([self.lattice.first, self.lattice.second], dtype=torch.float64)
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
        under the same part of the mark.
        """
        down, right = self.reach
        height, width = self.size
        basis = torch.tensor([self.lattice.first, self.lattice.second], dtype=torch.float64)
        around = torch.arange(-FARTHEST, FARTHEST + 1)
        steps = torch.cartesian_prod(around, around).double() @ basis
        steps = steps[steps.square().sum(1).argsort(stable=True)].round().long()
        rows, columns = torch.arange(-down, down + 1), torch.arange(-right, right + 1)
        found = []
        for middle in self.shown_middles():
            part = picture.new_zeros(3, len(rows), len(columns))
            known = torch.zeros(len(rows), len(columns), dtype=torch.bool)
            for step in steps:
                row, column = rows + middle[0] + step[0], columns + middle[1] + step[1]
                inside = ((row >= 0) & (row < height))[:, None] & (column >= 0) & (column < width)
                new = inside & ~known
                if bool(new.any()):
                    given = picture[:, row.clamp(0, height - 1)][:, :, column.clamp(0, width - 1)]
                    part = torch.where(new, given, part)
                    known |= new
                if bool(known.all()):
                    break
            else:
                continue
            found.append(part)
        return torch.stack(found) if found else picture.new_zeros(0, 3, len(rows), len(columns))

    def places(self) -> Tensor:
        """Return where each pixel lies in its tile's picture, ``(2, H, W)``: row and column."""
        return offsets(self.size, self.lattice, self.middle) + torch.tensor(self.reach).view(
            2, 1, 1
        )

    def laid_out(self, layer: Tensor) -> Tensor:
        """Return a tile's ``layer`` (C, h, w) over the whole picture, ``(C, H, W)``."""
        rows, columns = self.places()
        return layer[:, rows, columns]


def offsets(size: tuple[int, int], lattice: Lattice, middle: tuple[float, float]) -> Tensor:
    """Return how far each pixel lies from the nearest middle, ``(2, H, W)``: down and right."""
    basis = torch.tensor([lattice.first, lattice.second], dtype=torch.float64)
    grid = torch.stack(
        torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij"), -1
    )
    center = torch.tensor(middle, dtype=torch.float64)
    steps = ((grid - center) @ torch.linalg.inv(basis)).round()
    best = torch.full((*size, 2), 10**6)
    for one, other in ((one, other) for one in (-1, 0, 1) for other in (-1, 0, 1)):
        near = steps + torch.tensor([one, other], dtype=torch.float64)
        away = grid - (center + near @ basis).round().long()
        closer = away.square().sum(-1) < best.square().sum(-1)
        best = torch.where(closer[..., None], away, best)
    return best.permute(2, 0, 1)


def reach_of(lattice: Lattice) -> tuple[int, int]:
    """Return how far a tile reaches down and right of its middle, in pixels."""
    longest = math.ceil(max(math.hypot(*step) for step in (lattice.first, lattice.second)))
    side = 2 * longest + 1
    away = offsets((side, side), lattice, (longest, longest)).abs()
    # Where steps are not whole, tiles elsewhere are rounded to other sizes.
    rounding = 0 if lattice.is_whole else 1
    return int(away[0].max()) + rounding, int(away[1].max()) + rounding


def divided(picture: Tensor, lattice: Lattice) -> Tiling:
    """Return the division into tiles that has the mark in the middle of its tile."""
    size = (picture.shape[-2], picture.shape[-1])
    down, right = reach_of(lattice)
    strong = strong_places(picture, lattice)
    middle = min(_tried_middles(lattice), key=lambda one: _distance(strong, lattice, one))
    return Tiling(size, lattice, middle, (down + AROUND, right + AROUND))


def _tried_middles(lattice: Lattice) -> Iterator[tuple[float, float]]:
    """Yield middles that are spread over one cell of the lattice."""
    for one in range(TRIED):
        for other in range(TRIED):
            yield (
                round(
                    lattice.first[0] * one / TRIED + lattice.second[0] * other / TRIED,
                ),
                round(lattice.first[1] * one / TRIED + lattice.second[1] * other / TRIED),
            )


def strong_places(picture: Tensor, lattice: Lattice) -> Tensor:
    """Return places ``(n, 2)`` in a tile around (0, 0) at which the tiles have edges in common."""
    size = (picture.shape[-2], picture.shape[-1])
    down, right = reach_of(lattice)
    wide = 2 * right + 1
    away = offsets(size, lattice, (0.0, 0.0))
    number = ((away[0] + down) * wide + away[1] + right).flatten()
    cells = (2 * down + 1) * wide
    count = torch.bincount(number, minlength=cells).clamp_min(1)
    energy = torch.zeros(cells)
    for plane in signed_edges(picture):
        total = torch.zeros(cells).index_add_(0, number, plane.flatten())
        energy += (total / count).square()
    few = min(EDGES_COMPARED, cells // 4)
    places = energy.topk(max(1, few)).indices
    return torch.stack([places // wide - down, places % wide - right], 1)


def _distance(places: Tensor, lattice: Lattice, middle: tuple[float, float]) -> float:
    """Return the mean squared distance of ``places`` (n, 2) from the nearest tile's middle."""
    basis = torch.tensor([lattice.first, lattice.second], dtype=torch.float64)
    away = places - torch.tensor(middle, dtype=torch.float64)
    steps = (away @ torch.linalg.inv(basis)).round()
    around = torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2)).double()
    left = away[:, None] - (steps[:, None] + around[None]) @ basis
    return float(left.square().sum(-1).amin(1).mean())


@dataclass(frozen=True)
class TileLaw:
    """Hold how the colours inside an outline follow those outside of it from tile to tile.

    through: how much of the contrast outside is left inside: 1 less the opacity of a mark.
    error: standard error of that, by leaving out tiles.
    likeness: correlation of both sides from tile to tile, -1 to 1.
    beside: the same correlation between places beside the outline that are as far apart.
    color: of the mark that explains the rest, ``(3,)``. It may lie outside of [0, 1].
    spread: standard deviation of that colour over the outline.
    """

    through: float
    error: float
    likeness: float
    beside: float
    color: Tensor
    spread: float

    @property
    def surplus(self) -> float:
        """Return ``(1 - likeness) / (1 - beside)``, which is near 1 for a mark.

        There, what is inside is what lies behind, weakened. Else it is larger.
        """
        return (1 - self.likeness) / max(1e-6, 1 - self.beside)


def law_of(tiles: Tensor, chosen: Tensor) -> TileLaw | None:
    """Return the law that a mark's outline obeys, or None where too little tells it.

    A mark of opacity a and colour c makes ``(1 - a) J + a c`` of every J. So what tells two tiles
    apart is weaker inside its outline by the same factor, whatever the tiles show, and what is
    added to it is the same. A texture that repeats shows the same in all tiles: what tells them
    apart is light, which weakens everything by a factor and adds nothing, or noise, which is not
    alike on both sides.

    tiles: ``(K, 3, h, w)`` with K > 1. chosen: what the outline encloses, ``(h, w)``, boolean.
    """
    outer, inner = outline_sides(tiles, chosen, tiles)
    if outer.shape[-1] < LEAST_SAMPLES or float(outer.std(0).median()) < LEAST_CHANGE:
        return None
    whole = _line(outer, inner)
    parts = [
        _line(outer[kept], inner[kept])[0]
        for kept in (torch.arange(len(tiles)) != left for left in range(len(tiles)))
        if len(tiles) > 2
    ]
    error = math.inf
    if parts:
        # The jackknife (Tukey 1958).
        differs = torch.tensor(parts) - sum(parts) / len(parts)
        error = float(((len(parts) - 1) / len(parts) * differs.square().sum()).sqrt())
    through, likeness, weight = whole
    added = (inner - through * outer).mean(0) / max(1e-3, 1 - through)
    color = (weight * added).sum(1) / weight.sum()
    off = (added - color[:, None]).square().mean(0)
    spread = float(((weight * off).sum() / weight.sum()).sqrt())
    beside = _line(*pairs_beside(tiles, chosen))[1]
    return TileLaw(through, error, likeness, beside, color, spread)


def pairs_beside(tiles: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the colours ``(K, 3, n)`` of pairs near an outline, both of whose ends lie outside.

    They are as far apart as those across it. tiles, chosen: see :func:`law_of`.
    """
    outside = dilated(chosen, BESIDE) & ~dilated(chosen, 1)
    ones, others = [], []
    for offset in ACROSS:
        here, there = pairs(outside, offset)
        both = here & there
        one, other = pairs(tiles, offset)
        ones.append(one[:, :, both])
        others.append(other[:, :, both])
    return torch.cat(ones, -1), torch.cat(others, -1)


def _line(outer: Tensor, inner: Tensor) -> tuple[float, float, Tensor]:
    """Return slope, correlation and weights ``(n,)`` of the line from outer to inner colours.

    outer, inner: ``(K, 3, n)``. Both are as noisy, so the slope is the ratio of their spreads.
    """
    outer, inner = (side - side.mean(0, keepdim=True) for side in (outer, inner))
    weight = torch.ones(outer.shape[-1])
    slope = torch.tensor(0.5)
    for turn in range(LAW_TURNS):
        spreads = (weight * outer.square()).sum(), (weight * inner.square()).sum()
        slope = (spreads[1] / spreads[0].clamp_min(1e-9)).sqrt().clamp(0.01, 100)
        error = (inner - slope * outer).square().sum(1).mean(0) / slope
        weight = 1 / (error + max(0.03, 0.2 * 0.8**turn) ** 2)
    spreads = (weight * outer.square()).sum(), (weight * inner.square()).sum()
    shared = (weight * outer * inner).sum() / (spreads[0] * spreads[1]).sqrt().clamp_min(1e-9)
    return float(slope), float(shared), weight
