"""Fit the place, the size and the opacity of a known mark to a fraction of a pixel.

What fits best makes the clean pictures most continuous. Most programs put a mark at whole pixels,
so these are tried at the end, with the usual ways to resize a picture.

Pictures ``(K, 3, H, W)`` in [0, 1] under one mark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from torch import Tensor

from stages.watermark.find import ACROSS, CLEAR, Mark, pairs
from stages.watermark.fit import FINE, RANGE, continuity, out_of_range
from stages.watermark.mark_file import KERNELS, Drawing, MarkFile, MarkPlacement

MARGIN = 8  # pixels around the mark that are read
OPACITIES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
"""Opacities from which the fit may start."""
STEPS = (2.0, 1.0, 0.5, 0.2, 0.07)
"""Steps of the search for the place, in pixels."""
OPACITY_STEP = 0.05  # step of the opacity for a step of one pixel
CHANGES = ("size", "down", "across", "opacity")
"""What a step of the search changes. The size changes around the mark's centre."""
AT_PIXEL = ("size", "opacity")
COARSE = 0.1
"""Difference of neighbours above which it is an edge, in the first fit. It is larger than in the
second one, so that the fit does not get stuck next to the mark's outline."""
TRIED = tuple(number / 20 for number in range(1, 20)) + (0.97,)
"""Opacities at which the trace that is left is measured first."""
HALVINGS = 8
TYPICAL = 0.05  # difference between neighbours above which it is an edge of the picture
FEWEST_PIXELS = 2  # of the mark's sides
FITTED = 3  # most pictures that are compared
SOFTNESSES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Blurs of the mark by compression that are tried, in pixels."""
LEAST_OPACITY = 0.02


@dataclass(frozen=True)
class Registered:
    """Hold where a known mark lies.

    opacity: of its most covered pixels, 0 to 1.
    gain: by how much taking it off makes the pictures more continuous, see
    :func:`stages.watermark.fit.residual_cost`; in nats, summed over the pixels.
    """

    placement: MarkPlacement
    opacity: float
    drawing: Drawing
    gain: float


class RegistrationFit:
    """Measure how well placements of a mark near one place explain the pictures.

    pictures: ``(K, 3, H, W)``. near: a placement; what is around it is read.
    """

    def __init__(self, pictures: Tensor, mark: MarkFile, near: MarkPlacement, scale: float) -> None:
        self.mark, self.scale = mark, scale
        margin = MARGIN + round(0.05 * max(near.height, near.width))
        self.top, bottom = _span(near.top, near.height, pictures.shape[-2], margin)
        self.left, right = _span(near.left, near.width, pictures.shape[-1], margin)
        self.pictures = pictures[..., self.top : bottom, self.left : right]
        self.before = self._cost(Mark.nothing(self.pictures))

    def _cost(self, mark: Mark) -> float:
        """Return how discontinuous the pictures are without ``mark``."""
        matte, ink = mark.matte.clamp(max=CLEAR), mark.ink
        rough = continuity(self.pictures, matte, ink, self.scale)
        return float(rough + RANGE * out_of_range(self.pictures, matte, ink))

    def gain(self, tried: Registered) -> Registered:
        """Return what is tried with its gain."""
        placement, opacity = tried.placement, tried.opacity
        is_possible = min(placement.height, placement.width) >= FEWEST_PIXELS
        if not is_possible or not LEAST_OPACITY <= opacity <= 1:
            return replace(tried, gain=-math.inf)
        moved = placement._replace(top=placement.top - self.top, left=placement.left - self.left)
        size = (self.pictures.shape[-2], self.pictures.shape[-1])
        mark = self.mark.mark(moved, opacity, size, tried.drawing)
        pixels = size[0] * size[1]
        return replace(tried, gain=pixels * (self.before - self._cost(mark)))

    def best(self, tried: Iterator[Registered]) -> Registered:
        """Return what gains most."""
        return max(map(self.gain, tried), key=lambda one: one.gain)

    def refined(self, start: Registered, changes: Sequence[str] = CHANGES) -> Registered:
        """Return the best placement and opacity near ``start``: a pattern search.

        Every change that gains is kept, and tried again in the same direction.
        """
        found = self.gain(start)
        for step in STEPS:
            improved = True
            while improved:
                improved = False
                for change in changes:
                    for sign in (-1, 1):
                        tried = self.gain(_changed(found, change, sign * step))
                        while tried.gain > found.gain:
                            found, improved = tried, True
                            tried = self.gain(_changed(found, change, sign * step))
        return found


def registered(pictures: Tensor, mark: MarkFile, near: MarkPlacement) -> Registered:
    """Return where ``mark`` lies near a placement, with the opacity that explains most."""
    pictures = _clearest(pictures, mark, near)
    coarse = RegistrationFit(pictures, mark, near, COARSE)
    starts = (Registered(near, opacity, Drawing(), 0.0) for opacity in OPACITIES)
    found = coarse.refined(coarse.best(starts))
    fit = RegistrationFit(pictures, mark, near, FINE)
    found = fit.refined(found)
    found = fit.refined(fit.best(replace(found, drawing=each) for each in _drawings()))
    found = fit.best(_softened(found))
    found = fit.refined(found, AT_PIXEL)
    top, left = (float(round(side)) for side in found.placement[:2])
    at_pixel = replace(found, placement=found.placement._replace(top=top, left=left))
    at_pixel = fit.refined(at_pixel, AT_PIXEL)
    return max(found, at_pixel, key=lambda one: one.gain)


def _clearest(pictures: Tensor, mark: MarkFile, near: MarkPlacement) -> Tensor:
    """Return the :data:`FITTED` pictures that gain most: not all of a clip may show the mark."""
    if len(pictures) <= FITTED:
        return pictures
    starts = [Registered(near, opacity, Drawing(), 0.0) for opacity in OPACITIES]
    gains = [
        RegistrationFit(picture[None], mark, near, COARSE).best(iter(starts)).gain
        for picture in pictures
    ]
    order = sorted(range(len(pictures)), key=lambda number: gains[number], reverse=True)
    return pictures[sorted(order[:FITTED])]


def balanced_opacity(pictures: Tensor, mark: MarkFile, found: Registered) -> Registered:
    """Return ``found`` with the opacity at which the clean pictures show no trace of the mark.

    What is most continuous is biased: a higher opacity also amplifies the picture's own
    differences. So the opacity is where these are uncorrelated with the mark's own edges.
    """
    top, left, height, width = found.placement
    rows = slice(*_span(top, height, pictures.shape[-2], MARGIN))
    columns = slice(*_span(left, width, pictures.shape[-1], MARGIN))
    pictures = pictures[..., rows, columns]
    moved = found.placement._replace(top=top - rows.start, left=left - columns.start)
    size = (pictures.shape[-2], pictures.shape[-1])
    ink, coverage = mark.drawn(moved, size, found.drawing)
    excess = [_trace_left(pictures, ink, coverage, each) for each in TRIED]
    # The crossing nearest to the opacity that was found.
    crossings = [
        (one, other)
        for (one, left), (other, right) in zip(
            zip(TRIED, excess, strict=True),
            zip(TRIED[1:], excess[1:], strict=True),
            strict=False,
        )
        if left > 0 >= right
    ]
    if not crossings:
        return found
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
    matte = (opacity * coverage).clamp(max=CLEAR)
    show = 1 - matte
    clean = (pictures - opacity * ink) / show
    total = 0.0
    for offset in ACROSS:
        (here, there), (show_here, show_there) = pairs(clean, offset), pairs(show, offset)
        (ink_here, ink_there), (cover_here, cover_there) = (
            pairs(ink, offset),
            pairs(coverage, offset),
        )
        behind = ((here + there) / 2).clamp(0, 1)
        expected = (ink_there - cover_there * behind) / show_there
        expected = expected - (ink_here - cover_here * behind) / show_here
        strength = show_here * show_there
        difference = there - here
        weight = strength / (strength * difference.square().sum(1, keepdim=True) + TYPICAL**2)
        total += float((weight * difference * expected).sum())
    return total


def _span(first: float, length: float, whole: int, margin: int) -> tuple[int, int]:
    """Return the pixels of a line of ``whole`` pixels around a part of it, first and last + 1."""
    return max(0, math.floor(first) - margin), min(whole, math.ceil(first + length) + margin)


def _changed(found: Registered, change: str, step: float) -> Registered:
    """Return a placement and opacity one step away. change: one of :data:`CHANGES`."""
    if change == "opacity":
        return replace(found, opacity=found.opacity + step * OPACITY_STEP)
    placement = found.placement
    if change == "down":
        return replace(found, placement=placement._replace(top=placement.top + step))
    if change == "across":
        return replace(found, placement=placement._replace(left=placement.left + step))
    grown = 1 + 2 * step / max(placement.height, placement.width)
    height, width = placement.height * grown, placement.width * grown
    return replace(
        found,
        placement=MarkPlacement(
            placement.top - (height - placement.height) / 2,
            placement.left - (width - placement.width) / 2,
            height,
            width,
        ),
    )


def _around(value: float) -> Sequence[int]:
    """Return the whole numbers less than one away from a number, and its own if it is whole."""
    return range(math.ceil(value - 1), math.floor(value + 1) + 1)


def _softened(found: Registered) -> Iterator[Registered]:
    """Yield what was found, blurred by each of :data:`SOFTNESSES`."""
    for softness in SOFTNESSES:
        yield replace(found, drawing=found.drawing._replace(softness=softness))


def _drawings() -> Iterator[Drawing]:
    """Yield the ways in which a mark may have been resized."""
    for kernel, premultiplied in product(KERNELS, (True, False)):
        yield Drawing(kernel, premultiplied)
