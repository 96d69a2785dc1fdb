"""Fit the place, the size and the opacity of a known mark to a fraction of a pixel.

What fits best makes the clean pictures most continuous. Most programs put a mark at whole pixels,
so these are tried at the end, with the usual ways to resize a picture.

Pictures ``(K, 3, H, W)`` in [0, 1] under one mark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from torch import Tensor

from stages.mixing.watermark_composite import MOST_OPAQUE
from stages.watermark.continuity import FIT_SCALE, residual_cost
from stages.watermark.mark import Mark
from stages.watermark.mark_file import KERNELS, Drawing, MarkFile, MarkPlacement
from stages.watermark.pixel_maps import ACROSS_OFFSETS, pixel_pairs

MARGIN = 8  # pixels around the mark that are read
FIRST_OPACITIES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
"""Opacities from which the fit may start."""
STEP_SIZES = (2.0, 1.0, 0.5, 0.2, 0.07)
"""Steps of the search for the place, in pixels."""
OPACITY_STEP = 0.05  # step of the opacity for a step of one pixel
CHANGES = ("size", "down", "across", "opacity")
"""What a step of the search changes. The size changes around the mark's centre."""
CHANGES_AT_PIXEL = ("size", "opacity")
COARSE_SCALE, FINE_SCALE = 0.1, FIT_SCALE
"""Difference of neighbours, as an RGB distance, above which it is an edge, in the first fit and in
the second one. It is larger in the first one, so that the fit does not get stuck next to the mark's
outline."""
TRACE_OPACITIES = tuple(number / 20 for number in range(1, 20)) + (MOST_OPAQUE,)
"""Opacities at which the trace that is left is measured first."""
HALVINGS = 8  # of the interval between two of them in which the opacity lies
EDGE_SCALE = 0.05  # difference between neighbours above which it is an edge of the picture
LEAST_PIXELS = 2  # of the mark's sides
MOST_FITTED = 3  # pictures that are compared
SOFTNESSES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Blurs of the mark by compression that are tried, in pixels."""
LEAST_OPACITY = 0.02  # that is tried


@dataclass(frozen=True)
class FittedPlacement:
    """Where a known mark lies.

    opacity: of its most covered pixels, 0 to 1.
    gain: by how much taking it off makes the pictures more continuous, see
        :func:`stages.watermark.continuity.residual_cost`; summed over the pixels.
    """

    placement: MarkPlacement
    opacity: float
    drawing: Drawing
    gain: float


def fit_placement(pictures: Tensor, mark: MarkFile, near: MarkPlacement) -> FittedPlacement:
    """Return where ``mark`` lies near a placement, with the opacity that explains most.

    A coarse fit is followed by a fine one, for each way to resize the mark, and for each blur. At
    the end, whole pixels are tried.
    """
    pictures = _clearest(pictures, mark, near)
    coarse = PlacementFit(pictures, mark, near, COARSE_SCALE)
    starts = (FittedPlacement(near, opacity, Drawing(), 0.0) for opacity in FIRST_OPACITIES)
    found = coarse.refined(coarse.best(starts))
    fit = PlacementFit(pictures, mark, near, FINE_SCALE)
    found = fit.refined(found)
    found = fit.refined(fit.best(replace(found, drawing=each) for each in _drawings()))
    found = fit.best(_softened(found))
    found = fit.refined(found, CHANGES_AT_PIXEL)
    top, left = (float(round(side)) for side in found.placement[:2])
    at_pixel = replace(found, placement=found.placement._replace(top=top, left=left))
    at_pixel = fit.refined(at_pixel, CHANGES_AT_PIXEL)
    return max(found, at_pixel, key=lambda one: one.gain)


def balanced_opacity(pictures: Tensor, mark: MarkFile, found: FittedPlacement) -> FittedPlacement:
    """Return ``found`` with the opacity at which the clean pictures show no trace of the mark.

    What is most continuous is biased: a higher opacity also amplifies the picture's own
    differences. So the opacity is where these are uncorrelated with the mark's own edges.
    """
    top, left, height, width = found.placement
    rows = slice(*_pixels_around(top, height, pictures.shape[-2], MARGIN))
    columns = slice(*_pixels_around(left, width, pictures.shape[-1], MARGIN))
    pictures = pictures[..., rows, columns]
    moved = found.placement._replace(top=top - rows.start, left=left - columns.start)
    size = (pictures.shape[-2], pictures.shape[-1])
    ink, coverage = mark.drawn(moved, size, found.drawing)
    traces = [_trace_left(pictures, ink, coverage, each) for each in TRACE_OPACITIES]
    crossings = [
        pair
        for pair, (before, after) in zip(pairwise(TRACE_OPACITIES), pairwise(traces), strict=True)
        if before > 0 >= after
    ]
    if not crossings:
        return found
    # The crossing nearest to the opacity that was found.
    low, high = min(crossings, key=lambda pair: abs(sum(pair) / 2 - found.opacity))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _trace_left(pictures, ink, coverage, middle) > 0:
            low = middle
        else:
            high = middle
    return replace(found, opacity=(low + high) / 2)


def _trace_left(pictures: Tensor, ink: Tensor, coverage: Tensor, opacity: float) -> float:
    """Return how much of the mark's edges is left, above 0 if the opacity is too low."""
    transmission = 1 - (opacity * coverage).clamp(max=MOST_OPAQUE)
    clean = (pictures - opacity * ink) / transmission
    total = 0.0
    for offset in ACROSS_OFFSETS:
        here, there = pixel_pairs(clean, offset)
        through_here, through_there = pixel_pairs(transmission, offset)
        ink_here, ink_there = pixel_pairs(ink, offset)
        cover_here, cover_there = pixel_pairs(coverage, offset)
        behind = ((here + there) / 2).clamp(0, 1)
        trace = (ink_there - cover_there * behind) / through_there
        trace = trace - (ink_here - cover_here * behind) / through_here
        strength = through_here * through_there
        difference = there - here
        weight = strength / (strength * difference.square().sum(1, keepdim=True) + EDGE_SCALE**2)
        total += float((weight * difference * trace).sum())
    return total


