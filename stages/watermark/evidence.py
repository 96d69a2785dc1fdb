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

from stages.watermark.find import ACROSS, DIFFERENT, Cut, Mark, outside, pairs
from stages.watermark.repeat import Shift, sum_shifted
from stages.watermark.texture import squared_length, student_likelihood, whitening

NEAR = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Pairs that measure only the outline's length."""
OFFSETS = (*NEAR, *ACROSS)

EDGE = 5.0  # nats of an edge, however strong
MOST_NATS = math.log1p(math.exp(EDGE))  # nats of an infinite difference
LENGTH = 0.5
"""Nats of an outline for a pair of neighbours during the search. A hypothesis that is a little off
explains its outline only in parts, so the outline must be cheap."""
EXCLUSION = 0.1
"""How much more an edge costs on an outline than elsewhere. Two layers share few edges."""
VARIES = 0.05  # standard deviation of a mark's coverage
ROUNDED = 0.008  # standard deviation of a value by rounding and compression
BEYOND = 160.0  # nats of a clean value outside of [0, 1], per unit of its distance
FARTHEST = 6.0  # most nats of a clean value outside of [0, 1]


class Evidence:
    """Hold the texture of pictures, measured once for all the marks that are tried on them.

    pictures: ``(K, 3, H, W)`` in [0, 1]. weight: how much each pixel counts, ``(H, W)``.
    chosen: pixels that are known to be marked, ``(H, W)``, boolean, or numbers of pieces. Pairs
    across their outlines do not count as texture.
    shifts: where the mark repeats, from :func:`stages.watermark.repeat.find_grid`. All repetitions
    count together.
    """

    def __init__(
        self,
        pictures: Tensor,
        weight: Tensor,
        chosen: Tensor | None = None,
        shifts: tuple[Shift, ...] = (),
    ) -> None:
        self.pictures, self.weight = pictures, weight
        self.shifts = shifts
        self.factors: list[list[Tensor]] = []
        self.stay: list[Tensor] = []
        for offset in ACROSS:
            here, there = pairs(pictures, offset)
            kept = None
            if chosen is not None:
                first, second = pairs(chosen, offset)
                kept = first == second
            self.factors.append([whitening(difference, kept) for difference in there - here])
            none = torch.zeros(())
            nats = [
                bounded_nats(difference, factor, none)
                for difference, factor in zip(there - here, self.factors[-1], strict=True)
            ]
            self.stay.append(torch.stack(nats).sum(0))

    def cut(self, opacity: float, color: Tensor, length: float = LENGTH) -> Cut:
        """Return the labelling's costs for a mark of this ``opacity`` and ``color``.

        color: ``(3,)`` or ``(3, H, W)``.
        length: nats of an outline for a pair of neighbours.
        """
        shown = self.pictures
        ink = opacity * (color.view(3, 1, 1) if color.ndim == 1 else color)
        undone = (shown - ink) / (1 - opacity)
        contrast = ink / opacity - undone.clamp(0, 1)
        variance = (ROUNDED**2 + VARIES**2 * contrast.square().mean(1)) / (1 - opacity)
        unary = (BEYOND * outside(shown, opacity, ink)).clamp(max=FARTHEST)
        unary = unary - (BEYOND * outside(shown, 0.0, torch.zeros_like(ink))).clamp(max=FARTHEST)
        unary = sum_shifted(unary, self.shifts)
        show = (1 - opacity) ** 0.5
        weights = []
        for offset in NEAR:
            share = length / math.hypot(*offset)
            weights.append(torch.full_like(pairs(unary, offset)[0], 2 * share))
        for offset, factors, stay in zip(ACROSS, self.factors, self.stay, strict=True):
            share = length / math.hypot(*offset)
            (shown_x, shown_y), (undone_x, undone_y) = pairs(shown, offset), pairs(undone, offset)
            variance_x, variance_y = pairs(variance, offset)
            enter, leave = torch.zeros_like(stay), torch.zeros_like(stay)
            for number, factor in enumerate(factors):
                entering = show * (undone_y - shown_x)[number]
                leaving = show * (shown_y - undone_x)[number]
                enter += bounded_nats(entering, factor, variance_y[number])
                leave += bounded_nats(leaving, factor, variance_x[number])
            counts = torch.maximum(*pairs(self.weight, offset))
            enter = sum_shifted(counts * ((1 + EXCLUSION) * enter - stay), self.shifts) + share
            leave = sum_shifted(counts * ((1 + EXCLUSION) * leave - stay), self.shifts) + share
            # Where both directions gain, keep the cheaper one and raise the other until a cut can
            # express the pair.
            lacks = (-enter - leave).clamp_min(0)
            leave, enter = (
                torch.where(enter < leave, leave + lacks, leave),
                torch.where(enter < leave, enter, enter + lacks),
            )
            unary_x, unary_y = pairs(unary, offset)
            unary_x += leave
            unary_y -= leave
            weights.append((enter + leave).clamp_min(0))
        return Cut(unary, tuple(weights), OFFSETS)


