"""Measure a mark's opacity and colour from the colours on both sides of its outline.

The colours obey a law: ``inside = (1 - a) outside + a colour`` with the opacity a. Both sides are
equally noisy, so the slope of this line is the ratio of their spreads (reduced major axis). Least
squares would overestimate every opacity. Outliers lose their weight step by step.

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; maps of pixels ``(H, W)``. Colours across
an outline are ``(K, 3, n)``, for n pairs of pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.mixing.watermark_composite import MOST_OPAQUE
from stages.watermark.mark import Mark, MarkLaw
from stages.watermark.pixel_maps import ACROSS_OFFSETS, dilated, pixel_pairs

LEAST_SAMPLES = 30  # fewest pairs across an outline from which an opacity is estimated
LAW_ITERATIONS, CORNER_ITERATION = 60, 40
"""Reweightings in :func:`fit_outline_law`, and the one at which its colour may be fixed."""
SLOPE_ITERATIONS = 40  # reweightings in :func:`robust_slope`
NEARLY_PURE = 0.05
"""Distance in [0, 1] from white or black within which a single picture's mark is taken for that."""
THIN = 0.1
"""Part of a mark's pixels that are no outline, below which its strokes count as thin."""
OUTLIER_ERROR = 0.03
"""Error of a colour, as an RGB distance, above which a pair counts little for the law."""
FIRST_OUTLIER_ERROR, ERROR_DECAY = 0.2, 0.8
"""The same at the first reweighting, and its factor from one reweighting to the next."""
UNDECIDED = 0.5
"""Agreement of a mark whose colours do not follow those around it. It halves the gain at most."""


def fit_outline_law(pictures: Tensor, chosen: Tensor) -> MarkLaw | None:
    """Return the opacity and the colour of a mark, or None with too few pixels.

    A line that leads beyond white or black is fixed to that corner. One picture cannot tell white
    from nearly white, and white and black are far more common.

    chosen: the marked pixels, ``(H, W)``, boolean.
    """
    outer, inner = (joined_pictures(side) for side in outline_sides(pictures, chosen))
    if outer.shape[1] < LEAST_SAMPLES:
        return None
    weight = torch.ones(outer.shape[1])
    slope = torch.tensor(0.5)
    offset = torch.zeros(3, 1)
    corner = None
    for iteration in range(LAW_ITERATIONS):
        if iteration == CORNER_ITERATION:
            corner = _nearest_corner(offset / (1 - slope), is_single=len(pictures) == 1)
        if corner is None:
            mean_outer, mean_inner = (
                (weight * side).sum(1, keepdim=True) / weight.sum() for side in (outer, inner)
            )
        else:
            mean_outer = mean_inner = torch.full((3, 1), corner)
        spread_outer = (weight * (outer - mean_outer) ** 2).sum()
        spread_inner = (weight * (inner - mean_inner) ** 2).sum()
        slope = (spread_inner / spread_outer.clamp_min(1e-9)).sqrt()
        slope = slope.clamp(1 - MOST_OPAQUE, MOST_OPAQUE)
        offset = mean_inner - slope * mean_outer
        error = (inner - slope * outer - offset).square().sum(0) / slope
        weight = robust_weight(error, iteration)
    opacity = 1 - float(slope)
    return MarkLaw(opacity, (offset[:, 0] / opacity).clamp(0, 1))


def _nearest_corner(color: Tensor, *, is_single: bool) -> float | None:
    """Return 1 or 0 for a mark that is white or black or beyond, else None.

    color: the measured colour, ``(3, 1)``. is_single: whether one picture alone told it.
    """
    level = float(color.mean())
    is_gray = float(color.max() - color.min()) < NEARLY_PURE
    tolerance = NEARLY_PURE if is_gray and is_single else 0.0
    if level > 1 - tolerance:
        return 1.0
    if level < tolerance:
        return 0.0
    return None


def shared_opacity(pictures: Tensor, chosen: Tensor) -> float | None:
    """Return the opacity of a mark of any colours, or None with one picture or too few pixels.

    It tells how much less the pictures differ inside the outline of ``chosen`` (H, W) than outside.
    """
    if len(pictures) < 2:
        return None
    sides = outline_sides(pictures, chosen)
    if sides[0].shape[-1] < LEAST_SAMPLES:
        return None
    outer, inner = (side - side.mean(0, keepdim=True) for side in sides)
    slope, _ = robust_slope(outer, inner, 1 - MOST_OPAQUE, MOST_OPAQUE)
    return 1 - float(slope)


