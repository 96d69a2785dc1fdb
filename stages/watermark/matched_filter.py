"""Find the places where a known mark may lie in pictures, and its size there.

The model is ``I = (1 - a m) C + a m W`` with the mark's coverage m and colour W, which are known,
and its opacity a. Where the clean picture C is smooth, the mark's edges are ``a (d(m W) - C dm)``.
So the pictures' edges are compared with these at every place and scale, by Fourier transforms (a
matched filter). :mod:`stages.watermark.placement_fit` refines the best places.

Pictures ``(K, 3, H, W)`` in [0, 1] under one mark; maps ``(H, W)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.mark_file import Drawing, MarkFile, MarkPlacement

LEAST_SIDE = 16  # pixels of the longer side of the smallest mark that is looked for
LEAST_SIDE_PART = 0.04  # the same, as a part of the frame's longer side
MOST_SIDE_PART = 1.0  # part of the frame's height and width that the mark takes up at most
SCALE_RATIO = 1.03  # ratio of two neighbouring scales
SEARCHED_SIDE = 64  # pixels of the mark's longer side at which it is looked for, at most
SURROUNDINGS = 6  # pixels to each side over which the picture behind the mark is averaged
MOST_CANDIDATES = 3  # places that are returned, for a closer look
PLACES_PER_SCALE = 3  # that are kept
LEAST_DISTANCE = 0.25  # part of the mark's size by which two candidates differ
NOISE = 0.01  # standard deviation of an edge on an even surface


@dataclass(frozen=True)
class Candidate:
    """A place where the mark may be, and how well the pictures' edges agree with it.

    agreement: correlation of edges, in standard deviations.
    """

    placement: MarkPlacement
    agreement: float


def find_candidates(
    pictures: Tensor, mark: MarkFile, allowed: Tensor, progress: Callable[[float], None]
) -> list[Candidate]:
    """Return the places that the pictures' edges agree with best, the best one first.

    allowed: ``(H, W)``, boolean; the mark's centre lies in it. progress: takes 0 to 1.
    """
    frame = (pictures.shape[-2], pictures.shape[-1])
    trimmed, cut_off = mark.trimmed()
    spectra: dict[int, _EdgeSpectra] = {}
    found: list[Candidate] = []
    tried = scales(trimmed, frame)
    for number, scale in enumerate(tried):
        factor = 1
        while scale * max(trimmed.size) / factor > SEARCHED_SIDE:
            factor *= 2
        if factor not in spectra:
            spectra[factor] = _EdgeSpectra(pictures, factor)
        found += _best_at(spectra[factor], trimmed, scale, allowed)
        progress((number + 1) / len(tried))
    found.sort(key=lambda candidate: candidate.agreement, reverse=True)
    kept: list[Candidate] = []
    for candidate in found:
        if all(_differ(candidate.placement, other.placement) for other in kept):
            kept.append(candidate)
    return [
        _of_whole(candidate, trimmed.size, mark.size, cut_off)
        for candidate in kept[:MOST_CANDIDATES]
    ]


def scales(mark: MarkFile, frame: tuple[int, int]) -> list[float]:
    """Return the scales at which a mark is looked for in a frame of this height and width.

    They rise by :data:`SCALE_RATIO`, and 1 is one of them if it lies between the others.
    """
    longer = max(mark.size)
    least = max(LEAST_SIDE, LEAST_SIDE_PART * max(frame)) / longer
    most = MOST_SIDE_PART * min(whole / part for whole, part in zip(frame, mark.size, strict=True))
    if most < least:
        return []
    lowest, highest = (math.log(each) / math.log(SCALE_RATIO) for each in (least, most))
    found = [SCALE_RATIO**power for power in range(math.ceil(lowest), math.floor(highest) + 1)]
    return found or [most]


def _best_at(
    spectra: _EdgeSpectra, mark: MarkFile, scale: float, allowed: Tensor
) -> Iterator[Candidate]:
    """Yield the best places of a mark at one scale. allowed: see :func:`find_candidates`."""
    full = MarkPlacement(0, 0, *(scale * side for side in mark.size))
    down, across = (whole / part for whole, part in zip(allowed.shape, spectra.size, strict=True))
    size = max(2, round(full.height / down)), max(2, round(full.width / across))
    agreement = spectra.agreement(*mark.drawn(MarkPlacement(0, 0, *size), size, Drawing()))
    if agreement.numel() < 2:
        return
    agreement = agreement / agreement.std().clamp_min(1e-6)
    rows, columns = (
        ((torch.arange(count) + 1 + side / 2) * factor).long().clamp(0, whole - 1)
        for count, side, factor, whole in zip(
            agreement.shape, size, (down, across), allowed.shape, strict=True
        )
    )
    agreement = agreement * allowed[rows][:, columns]
    near = [max(1, round(LEAST_DISTANCE * side)) for side in size]
    for _ in range(PLACES_PER_SCALE):
        row, column = divmod(int(agreement.argmax()), agreement.shape[1])
        value = float(agreement[row, column])
        if value <= 0:
            return
        # The compared mark has an empty rim of one pixel.
        yield Candidate(full._replace(top=(row + 1) * down, left=(column + 1) * across), value)
        agreement[
            max(0, row - near[0]) : row + near[0] + 1,
            max(0, column - near[1]) : column + near[1] + 1,
        ] = 0


def _differ(one: MarkPlacement, other: MarkPlacement) -> bool:
    """Return whether two placements are far enough from each other to be refined each."""
    return (
        abs(one.top - other.top) > LEAST_DISTANCE * one.height
        or abs(one.left - other.left) > LEAST_DISTANCE * one.width
        or abs(math.log(one.width / other.width)) > LEAST_DISTANCE / 2
    )


def _of_whole(
    found: Candidate, part: tuple[int, int], whole: tuple[int, int], cut_off: tuple[int, int]
) -> Candidate:
    """Return the candidate of the whole picture of a mark, given that of a part of it.

    part, whole: heights and widths in the picture's own pixels. cut_off: see
    :meth:`stages.watermark.mark_file.MarkFile.trimmed`.
    """
    top, left, height, width = found.placement
    down, across = height / part[0], width / part[1]
    placement = MarkPlacement(
        top - cut_off[0] * down, left - cut_off[1] * across, whole[0] * down, whole[1] * across
    )
    return Candidate(placement, found.agreement)


class _EdgeSpectra:
    """The Fourier transforms of the pictures' edges at one size.

    factor: by how much the pictures are shrunk.
    """

    def __init__(self, pictures: Tensor, factor: int) -> None:
        if factor > 1:
            size = tuple(max(8, round(side / factor)) for side in pictures.shape[-2:])
            pictures = F.interpolate(pictures, size=size, mode="area")
        self.size: tuple[int, int] = (pictures.shape[-2], pictures.shape[-1])
        side = 2 * SURROUNDINGS + 1
        behind = F.avg_pool2d(pictures, side, 1, SURROUNDINGS, count_include_pad=False)
        edges = behind.new_zeros(2, 3, *self.size)
        edges_behind = torch.zeros_like(edges)
        for picture, surroundings in zip(pictures, behind, strict=True):
            steps = _edges(picture)
            energy = F.avg_pool2d(steps.square(), side, 1, SURROUNDINGS, count_include_pad=False)
            # Strong edges, and those among many others, count little more than faint ones.
            steps = steps / (steps.square() + energy + NOISE**2).sqrt()
            edges += steps
            edges_behind += steps * surroundings
        transform = torch.fft.rfft2
        self.edges, self.edges_behind = transform(edges), transform(edges_behind)
        self.behind = transform(behind.sum(0))
        self.behind_squared = transform(behind.square().sum(0))
        self.count = len(pictures)

    def agreement(self, ink: Tensor, coverage: Tensor) -> Tensor:
        """Return how well the mark agrees at every place ``(H, W)`` of its top left corner.

        With the pictures' edges E, the ink p, the coverage m and the pictures B behind the mark, it
        is ``sum E (dp - B dm) / sqrt(sum (dp - B dm)^2)``, over pixels, channels and pictures.

        ink: ``(3, h, w)``. coverage: ``(1, h, w)``.
        """
        ink, coverage = F.pad(ink, (1, 1, 1, 1)), F.pad(coverage, (1, 1, 1, 1))
        height, width = coverage.shape[-2:]
        ink_edges, coverage_edges = _edges(ink), _edges(coverage)

        def filtering(planes: Tensor) -> Tensor:
            spectrum: Tensor = torch.fft.rfft2(planes, s=self.size).conj()
            return spectrum

        product = (
            self.edges * filtering(ink_edges) - self.edges_behind * filtering(coverage_edges)
        ).sum((0, 1))
        energy = (
            self.behind_squared * filtering(coverage_edges.square().sum((0, 1)))
            - 2 * self.behind * filtering((ink_edges * coverage_edges).sum(0))
        ).sum(0)
        product, energy = torch.fft.irfft2(torch.stack([product, energy]), s=self.size)
        energy = energy + self.count * float(ink_edges.square().sum())
        least = 1e-3 * float(energy.max())
        agreement: Tensor = product / energy.clamp_min(max(least, 1e-9)).sqrt()
        # Wherever the mark would lie partly outside, the transform wraps it around.
        rows, columns = self.size[0] - height + 1, self.size[1] - width + 1
        return agreement[: max(0, rows), : max(0, columns)]


def _edges(planes: Tensor) -> Tensor:
    """Return the differences of ``planes`` (C, h, w) across and down, ``(2, C, h, w)``.

    Both have the size of ``planes``; the last difference of each line is 0.
    """
    across, down = torch.zeros_like(planes), torch.zeros_like(planes)
    across[..., :, :-1] = planes[..., :, 1:] - planes[..., :, :-1]
    down[..., :-1, :] = planes[..., 1:, :] - planes[..., :-1, :]
    return torch.stack([across, down])
