"""Find where a mark is, how opaque it is, and which colours it has.

The model is ``I = (1 - m) C + p`` with the matte m, the ink p = m * colour and the clean picture C.
Neighbouring pixels of C differ little, across the mark's outline as elsewhere. So a pixel is marked
if undoing the mark makes the picture more continuous. This is a binary labelling with costs on
pairs of pixels, which a minimal cut solves (Boykov et al. 2001, expansion moves). Here its convex
form, a directed total variation, is solved by a preconditioned primal-dual method (Pock & Chambolle
2011), which needs only tensor operations.

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; matte ``(1, H, W)``, ink ``(3, H, W)``;
maps of pixels ``(H, W)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.motion.flow import box_max

OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (0, 3), (3, 0), (2, 2), (2, -2))
"""Compared pairs of pixels, as (down, right). The longer ones reach across a soft outline."""
ACROSS = ((0, 3), (3, 0), (2, 2), (2, -2), (0, 4), (4, 0), (3, 3), (3, -3))
"""Pairs with one pixel inside an outline and one outside, both clear of its soft edge."""

SCALE = 0.05
"""Difference between neighbours above which it is an edge. A stronger edge costs hardly more."""
OUTLINE = 0.05
"""Cost of a pair that an outline separates, for one picture. It is about the misfit of a difference
of 0.06."""
EXCLUSION = 0.2
"""How much more an edge of the picture costs on an outline than elsewhere. Two layers share no
edges."""
BEYOND = 8.0  # cost of a clean value that lies outside of [0, 1], per unit of its distance
CLEAR = 0.97
"""Highest opacity that is inverted. Above it, 8 bits hold nothing of what is beneath the mark."""

DIFFERENT = 0.02  # difference of two inks or mattes above which they are different marks
LEAST_SAMPLES = 30  # fewest pairs across an outline from which an opacity is estimated
PURE = 0.05  # a single picture's mark this near to white or black is taken for that
THIN = 0.1
"""Part of a mark's pixels that are no outline, below which its strokes count as thin."""
LINE_TURNS, ANCHOR_TURN = 60, 40
"""Reweightings of the line in :func:`opacity_and_color`, and the one at which it may be fixed."""
OPACITY_TURNS = 40  # reweightings in :func:`shared_opacity`


@dataclass(frozen=True)
class Mark:
    """Hold a mark.

    matte: ``(1, H, W)`` in [0, 1]. ink: matte times colour, ``(3, H, W)``, at most the matte.
    opacity: of its core, 0 to 1.
    gain: by how much undoing the mark makes the pictures more continuous, in nats of
    :mod:`stages.watermark.evidence`.
    doubtful: whether it may be a part of the picture, because it explains little of its outline.
    forced: whether it was found only because the user gave ``force``.
    """

    matte: Tensor
    ink: Tensor
    opacity: float
    gain: float
    doubtful: bool = False
    forced: bool = False

    @classmethod
    def nothing(cls, pictures: Tensor) -> Mark:
        """Return the mark that covers no pixel of the pictures ``(K, 3, H, W)``."""
        ink = torch.zeros_like(pictures[0])
        return cls(ink[:1], ink, 0.0, 0.0)

    @property
    def hue(self) -> Tensor:
        """Return the mean colour ``(3,)``."""
        return self.ink.sum((1, 2)) / self.matte.sum().clamp_min(1e-6)

    @property
    def color(self) -> Tensor:
        """Return the colour ``(3, H, W)``: the mark's own inside it, its mean elsewhere."""
        return torch.where(
            self.matte > 0, self.ink / self.matte.clamp_min(1e-6), self.hue.view(3, 1, 1)
        ).clamp(0, 1)


@dataclass(frozen=True)
class Cut:
    """Hold the costs of a binary labelling.

    unary: ``(H, W)``, the cost of label 1.
    pairs: ``(h, w)`` for each offset, the cost of label 0 at a pixel and label 1 at its partner.
    offsets: the compared pairs of pixels, as (down, right).
    """

    unary: Tensor
    pairs: tuple[Tensor, ...]
    offsets: tuple[tuple[int, int], ...] = OFFSETS

    def cost(self, chosen: Tensor) -> float:
        """Return the cost of a labelling, less that of choosing nothing.

        chosen: the pixels of label 1, ``(H, W)``, boolean.
        """
        label = chosen.float()
        total = (self.unary * label).sum()
        for offset, weight in zip(self.offsets, self.pairs, strict=True):
            here, there = pairs(label, offset)
            total = total + (weight * (there - here).clamp_min(0)).sum()
        return float(total)

    def gain(self, chosen: Tensor) -> Tensor:
        """Return what each pixel contributes to ``-cost(chosen)``, as a map ``(H, W)``.

        The two pixels of a pair share its cost equally. chosen: as in :meth:`cost`.
        """
        label = chosen.float()
        total = self.unary * label
        for offset, weight in zip(self.offsets, self.pairs, strict=True):
            here, there = pairs(label, offset)
            half = weight * (there - here).clamp_min(0) / 2
            for side in pairs(total, offset):
                side += half
        return -total