class PlacementFit:
    """The fit of a mark near one place: how well placements there explain the pictures.

    pictures: ``(K, 3, H, W)``. near: a placement; what is around it is read.
    scale: difference of neighbours above which it is an edge.
    """

    def __init__(self, pictures: Tensor, mark: MarkFile, near: MarkPlacement, scale: float) -> None:
        self.mark, self.scale = mark, scale
        margin = MARGIN + round(0.05 * max(near.height, near.width))
        self.top, bottom = _pixels_around(near.top, near.height, pictures.shape[-2], margin)
        self.left, right = _pixels_around(near.left, near.width, pictures.shape[-1], margin)
        self.pictures = pictures[..., self.top : bottom, self.left : right]
        self.cost_before = residual_cost(self.pictures, Mark.nothing(self.pictures), scale)

    def with_gain(self, tried: FittedPlacement) -> FittedPlacement:
        """Return what is tried with its gain."""
        placement, opacity = tried.placement, tried.opacity
        is_possible = min(placement.height, placement.width) >= LEAST_PIXELS
        if not is_possible or not LEAST_OPACITY <= opacity <= 1:
            return replace(tried, gain=-math.inf)
        moved = placement._replace(top=placement.top - self.top, left=placement.left - self.left)
        size = (self.pictures.shape[-2], self.pictures.shape[-1])
        mark = self.mark.mark(moved, opacity, size, tried.drawing)
        cost = residual_cost(self.pictures, mark, self.scale)
        return replace(tried, gain=size[0] * size[1] * (self.cost_before - cost))

    def best(self, tried: Iterable[FittedPlacement]) -> FittedPlacement:
        """Return what gains most."""
        return max(map(self.with_gain, tried), key=lambda one: one.gain)

    def refined(self, start: FittedPlacement, changes: Sequence[str] = CHANGES) -> FittedPlacement:
        """Return the best placement and opacity near ``start``: a pattern search.

        Every change that gains is kept, and tried again in the same direction.
        """
        found = self.with_gain(start)
        for step in STEP_SIZES:
            before = None
            while found is not before:
                before = found
                for change, sign in product(changes, (-1, 1)):
                    found = self._followed(found, change, sign * step)
        return found

    def _followed(self, found: FittedPlacement, change: str, step: float) -> FittedPlacement:
        """Return what ``found`` becomes by steps in one direction, as long as they gain."""
        tried = self.with_gain(_changed(found, change, step))
        while tried.gain > found.gain:
            found, tried = tried, self.with_gain(_changed(tried, change, step))
        return found


def _clearest(pictures: Tensor, mark: MarkFile, near: MarkPlacement) -> Tensor:
    """Return the :data:`MOST_FITTED` pictures that gain most.

    Not all frames of a clip may show the mark.
    """
    if len(pictures) <= MOST_FITTED:
        return pictures
    starts = [FittedPlacement(near, opacity, Drawing(), 0.0) for opacity in FIRST_OPACITIES]
    gains = [
        PlacementFit(picture[None], mark, near, COARSE_SCALE).best(starts).gain
        for picture in pictures
    ]
    order = sorted(range(len(pictures)), key=lambda number: gains[number], reverse=True)
    return pictures[sorted(order[:MOST_FITTED])]


def _changed(found: FittedPlacement, change: str, step: float) -> FittedPlacement:
    """Return a placement and opacity one step away. change: one of :data:`CHANGES`."""
    if change == "opacity":
        return replace(found, opacity=found.opacity + step * OPACITY_STEP)
    placement = found.placement
    if change == "down":
        moved = placement._replace(top=placement.top + step)
    elif change == "across":
        moved = placement._replace(left=placement.left + step)
    else:
        grown = 1 + 2 * step / max(placement.height, placement.width)
        height, width = placement.height * grown, placement.width * grown
        moved = MarkPlacement(
            placement.top - (height - placement.height) / 2,
            placement.left - (width - placement.width) / 2,
            height,
            width,
        )
    return replace(found, placement=moved)


def _softened(found: FittedPlacement) -> Iterator[FittedPlacement]:
    """Yield what was found, blurred by each of :data:`SOFTNESSES`."""
    for softness in SOFTNESSES:
        yield replace(found, drawing=found.drawing._replace(softness=softness))


def _drawings() -> Iterator[Drawing]:
    """Yield the ways in which a mark may have been resized."""
    for kernel, premultiplied in product(KERNELS, (True, False)):
        yield Drawing(kernel, premultiplied)


def _pixels_around(first: float, length: float, whole: int, margin: int) -> tuple[int, int]:
    """Return the pixels of a line of ``whole`` pixels around a part of it, first and last + 1."""
    return max(0, math.floor(first) - margin), min(whole, math.ceil(first + length) + margin)