def robust_slope(outer: Tensor, inner: Tensor, least: float, most: float) -> tuple[Tensor, Tensor]:
    """Return the slope of the line from outer to inner colours, and the pairs' weights ``(n,)``.

    outer, inner: ``(K, 3, n)``, each pair's mean over the pictures taken off. The slope is from
    ``least`` to ``most``.
    """
    weight = torch.ones(outer.shape[-1])
    slope = torch.tensor(0.5)
    for iteration in range(SLOPE_ITERATIONS):
        spread_outer, spread_inner = ((weight * side.square()).sum() for side in (outer, inner))
        slope = (spread_inner / spread_outer.clamp_min(1e-9)).sqrt().clamp(least, most)
        error = (inner - slope * outer).square().sum(1).mean(0) / slope
        weight = robust_weight(error, iteration)
    return slope, weight


def robust_weight(error: Tensor, iteration: int) -> Tensor:
    """Return how much pairs of this squared ``error`` count: little for outliers, more and more."""
    return 1 / (error + max(OUTLIER_ERROR, FIRST_OUTLIER_ERROR * ERROR_DECAY**iteration) ** 2)


def law_agreement(pictures: Tensor, mark: Mark) -> float:
    """Return which part of the colours inside the outline the mark's law explains.

    With the correlation r of both sides, a line between equally noisy sides leaves the part
    ``2 (1 - r)`` unexplained. An even surface of the scene passes for a nearly opaque mark, but its
    colours do not follow those around it. Those of an opaque mark do not follow them either, and
    noise hides how those of a faint scene do. So the result is from :data:`UNDECIDED` to 1.
    """
    if mark.is_opaque:
        return UNDECIDED
    outer, inner = (joined_pictures(side) for side in outline_sides(pictures, mark.chosen))
    if outer.shape[1] < LEAST_SAMPLES:
        return UNDECIDED
    slope = 1 - mark.opacity
    offset = mark.opacity * mark.mean_color.view(3, 1)
    error = (inner - slope * outer - offset).square().sum(0) / slope
    weight = 1 / (error + OUTLIER_ERROR**2)
    outer, inner = (
        side - (weight * side).sum(1, keepdim=True) / weight.sum() for side in (outer, inner)
    )
    spreads = (weight * outer.square()).sum() * (weight * inner.square()).sum()
    correlation = float((weight * outer * inner).sum() / spreads.sqrt().clamp_min(1e-9))
    return max(UNDECIDED, 2 * correlation - 1)


def outline_sides(
    pictures: Tensor, chosen: Tensor, clean: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the colours just outside and just inside an outline, clear of its soft edge.

    Strokes too thin for an interior use all their pixels.

    chosen: what the outline encloses, ``(H, W)``, boolean.
    clean: pictures from which the colours outside are taken; by default ``pictures``.
    """
    clean = pictures if clean is None else clean
    core, grown = inner_pixels(chosen), dilated(chosen, 1)
    outer, inner = [], []
    for offset in ACROSS_OFFSETS:
        for outer_side in (0, 1):
            inner_side = 1 - outer_side
            crosses = ~pixel_pairs(grown, offset)[outer_side]
            crosses &= pixel_pairs(core, offset)[inner_side]
            outer.append(pixel_pairs(clean, offset)[outer_side][:, :, crosses])
            inner.append(pixel_pairs(pictures, offset)[inner_side][:, :, crosses])
    return torch.cat(outer, -1), torch.cat(inner, -1)


def joined_pictures(side: Tensor) -> Tensor:
    """Return colours ``(K, 3, n)`` of all pictures one after another, ``(3, K n)``."""
    return side.permute(1, 0, 2).flatten(1)


def inner_pixels(chosen: Tensor) -> Tensor:
    """Return the pixels of ``chosen`` (H, W) clear of its outline.

    The result is all of them if the strokes are too thin for an interior.
    """
    core = dilated(chosen, -1)
    return chosen if int(core.sum()) <= THIN * int(chosen.sum()) else core