def pairs(picture: Tensor, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return two views of ``picture`` (..., H, W): each pixel, and its partner.

    offset: from a pixel to its partner, (down, right). Both views are empty if the picture is too
    small.
    """
    down, right = offset
    height, width = picture.shape[-2:]
    upper, lower = slice(0, max(0, height - down)), slice(min(down, height), height)
    left, beyond = slice(0, max(0, width - abs(right))), slice(min(abs(right), width), width)
    if right < 0:
        left, beyond = beyond, left
    return picture[..., upper, left], picture[..., lower, beyond]


def misfit(difference: Tensor, scale: float = SCALE) -> Tensor:
    """Return the cost ``(h, w)`` of differences ``(K, 3, h, w)``.

    It is the mean over the pictures of ``s log(1 + |d|² / s²)`` with the ``scale`` s.
    """
    return scale * torch.log1p(difference.square().sum(1) / scale**2).mean(0)


def outside(pictures: Tensor, matte: Tensor | float, ink: Tensor) -> Tensor:
    """Return how far ``(1 - m) C`` leaves ``[0, 1 - m]`` in the worst of the pictures, (H, W)."""
    return (
        ((ink - pictures).clamp_min(0) + (pictures - ink - (1 - matte)).clamp_min(0)).sum(1).amax(0)
    )


@dataclass(frozen=True)
class PairCosts:
    """Hold what a pair of neighbouring pixels costs in a cut.

    weight: how much each pixel counts, ``(H, W)``.
    outline: cost of a pair that an outline separates.
    """

    weight: Tensor
    outline: float = OUTLINE


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
    kept, new = (pictures - ink) / (1 - matte), (pictures - new_ink) / (1 - opacity)
    show, new_show = (1 - matte).sqrt(), (1 - opacity) ** 0.5
    differs = (
        torch.maximum((ink - new_ink).abs().amax(0), (matte[0] - opacity).abs()) > DIFFERENT
    ).float()
    unary = BEYOND * (outside(pictures, opacity, new_ink) - outside(pictures, matte, ink))
    weights = []
    for offset in OFFSETS:
        length = costs.outline / (offset[0] ** 2 + offset[1] ** 2) ** 0.5
        counts = torch.maximum(*pairs(costs.weight, offset))
        (kept_x, kept_y), (new_x, new_y), (show_x, show_y) = (
            pairs(kept, offset),
            pairs(new, offset),
            pairs(show, offset),
        )
        (ink_x, ink_y), (differs_x, differs_y) = pairs(ink, offset), pairs(differs, offset)
        stay = counts * misfit(show_x * show_y * (kept_y - kept_x)) + length * (
            (ink_x - ink_y).abs().amax(0) > DIFFERENT
        )
        enter = (
            counts * (1 + EXCLUSION * differs_x) * misfit(show_x * new_show * (new_y - kept_x))
            + length * differs_x
        )
        leave = (
            counts * (1 + EXCLUSION * differs_y) * misfit(new_show * show_y * (kept_y - new_x))
            + length * differs_y
        )
        both = counts * misfit(new_show**2 * (new_y - new_x))
        unary_x, unary_y = pairs(unary, offset)
        unary_x += leave - stay
        unary_y += both - leave
        # A cut cannot express a pair that gains by differing both ways; such a pair costs nothing.
        weights.append((enter + leave - stay - both).clamp_min(0))
    return Cut(unary, tuple(weights))


def solve(cut: Cut, allowed: Tensor, turns: int) -> Tensor:
    """Return the labelling ``(H, W)``, boolean, of about the least cost.

    allowed: ``(H, W)`` in [0, 1], 0 where label 1 is not allowed. turns: primal-dual iterations.
    """
    label = torch.full_like(cut.unary, 0.5) * allowed
    degree = torch.zeros_like(label)
    for offset in cut.offsets:
        for side in pairs(degree, offset):
            side += 1
    degree = degree.clamp_min(1)
    mean = sum(float(weight.sum()) for weight in cut.pairs) / max(
        1, sum(weight.numel() for weight in cut.pairs)
    )
    scale = 1 / max(mean, 1e-9)
    unary = cut.unary * scale
    # All turns write into the same memory, so that its views are made only once: in pictures as
    # small as these, making them takes as long as computing.
    ahead, slope = label.clone(), torch.empty_like(label)
    terms = [
        (
            pairs(ahead, offset),
            pairs(slope, offset),
            torch.zeros_like(weight),
            torch.empty_like(weight),
            weight * scale,
        )
        for offset, weight in zip(cut.offsets, cut.pairs, strict=True)
    ]
    for _ in range(turns):
        slope.copy_(unary)
        for (here, there), (slope_here, slope_there), flow, change, most in terms:
            torch.sub(there, here, out=change)
            flow.add_(change, alpha=0.5)
            torch.minimum(flow, most, out=flow).clamp_(min=0)
            slope_here -= flow
            slope_there += flow
        stepped = (label - slope / degree).clamp_(0, 1).mul_(allowed)
        torch.sub(2 * stepped, label, out=ahead)
        label = stepped
    return label > 0.5


def dilated(chosen: Tensor, by: int) -> Tensor:
    """Return ``chosen`` (H, W), boolean, dilated by ``by`` pixels; a negative ``by`` erodes it."""
    sign = 1 if by > 0 else -1
    return box_max(sign * chosen.float()[None, None], abs(by))[0, 0] * sign > 0.5


def inner_pixels(chosen: Tensor) -> Tensor:
    """Return the pixels of ``chosen`` (H, W) clear of its outline, or all of them.

    All of them if the strokes are too thin for an interior.
    """
    core = dilated(chosen, -1)
    return chosen if int(core.sum()) <= THIN * int(chosen.sum()) else core


def outline_sides(pictures: Tensor, chosen: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values ``(K, 3, n)`` at both sides of an outline, clear of its soft edge.

    The first are those of ``clean`` just outside ``chosen`` (H, W), the second those of
    ``pictures`` just inside. Strokes too thin for an interior use all their pixels.
    """
    core, rim = inner_pixels(chosen), dilated(chosen, 1)
    outer, inner = [], []
    for offset in ACROSS:
        for outer_side in (0, 1):
            inner_side = 1 - outer_side
            here = ~pairs(rim, offset)[outer_side] & pairs(core, offset)[inner_side]
            outer.append(pairs(clean, offset)[outer_side][:, :, here])
            inner.append(pairs(pictures, offset)[inner_side][:, :, here])
    return torch.cat(outer, -1), torch.cat(inner, -1)


def opacity_and_color(pictures: Tensor, chosen: Tensor) -> tuple[float, Tensor] | None:
    """Return the opacity and the colour ``(3,)`` of a mark, or None with too few pixels.

    They are fitted as the line ``inside = (1 - a) outside + a color`` over the outline's pixels.
    Both sides are equally noisy, so the slope is the ratio of their spreads (reduced major axis).
    Least squares would overestimate every opacity. Outliers are re-weighted.

    chosen: the marked pixels, ``(H, W)``, boolean.
    """
    outer, inner = (
        side.permute(1, 0, 2).flatten(1) for side in outline_sides(pictures, chosen, pictures)
    )
    if outer.shape[1] < LEAST_SAMPLES:
        return None
    weight = torch.ones(outer.shape[1])
    slope = torch.tensor(0.5)
    offset = torch.zeros(3, 1)
    anchor = None
    for turn in range(LINE_TURNS):
        mean_outer, mean_inner = (
            (weight * side).sum(1, keepdim=True) / weight.sum() for side in (outer, inner)
        )
        if turn == ANCHOR_TURN:
            # A line that leads beyond white or black is fixed to that corner. One picture cannot
            # tell white from nearly white, and white and black are far more common.
            hue = offset / (1 - slope)
            reach = float(hue.mean())
            is_gray = float(hue.max() - hue.min()) < PURE
            near = PURE if is_gray and len(pictures) == 1 else 0.0
            if reach > 1 - near:
                anchor = 1.0
            elif reach < near:
                anchor = 0.0
        if anchor is not None:
            mean_outer = mean_inner = torch.full((3, 1), anchor)
        spread_outer, spread_inner = (
            (weight * (outer - mean_outer) ** 2).sum(),
            (weight * (inner - mean_inner) ** 2).sum(),
        )
        slope = (spread_inner / spread_outer.clamp_min(1e-9)).sqrt().clamp(1 - CLEAR, CLEAR)
        offset = mean_inner - slope * mean_outer
        error = (inner - slope * outer - offset).square().sum(0) / slope
        weight = 1 / (error + max(0.03, 0.2 * 0.8**turn) ** 2)
    opacity = 1 - float(slope)
    return opacity, (offset[:, 0] / opacity).clamp(0, 1)


def shared_opacity(pictures: Tensor, chosen: Tensor) -> float | None:
    """Return the opacity of a mark of any colours, or None with one picture or too few pixels.

    It tells how much less the pictures differ inside the outline of ``chosen`` (H, W) than outside.
    """
    if len(pictures) < 2:
        return None
    sides = outline_sides(pictures, chosen, pictures)
    if sides[0].shape[-1] < LEAST_SAMPLES:
        return None
    outer, inner = (side - side.mean(0, keepdim=True) for side in sides)
    weight = torch.ones(outer.shape[-1])
    slope = torch.tensor(0.5)
    for turn in range(OPACITY_TURNS):
        slope = (
            ((weight * inner.square()).sum() / (weight * outer.square()).sum().clamp_min(1e-9))
            .sqrt()
            .clamp(1 - CLEAR, CLEAR)
        )
        error = (inner - slope * outer).square().sum(1).mean(0) / slope
        weight = 1 / (error + max(0.03, 0.2 * 0.8**turn) ** 2)
    return 1 - float(slope)
