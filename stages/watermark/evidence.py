"""Measure the evidence for a mark's outline at each pair of pixels, in nats.

The picture continues behind the outline of a mark of opacity a and colour K: ``(I_y - a K) / (1 -
a)`` is as near to ``I_x`` as pixels at this distance usually are. Three rules make this robust:

- Only pairs that reach across the soft outline count. The outline's own pixels are partly covered
  and fit no opacity.
- The texture around decides how common a difference is. An edge costs the same however strong it
  is, so a mark that only weakens an edge explains nothing.
- A mark is not exact: its coverage varies, and values are rounded and compressed. Undoing the mark
  amplifies these errors.

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; maps ``(H, W)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.watermark.continuity import DIFFERENT, range_excess
from stages.watermark.graph_cut import Cut, add_pair_costs
from stages.watermark.mark import Mark, MarkedPictures, MarkLaw
from stages.watermark.pixel_maps import ACROSS_OFFSETS, Offset, pixel_pairs
from stages.watermark.repetition_grid import sum_shifted
from stages.watermark.texture import squared_length, student_likelihood, whitening

NEIGHBOR_OFFSETS: tuple[Offset, ...] = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Pairs that measure only the outline's length."""
EVIDENCE_OFFSETS = (*NEIGHBOR_OFFSETS, *ACROSS_OFFSETS)

EDGE_NATS = 5.0  # nats of an edge, however strong
MOST_NATS = math.log1p(math.exp(EDGE_NATS))  # nats of an infinite difference
OUTLINE_NATS = 0.5
"""Nats of an outline for a pair of neighbours during the search. A hypothesis that is a little off
explains its outline only in parts, so the outline must be cheap."""
EXCLUSION = 0.1
"""How much more an edge costs on an outline than elsewhere. Two layers share few edges."""
COVERAGE_ERROR = 0.05  # standard deviation of a mark's coverage
ROUNDING_ERROR = 0.008  # standard deviation of a value by rounding and compression
RANGE_NATS = 160.0  # nats of a clean value outside of [0, 1], per unit of its distance
MOST_RANGE_NATS = 6.0  # most nats of a clean value outside of [0, 1]


class Evidence:
    """The texture of pictures, measured once for all the marks that are tried on them.

    marked: the pictures. All repetitions of a mark count together.
    chosen: pixels that are known to be marked, ``(H, W)``, boolean, or numbers of pieces. Pairs
        across their outlines do not count as texture.
    """

    def __init__(self, marked: MarkedPictures, chosen: Tensor | None = None) -> None:
        self.marked = marked
        # For each offset, the whitening factors of each picture, and the nats of the differences
        # that the pictures have as they are.
        self.factors: list[list[Tensor]] = []
        self.unchanged_nats: list[Tensor] = []
        for offset in ACROSS_OFFSETS:
            here, there = pixel_pairs(marked.pictures, offset)
            kept = None
            if chosen is not None:
                first, second = pixel_pairs(chosen, offset)
                kept = first == second
            self.factors.append([whitening(difference, kept) for difference in there - here])
            none = torch.zeros(())
            nats = [
                bounded_nats(difference, factor, none)
                for difference, factor in zip(there - here, self.factors[-1], strict=True)
            ]
            self.unchanged_nats.append(torch.stack(nats).sum(0))

    @property
    def pictures(self) -> Tensor:
        """The pictures, ``(K, 3, H, W)``."""
        return self.marked.pictures

    def pair_weight(self, offset: Offset) -> Tensor:
        """Return how much each pair of pixels counts, ``(h, w)``."""
        return torch.maximum(*pixel_pairs(self.marked.weight, offset))

    def cut(self, law: MarkLaw, outline_nats: float = OUTLINE_NATS) -> Cut:
        """Return the labelling's costs for a mark of this opacity and colour.

        outline_nats: of an outline for a pair of neighbours.
        """
        pictures, shifts = self.pictures, self.marked.shifts
        opacity, ink = law.opacity, law.opacity * law.color.view(3, 1, 1)
        undone = (pictures - ink) / (1 - opacity)
        variance = undone_variance(undone, opacity, ink / opacity)
        unary = range_nats(pictures, opacity, ink)
        unary = unary - range_nats(pictures, 0.0, torch.zeros_like(ink))
        unary = sum_shifted(unary, shifts)
        weights = []
        for offset in NEIGHBOR_OFFSETS:
            share = outline_nats / math.hypot(*offset)
            weights.append(torch.full_like(pixel_pairs(unary, offset)[0], 2 * share))
        contrast = (1 - opacity) ** 0.5
        for offset, factors, unchanged in zip(
            ACROSS_OFFSETS, self.factors, self.unchanged_nats, strict=True
        ):
            share = outline_nats / math.hypot(*offset)
            given_x, given_y = pixel_pairs(pictures, offset)
            undone_x, undone_y = pixel_pairs(undone, offset)
            variance_x, variance_y = pixel_pairs(variance, offset)
            enter, leave = torch.zeros_like(unchanged), torch.zeros_like(unchanged)
            for number, factor in enumerate(factors):
                entering = contrast * (undone_y - given_x)[number]
                leaving = contrast * (given_y - undone_x)[number]
                enter += bounded_nats(entering, factor, variance_y[number])
                leave += bounded_nats(leaving, factor, variance_x[number])
            counts = self.pair_weight(offset)
            enter = sum_shifted(counts * ((1 + EXCLUSION) * enter - unchanged), shifts) + share
            leave = sum_shifted(counts * ((1 + EXCLUSION) * leave - unchanged), shifts) + share
            weights.append(add_pair_costs(unary, offset, torch.zeros(()), enter, leave))
        return Cut(unary, tuple(weights), EVIDENCE_OFFSETS)


