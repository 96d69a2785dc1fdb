"""Label the pixels of a picture at least cost: a minimal cut.

A binary labelling with costs on pairs of pixels is solved by a minimal cut (Boykov et al. 2001,
expansion moves). Here its convex form, a directed total variation, is solved by a preconditioned
primal-dual method (Pock & Chambolle 2011), which needs only tensor operations.

Maps of pixels ``(H, W)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.watermark.pixel_maps import Offset, pixel_pairs


@dataclass(frozen=True)
class Cut:
    """The costs of a binary labelling.

    unary: ``(H, W)``, the cost of label 1.
    pairs: ``(h, w)`` for each offset, the cost of label 0 at a pixel and label 1 at its partner.
    offsets: the compared pairs of pixels.
    """

    unary: Tensor
    pairs: tuple[Tensor, ...]
    offsets: tuple[Offset, ...]

    def cost(self, chosen: Tensor) -> float:
        """Return the cost of a labelling, less that of choosing nothing.

        chosen: the pixels of label 1, ``(H, W)``, boolean.
        """
        label = chosen.float()
        total = (self.unary * label).sum()
        for offset, weight in zip(self.offsets, self.pairs, strict=True):
            here, there = pixel_pairs(label, offset)
            total = total + (weight * (there - here).clamp_min(0)).sum()
        return float(total)

    def gain(self, chosen: Tensor) -> Tensor:
        """Return what each pixel contributes to ``-cost(chosen)``, as a map ``(H, W)``.

        The two pixels of a pair share its cost equally. chosen: as in :meth:`cost`.
        """
        label = chosen.float()
        total = self.unary * label
        for offset, weight in zip(self.offsets, self.pairs, strict=True):
            here, there = pixel_pairs(label, offset)
            half = weight * (there - here).clamp_min(0) / 2
            for side in pixel_pairs(total, offset):
                side += half
        return -total

    @property
    def mean_pair_cost(self) -> float:
        """The mean cost of a pair that the labelling separates."""
        total = sum(float(weight.sum()) for weight in self.pairs)
        return total / max(1, sum(weight.numel() for weight in self.pairs))

    def pairs_of_each_pixel(self) -> Tensor:
        """Return in how many pairs each pixel is, ``(H, W)``, at least 1."""
        degree = torch.zeros_like(self.unary)
        for offset in self.offsets:
            for side in pixel_pairs(degree, offset):
                side += 1
        return degree.clamp_min(1)


def solve(cut: Cut, allowed: Tensor, iterations: int) -> Tensor:
    """Return the labelling ``(H, W)``, boolean, of about the least cost.

    allowed: ``(H, W)`` in [0, 1], 0 where label 1 is not allowed.
    """
    label = torch.full_like(cut.unary, 0.5) * allowed
    degree = cut.pairs_of_each_pixel()
    scale = 1 / max(cut.mean_pair_cost, 1e-9)
    unary = cut.unary * scale
    # All iterations write into the same memory, so that its views are made only once: in pictures
    # as small as these, making them takes as long as computing.
    extrapolated, slope = label.clone(), torch.empty_like(label)
    terms = [
        (
            pixel_pairs(extrapolated, offset),
            pixel_pairs(slope, offset),
            torch.zeros_like(weight),
            torch.empty_like(weight),
            weight * scale,
        )
        for offset, weight in zip(cut.offsets, cut.pairs, strict=True)
    ]
    for _ in range(iterations):
        slope.copy_(unary)
        for (here, there), (slope_here, slope_there), flow, change, capacity in terms:
            torch.sub(there, here, out=change)
            flow.add_(change, alpha=0.5)
            torch.minimum(flow, capacity, out=flow).clamp_(min=0)
            slope_here -= flow
            slope_there += flow
        stepped = (label - slope / degree).clamp_(0, 1).mul_(allowed)
        torch.sub(2 * stepped, label, out=extrapolated)
        label = stepped
    return label > 0.5


def add_pair_costs(
    unary: Tensor, offset: Offset, stay: Tensor, enter: Tensor, leave: Tensor
) -> Tensor:
    """Add the costs of pairs to ``unary`` (H, W), and return the rest, which the cut pays for.

    stay, enter, leave: costs ``(h, w)`` of the labels (0, 0), (0, 1) and (1, 0) at a pixel and its
        partner. The labels (1, 1) cost nothing.
    """
    # Where both ways gain, keep the cheaper one and raise the other until a cut can express it.
    lacking = (stay - enter - leave).clamp_min(0)
    leave, enter = (
        torch.where(enter < leave, leave + lacking, leave),
        torch.where(enter < leave, enter, enter + lacking),
    )
    here, there = pixel_pairs(unary, offset)
    here += leave - stay
    there -= leave
    return (enter + leave - stay).clamp_min(0)
