"""Find a mark that is tiled over one picture, say how sure that is, and fit it to the pixel.

The tiles are pictures under one mark, so the search and the fit are those for several pictures
(:mod:`stages.watermark.search`, :mod:`stages.watermark.full_size_fit`). What only looks like a mark
is a texture of the scene: its colours do not obey the law of a mark from tile to tile
(:func:`stages.watermark.tile_law.fit_tile_law`).

Pictures ``(3, H, W)`` in [0, 1]; matte ``(1, H, W)``, colour ``(3, H, W)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.motion.flow import resize
from stages.watermark.consensus import consensus
from stages.watermark.effort import SEARCHED_PICTURES, Effort
from stages.watermark.full_size_fit import SearchedMark, fitted_mark
from stages.watermark.gain import gain_per_pixel
from stages.watermark.mark import Mark, MarkedPictures
from stages.watermark.pictures import shrunk_to, spread_indices
from stages.watermark.pixel_maps import dilated, inner_part, resized_map
from stages.watermark.quick_search import SCREENING_ITERATIONS, refined_mark, screened_mark
from stages.watermark.search import find_mark
from stages.watermark.tile_lattice import Lattice, find_lattices
from stages.watermark.tile_law import TileLaw, fit_tile_law
from stages.watermark.tiling import Tiling, tiling_of

MOST_PIXELS = 1_000_000  # a larger picture is searched and fitted at a smaller size
MOST_LATTICES = 2  # lattices that are looked at
LIKELY_STRENGTH = 11.0
"""Strength of a lattice from which its tiles are looked at, in standard deviations. Of 15 pictures
without a mark, ten had 8.8 at most, and five 19 to 57: the blocks of a codec repeat. Of 18 drawn
marks, 16 had 31 and more."""
LEAST_TILES = 3  # fewest tiles from which a mark is told
MOST_SURPLUS = 3.0
"""Most that colours inside an outline differ from those outside, beyond the mark's law, as a
multiple of what neighbours beside the outline differ by. Of ten drawn marks it was 1.1 to 2.1, of
what was found in ten drawn textures 4.8 and more."""
LEAST_OPACITY = 0.05
"""Least opacity of a mark that is believed."""
LEAST_OPACITY_ERRORS = 4.0
"""Standard errors of the opacity by which it has to be above 0."""
LEAST_GAIN = 1.2
"""Least nats by which undoing the mark makes a tile more continuous, for a pixel of its outline.
Ten drawn marks had 1.25 and more, parts of a drawn fence that looked like one 0.9."""
LEAST_CORRELATION = 0.4
"""Least correlation of the colours on both sides of a mark's outline, from tile to tile. Copies of
a photograph had 0.0, a drawn mark 0.8."""
COLOR_EXCESS = 0.15  # how far a mark's colour may be measured beyond black and white, in [0, 1]
LEAST_LIGHT = 0.15
"""Least value of the mark's lightest channel. The joints of a texture under uneven light obey the
law of a black mark: they weaken what is beside them by one factor, and add nothing."""
CLEAR_GAIN = 2.0
"""Nats per tile and outline pixel of the quick look that make the full search unnecessary."""
SEARCHED_PIXELS = 200_000
"""Pixels of all tiles together up to which the search reads more tiles than it does pictures."""
GHOST_REACH = 4
"""Pixels around a mark in which a ghost of it is looked for; a JPEG file spreads colours so far."""
GHOST_DEVIATIONS = 2.0
"""Standard deviations of what tiles share by chance, above which it is a ghost."""
GHOST_ROUNDS = 2  # times that a ghost is measured and taken off
GHOST_ITERATIONS = 150  # of a round
LEAST_INK = 1 / 255  # ink in [0, 1] below which nothing is changed
MOST_SEARCHED, MOST_FITTED = 16, 48  # tiles that the search and the fit read, at most
FITTED_PICTURES = 4
"""Pixels of all tiles that the fit reads, as a multiple of those of one picture in other fits."""


@dataclass(frozen=True)
class TiledMark:
    """A mark that is tiled over a picture, as the search found it.

    tiling: of the picture at the size at which it was searched. mark: of one tile.
    law: that the colours across the mark's outline obey from tile to tile.
    tiles: how many tiles were compared.
    gain: nats that undoing the mark gains in each tile, for each pixel of its outline.
    searched_size: height and width of the tiles that were searched.
    """

    tiling: Tiling
    mark: Mark
    law: TileLaw
    tiles: int
    gain: float
    searched_size: tuple[int, int]

    @property
    def lattice(self) -> Lattice:
        """The lattice on which it repeats."""
        return self.tiling.lattice

    def repetitions(self) -> int:
        """Return how many repetitions the picture shows, whole or cut."""
        marked = self.mark.chosen.nonzero()
        down, right = self.tiling.reach
        rows, columns = self.searched_size
        scale = torch.tensor([(2 * down + 1) / rows, (2 * right + 1) / columns])
        low, high = (
            (end * scale).round().long() - torch.tensor(self.tiling.reach)
            for end in (marked.amin(0), marked.amax(0) + 1)
        )
        middles, size = self.tiling.middles(), torch.tensor(self.tiling.size)
        return int(((middles + high > 0) & (middles + low < size)).all(1).sum())


class PictureMark(NamedTuple):
    """A tiled mark over the whole picture.

    matte: ``(1, H, W)``. color: ``(3, H, W)``. opacity: of its core, 0 to 1.
    """

    matte: Tensor
    color: Tensor
    opacity: float


def find_tiled_mark(
    picture: Tensor,
    effort: Effort,
    progress: Callable[[float], None] = lambda done: None,
) -> TiledMark | None:
    """Return the mark that is tiled over ``picture`` (3, H, W), or None where none is.

    progress: takes 1 when the strongest lattice was searched.
    """
    small = shrunk_to(picture[None], MOST_PIXELS)[0]
    for number, lattice in enumerate(find_lattices(small, MOST_LATTICES)):
        if lattice.strength < LIKELY_STRENGTH:
            break
        found = search_tiles(small, lattice, effort, progress if number == 0 else lambda done: None)
        if found is not None and is_mark(found.law):
            return found
    return None


def search_tiles(
    picture: Tensor,
    lattice: Lattice,
    effort: Effort,
    progress: Callable[[float], None] = lambda done: None,
) -> TiledMark | None:
    """Return what the tiles of ``picture`` (3, H, W) share most likely, or None.

    Whether it is a mark, :func:`is_mark` tells.
    """
    tiling = tiling_of(picture, lattice)
    tiles = tiling.tiles(picture)
    if len(tiles) < LEAST_TILES:
        return None
    count = max(SEARCHED_PICTURES, min(MOST_SEARCHED, SEARCHED_PIXELS // tiles[0, 0].numel()))
    small = shrunk_to(tiles[spread_indices(len(tiles), count)], effort.search_pixels)
    size = (small.shape[-2], small.shape[-1])
    mark = shared_mark(MarkedPictures.with_mark_anywhere(small, torch.ones(size)), effort.turns)
    progress(1.0)
    if mark is None:
        return None
    gain = gain_per_pixel(mark) / len(small)
    if gain <= LEAST_GAIN:
        return None
    compared = tiles[spread_indices(len(tiles), MOST_FITTED)]
    law = fit_tile_law(compared, resized_map(mark.matte[0], tiles.shape[-2:]) > 0)
    if law is None:
        return None
    return TiledMark(tiling, mark, law, len(tiles), gain, size)


def shared_mark(tiles: MarkedPictures, iterations: int) -> Mark | None:
    """Return the mark that ``tiles`` share most likely, or None.

    A quick look finds most marks, and the search for several pictures those of rarer colours.

    iterations: of a cut.
    """
    mark = screened_mark(tiles, most_pictures=SEARCHED_PICTURES, iterations=SCREENING_ITERATIONS)
    if mark.gain > 0:
        mark = refined_mark(tiles, mark, 2 * iterations)
        if not mark.is_empty and gain_per_pixel(mark) > CLEAR_GAIN * len(tiles.pictures):
            return mark
    return find_mark(tiles, iterations=iterations, least_gain=0.0, unrelated=True)


def is_mark(law: TileLaw) -> bool:
    """Return whether what repeats is a mark, and not a texture of the scene."""
    return (
        law.correlation > LEAST_CORRELATION
        and law.surplus < MOST_SURPLUS
        and law.opacity > max(LEAST_OPACITY, LEAST_OPACITY_ERRORS * law.error)
        and LEAST_LIGHT < float(law.color.amax()) < 1 + COLOR_EXCESS
        and float(law.color.amin()) > -COLOR_EXCESS
    )


def fitted_tiles(
    picture: Tensor, found: TiledMark, effort: Effort, context: SeparationContext
) -> PictureMark:
    """Return the mark over the whole ``picture`` (3, H, W), fitted to the pixel.

    Every tile has the same mark, those that the border cuts as well.
    """
    small = shrunk_to(picture[None], MOST_PIXELS)[0]
    tiles = found.tiling.tiles(small)
    count = FITTED_PICTURES * effort.fit_pixels // tiles[0, 0].numel()
    count = max(effort.pictures, min(MOST_FITTED, count))
    tiles = tiles[spread_indices(len(tiles), count)]
    size = (tiles.shape[-2], tiles.shape[-1])
    place = resized_map(found.mark.matte[0], size) > 0
    mark = fitted_mark(
        MarkedPictures.with_mark_anywhere(tiles, torch.ones(size)),
        SearchedMark(found.mark, found.searched_size, place),
        replace(effort, pictures=count),
        replace(context, hint=None, unordered=True),
    )
    if not mark.is_opaque and found.lattice.is_whole:
        mark = without_ghost(tiles, mark)
    matte, color = (found.tiling.laid_out(layer) for layer in (mark.matte, mark.color))
    if picture.shape != small.shape:
        whole = (picture.shape[-2], picture.shape[-1])
        matte, color = (resize(layer[None], whole)[0] for layer in (matte, color))
    return PictureMark(matte.clamp(0, 1), color.clamp(0, 1), mark.opacity)


def without_ghost(tiles: Tensor, mark: Mark) -> Mark:
    """Return ``mark`` with the ink that undoing it leaves in most tiles.

    What is left differs from tile to tile as the scene does, but for a ghost of the mark: its ink
    is not quite of one colour, above all where a JPEG file has spread it.

    tiles: ``(K, 3, h, w)``. mark: of a tile.
    """
    matte, ink = mark.matte, mark.ink
    near = dilated(mark.chosen, GHOST_REACH) & (inner_part(torch.ones_like(matte[0])) > 0)
    agreement = min(1.0, GHOST_DEVIATIONS / len(tiles) ** 0.5)
    for _ in range(GHOST_ROUNDS):
        clean = (tiles - ink) / (1 - matte)
        ghost = consensus(clean, near.float(), GHOST_ITERATIONS, agreement)
        ink = (ink + (1 - matte) * ghost).clamp_min(0)
        ink = torch.where(ink.amax(0) < LEAST_INK, torch.zeros(()), ink)
        matte = torch.maximum(matte, ink.amax(0, keepdim=True))
    return replace(mark, matte=matte, ink=ink)