@dataclass(frozen=True)
class Undone:
    """Hold pictures without a mark, and how exact they are.

    matte: ``(H, W)``. ink: ``(3, H, W)``. clean: the pictures, ``(K, 3, H, W)``.
    variance: of the errors that undoing the mark adds, as strong as they show, ``(K, H, W)``.
    beyond: nats of clean values outside of [0, 1], ``(H, W)``.
    """

    matte: Tensor
    ink: Tensor
    clean: Tensor
    variance: Tensor
    beyond: Tensor

    @classmethod
    def of(cls, pictures: Tensor, mark: Mark) -> Undone:
        """Return ``pictures`` (K, 3, H, W) without ``mark``."""
        matte, ink = mark.matte[0], mark.ink
        clean = (pictures - ink) / (1 - matte)
        contrast = mark.color - clean.clamp(0, 1)
        variance = (ROUNDED**2 + VARIES**2 * contrast.square().mean(1)) / (1 - matte)
        beyond = (BEYOND * outside(pictures, matte, ink)).clamp(max=FARTHEST)
        return cls(matte, ink, clean, variance * (matte > 0), beyond)


def outline_nats(evidence: Evidence, mark: Mark, chosen: Tensor) -> float:
    """Return the nats of the differences across the outline of ``chosen`` (H, W), boolean.

    The pictures are those without ``mark``.
    """
    undone = Undone.of(evidence.pictures, mark)
    total = 0.0
    for offset, factors, same in zip(ACROSS, evidence.factors, evidence.stay, strict=True):
        here, there = pairs(chosen, offset)
        is_alike = unlike(undone, undone, offset) == 0
        nats = torch.where(is_alike, same, pair_nats(undone, undone, offset, factors))
        total += float(nats[here != there].sum())
    return total


def outline_explained(evidence: Evidence, before: Mark, after: Mark, chosen: Tensor) -> float:
    """Return the part of the nats across an outline that another mark removes, at most 1.

    before, after: the marks. chosen: what the outline encloses, ``(H, W)``, boolean.
    """
    least = 1e-6  # no difference at all crosses the outline in an even picture
    left = outline_nats(evidence, after, chosen)
    return 1 - left / max(outline_nats(evidence, before, chosen), least)


def unlike(one: Undone, other: Undone, offset: tuple[int, int]) -> Tensor:
    """Return 1 where a pixel of ``one`` is marked unlike its partner in ``other``, else 0."""
    inks = pairs(one.ink, offset)[0] - pairs(other.ink, offset)[1]
    mattes = pairs(one.matte, offset)[0] - pairs(other.matte, offset)[1]
    return (torch.maximum(inks.abs().amax(0), mattes.abs()) > DIFFERENT).float()


def pair_nats(
    one: Undone, other: Undone, offset: tuple[int, int], factors: Sequence[Tensor]
) -> Tensor:
    """Return the nats of the differences between the pixels of ``one`` and those of ``other``.

    factors: of the texture, one for each picture.
    """
    show_here = 1 - pairs(one.matte, offset)[0]
    show_there = 1 - pairs(other.matte, offset)[1]
    step = (show_here * show_there).sqrt() * (
        pairs(other.clean, offset)[1] - pairs(one.clean, offset)[0]
    )
    variance = (
        show_there * pairs(one.variance, offset)[0] + show_here * pairs(other.variance, offset)[1]
    )
    nats = [bounded_nats(*each) for each in zip(step, factors, variance, strict=True)]
    return torch.stack(nats).sum(0)


def bounded_nats(difference: Tensor, factor: Tensor, variance: Tensor) -> Tensor:
    """Return the nats of differences ``(3, h, w)``, which never exceed :data:`EDGE` by much.

    factor: from :func:`stages.watermark.texture.whitening`.
    variance: of the errors that undoing the mark adds, ``(h, w)``.
    """
    own = squared_length(difference, factor)
    size = difference.square().sum(0).clamp_min_(1e-12)
    # Along the difference's direction, the variances of the texture and of the errors add.
    whole = own.mul(size).div_(torch.addcmul(size, variance, own))
    # With Student's nats n, the bound is log((1 + e^EDGE) / (1 + e^(EDGE - n))).
    likelihood = student_likelihood(whole)
    return MOST_NATS - likelihood.mul_(math.exp(EDGE)).log1p_()