@dataclass(frozen=True)
class UndonePictures:
    """Pictures without a mark, and how exact they are.

    matte: ``(H, W)``. ink: ``(3, H, W)``. clean: the pictures, ``(K, 3, H, W)``.
    variance: of the errors that undoing the mark adds, as strong as they show, ``(K, H, W)``.
    range_nats: nats of clean values outside of [0, 1], ``(H, W)``.
    """

    matte: Tensor
    ink: Tensor
    clean: Tensor
    variance: Tensor
    range_nats: Tensor

    @classmethod
    def of(cls, pictures: Tensor, mark: Mark) -> UndonePictures:
        """Return ``pictures`` (K, 3, H, W) without ``mark``."""
        matte, ink = mark.matte[0], mark.ink
        clean = mark.undone(pictures)
        variance = undone_variance(clean, matte, mark.color)
        return cls(matte, ink, clean, variance * (matte > 0), range_nats(pictures, matte, ink))


def undone_variance(clean: Tensor, matte: Tensor | float, color: Tensor) -> Tensor:
    """Return the variance of the errors that undoing a mark adds, ``(K, H, W)``.

    clean: the pictures without the mark. color: of the mark, ``(3, 1, 1)`` or ``(3, H, W)``.
    """
    contrast = color - clean.clamp(0, 1)
    coverage_variance = COVERAGE_ERROR**2 * contrast.square().mean(1)
    return (ROUNDING_ERROR**2 + coverage_variance) / (1 - matte)


def range_nats(pictures: Tensor, matte: Tensor | float, ink: Tensor) -> Tensor:
    """Return the nats of clean values outside of [0, 1], ``(H, W)``."""
    return (RANGE_NATS * range_excess(pictures, matte, ink)).clamp(max=MOST_RANGE_NATS)


def explained_outline_part(evidence: Evidence, before: Mark, after: Mark, chosen: Tensor) -> float:
    """Return the part of the nats across an outline that another mark removes, at most 1.

    before, after: the marks. chosen: what the outline encloses, ``(H, W)``, boolean.
    """
    least = 1e-6  # no difference at all crosses the outline in an even picture
    left = nats_across_outline(evidence, after, chosen)
    return 1 - left / max(nats_across_outline(evidence, before, chosen), least)


def nats_across_outline(evidence: Evidence, mark: Mark, chosen: Tensor) -> float:
    """Return the nats of the differences across the outline of ``chosen`` (H, W), boolean.

    The pictures are those without ``mark``.
    """
    undone = UndonePictures.of(evidence.pictures, mark)
    total = 0.0
    for offset, factors, unchanged in zip(
        ACROSS_OFFSETS, evidence.factors, evidence.unchanged_nats, strict=True
    ):
        here, there = pixel_pairs(chosen, offset)
        is_alike = differently_marked(undone, undone, offset) == 0
        nats = torch.where(is_alike, unchanged, pair_nats(undone, undone, offset, factors))
        total += float(nats[here != there].sum())
    return total


def differently_marked(one: UndonePictures, other: UndonePictures, offset: Offset) -> Tensor:
    """Return 1 where a pixel of ``one`` is marked unlike its partner in ``other``, else 0."""
    inks = pixel_pairs(one.ink, offset)[0] - pixel_pairs(other.ink, offset)[1]
    mattes = pixel_pairs(one.matte, offset)[0] - pixel_pairs(other.matte, offset)[1]
    return (torch.maximum(inks.abs().amax(0), mattes.abs()) > DIFFERENT).float()


def pair_nats(
    one: UndonePictures, other: UndonePictures, offset: Offset, factors: Sequence[Tensor]
) -> Tensor:
    """Return the nats of the differences between the pixels of ``one`` and those of ``other``.

    factors: of the texture, one for each picture.
    """
    contrast_here = 1 - pixel_pairs(one.matte, offset)[0]
    contrast_there = 1 - pixel_pairs(other.matte, offset)[1]
    difference = (contrast_here * contrast_there).sqrt() * (
        pixel_pairs(other.clean, offset)[1] - pixel_pairs(one.clean, offset)[0]
    )
    variance = (
        contrast_there * pixel_pairs(one.variance, offset)[0]
        + contrast_here * pixel_pairs(other.variance, offset)[1]
    )
    nats = [bounded_nats(*each) for each in zip(difference, factors, variance, strict=True)]
    return torch.stack(nats).sum(0)


def bounded_nats(difference: Tensor, factor: Tensor, variance: Tensor) -> Tensor:
    """Return the nats of differences ``(3, h, w)``, which never exceed :data:`EDGE_NATS` by much.

    factor: from :func:`stages.watermark.texture.whitening`.
    variance: of the errors that undoing the mark adds, ``(h, w)``.
    """
    by_texture = squared_length(difference, factor)
    size = difference.square().sum(0).clamp_min_(1e-12)
    # Along the difference's direction, the variances of the texture and of the errors add.
    by_both = by_texture.mul(size).div_(torch.addcmul(size, variance, by_texture))
    # With Student's nats n, the bound is log((1 + e^EDGE_NATS) / (1 + e^(EDGE_NATS - n))).
    likelihood = student_likelihood(by_both)
    return MOST_NATS - likelihood.mul_(math.exp(EDGE_NATS)).log1p_()
