"""Measure how continuous pictures are once a mark is undone.

Neighbouring pixels of the clean picture C differ little, across the mark's outline as elsewhere. So
a pixel is marked if undoing the mark makes the picture more continuous. One measure is for fits by
gradient descent (:func:`continuity`), the other one for cuts (:func:`expansion_move`).

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; matte ``(1, H, W)``, ink ``(3, H, W)``;
maps of pixels ``(H, W)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.mixing.watermark_composite import MOST_OPAQUE
from stages.watermark.graph_cut import Cut
from stages.watermark.mark import Mark
from stages.watermark.pixel_maps import Offset, pixel_pairs

NEXT_OFFSETS: tuple[Offset, ...] = ((0, 1), (1, 0))
"""Pairs of direct neighbours."""
FIT_OFFSETS: tuple[Offset, ...] = (*NEXT_OFFSETS, (1, 1), (1, -1), (0, 2), (2, 0), (0, 3), (3, 0))
"""Pairs of pixels that a fit compares."""
CUT_OFFSETS: tuple[Offset, ...] = (*FIT_OFFSETS, (2, 2), (2, -2))
"""Pairs of pixels that a cut compares. The longer ones reach across a soft outline."""
CUT_SCALE = 0.05
"""Colour difference, as an RGB distance, above which a pair is an edge in a cut. A stronger edge
costs hardly more."""
FIT_SCALE = 0.02
"""The same in a fit. It is small, because only faint traces of the mark are left."""
OUTLINE_COST = 0.05
"""Cost of a pair that an outline separates, for one picture. It is about the misfit of a difference
of 0.06."""
EXCLUSION = 0.2
"""How much more an edge of the picture costs on an outline than elsewhere. Two layers share no
edges."""
CUT_RANGE_WEIGHT = 8.0
"""Cost in a cut of a clean value that lies outside of [0, 1], per unit of its distance."""
FIT_RANGE_WEIGHT = 24.0
"""The same in a fit."""
DIFFERENT = 0.02
"""Difference of two inks or mattes above which two pixels are marked differently."""


def misfit(difference: Tensor, scale: float = CUT_SCALE) -> Tensor:
    """Return the cost ``(h, w)`` of differences ``(K, 3, h, w)``.

    It is the mean over the pictures of ``s log(1 + |d|² / s²)`` with the ``scale`` s.
    """
    return scale * torch.log1p(difference.square().sum(1) / scale**2).mean(0)


def continuity(pictures: Tensor, matte: Tensor, ink: Tensor, scale: float = FIT_SCALE) -> Tensor:
    """Return the mean misfit of the clean pictures' differences.

    They are weighted as in :func:`expansion_move`. scale: as in :func:`misfit`.
    """
    clean = (pictures - ink) / (1 - matte)
    contrast = (1 - matte).sqrt()
    total = clean.sum() * 0
    for offset in FIT_OFFSETS:
        here, there = pixel_pairs(clean, offset)
        contrast_here, contrast_there = pixel_pairs(contrast, offset)
        if here.numel():
            total = total + misfit(contrast_here * contrast_there * (there - here), scale).mean()
    return total


def out_of_range(pictures: Tensor, matte: Tensor, ink: Tensor) -> Tensor:
    """Return the mean distance of clean values from [0, 1]."""
    clean = (pictures - ink) / (1 - matte)
    return (torch.relu(-clean) + torch.relu(clean - 1)).mean()


def residual_cost(pictures: Tensor, mark: Mark, scale: float = FIT_SCALE) -> float:
    """Return the cost of the pictures without ``mark``; less is better.

    It counts how discontinuous they are and how far they leave [0, 1].
    """
    matte = mark.matte.clamp(max=MOST_OPAQUE)
    rough = continuity(pictures, matte, mark.ink, scale)
    return float(rough + FIT_RANGE_WEIGHT * out_of_range(pictures, matte, mark.ink))


def total_variation(picture: Tensor) -> Tensor:
    """Return the mean of ``|d x|`` over the pixels of (C, H, W), summed over both directions.

    The length ``|d x|`` is taken over the channels.
    """
    total = picture.sum() * 0
    for offset in NEXT_OFFSETS:
        here, there = pixel_pairs(picture, offset)
        if here.numel():
            total = total + ((there - here).square().sum(0) + 1e-8).sqrt().mean()
    return total


@dataclass(frozen=True)
class PairCosts:
    """What a pair of neighbouring pixels costs in a cut.

    weight: how much each pixel counts, ``(H, W)``.
    outline: cost of a pair that an outline separates.
    """

    weight: Tensor
    outline: float = OUTLINE_COST


def expansion_move(
    pictures: Tensor, mark: Mark, opacity: float, color: Tensor, costs: PairCosts
) -> Cut:
    """Return the costs of an expansion move.

    Each pixel keeps the matte and ink of ``mark``, or takes ``opacity`` and ``color``. A pair
    costs the misfit of ``sqrt((1 - m_x) (1 - m_y)) (C_y - C_x)``. This is the clean difference as
    strong as it shows in the input, so the noise of both sides counts alike.

    opacity: in [0, 1). color: ``(3,)`` or ``(3, H, W)`` in [0, 1].
    """
    matte, ink = mark.matte, mark.ink
    new_ink = opacity * (color.view(3, 1, 1) if color.ndim == 1 else color)
    kept, new = mark.undone(pictures), (pictures - new_ink) / (1 - opacity)
    contrast, new_contrast = (1 - matte).sqrt(), (1 - opacity) ** 0.5
    differs = (
        torch.maximum((ink - new_ink).abs().amax(0), (matte[0] - opacity).abs()) > DIFFERENT
    ).float()
    unary = CUT_RANGE_WEIGHT * (
        range_excess(pictures, opacity, new_ink) - range_excess(pictures, matte, ink)
    )
    weights = []
    for offset in CUT_OFFSETS:
        outline = costs.outline / (offset[0] ** 2 + offset[1] ** 2) ** 0.5
        counts = torch.maximum(*pixel_pairs(costs.weight, offset))
        (kept_x, kept_y), (new_x, new_y) = pixel_pairs(kept, offset), pixel_pairs(new, offset)
        contrast_x, contrast_y = pixel_pairs(contrast, offset)
        (ink_x, ink_y), (differs_x, differs_y) = (
            pixel_pairs(ink, offset),
            pixel_pairs(differs, offset),
        )
        stay = counts * misfit(contrast_x * contrast_y * (kept_y - kept_x)) + outline * (
            (ink_x - ink_y).abs().amax(0) > DIFFERENT
        )
        enter = (
            counts
            * (1 + EXCLUSION * differs_x)
            * misfit(contrast_x * new_contrast * (new_y - kept_x))
            + outline * differs_x
        )
        leave = (
            counts
            * (1 + EXCLUSION * differs_y)
            * misfit(new_contrast * contrast_y * (kept_y - new_x))
            + outline * differs_y
        )
        both = counts * misfit(new_contrast**2 * (new_y - new_x))
        unary_x, unary_y = pixel_pairs(unary, offset)
        unary_x += leave - stay
        unary_y += both - leave
        # A cut cannot express a pair that gains by differing both ways; such a pair costs nothing.
        weights.append((enter + leave - stay - both).clamp_min(0))
    return Cut(unary, tuple(weights), CUT_OFFSETS)


def range_excess(pictures: Tensor, matte: Tensor | float, ink: Tensor) -> Tensor:
    """Return how far ``(1 - m) C`` leaves ``[0, 1 - m]`` in the worst of the pictures, (H, W)."""
    return (
        ((ink - pictures).clamp_min(0) + (pictures - ink - (1 - matte)).clamp_min(0)).sum(1).amax(0)
    )
