"""Tell parts of the scene that were taken for a mark, and leave them as they are.

White paint on a road or the chrome of a bicycle looks like a white mark on a part of its outline.
Two things tell it from the mark. Undoing the mark there leaves differences across the outline that
the texture around does not have. And the scene's own texture is not weaker inside, while that under
a mark of opacity a is, by the factor ``1 - a``.

One picture ``(1, 3, H, W)`` in [0, 1]; maps ``(H, W)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.evidence import NEAR, ROUNDED, TEXTURE_NATS, Evidence, Undone, pair_nats
from stages.watermark.find import ACROSS, Mark, dilated, inner_pixels, pairs, solve
from stages.watermark.fit import OPAQUE
from stages.watermark.texture import squared_length, student_likelihood, whitening

DEMAND = 0.7
"""Part of the edge that the mark predicts which undoing it has to remove. Where it does not, a part
of the mark is suspect."""
TEXTURE_WEIGHT = 10.0
"""Weight of a pixel's texture when suspects are looked for. Pairs across an outline tell one thing
many times over, which texture has to outweigh."""
NEARBY = 9  # pixels of the sides of the squares over which texture is compared
MOST_MISFIT = 2.4
"""Mean nats across the outline of a part, once it is undone, above which it belongs to the scene if
its texture says nothing. On 15 drawn pictures without compression, with the next two constants,
parts of the scene had 2.5 and more, true parts 2.4 at most."""
TEXTURE_VOTE = 0.7  # nats of misfit that a nat of texture for each pair makes up for
FEW_TEXTURE = 60.0  # half pairs of texture that count half
USUAL_PAIRS = 300.0
"""Pairs of the usual misfit that join those of a part. So a small part of the mark stays, unless it
is very unusual."""


@dataclass(frozen=True)
class PixelSums:
    """Hold sums over the pairs of each pixel: ``nats`` and their ``count``, ``(H, W)`` each."""

    nats: Tensor
    count: Tensor

    @classmethod
    def nothing(cls, like: Tensor) -> PixelSums:
        """Return sums over no pairs for each pixel of ``like`` (H, W)."""
        return cls(torch.zeros(like.shape), torch.zeros(like.shape))

    def add(self, offset: tuple[int, int], nats: Tensor, counts: tuple[Tensor, Tensor]) -> None:
        """Add the ``nats`` of pairs as often as each of their two pixels ``counts`` them."""
        for side, count in enumerate(counts):
            pairs(self.nats, offset)[side].add_(nats * count)
            pairs(self.count, offset)[side].add_(count)

    def mean_around(self, side: int) -> Tensor:
        """Return the mean over squares of ``side`` pixels, 0 where there are no pairs."""
        nats, count = (
            F.avg_pool2d(each[None, None], side, 1, side // 2)[0, 0]
            for each in (self.nats, self.count)
        )
        return nats / count.clamp_min(1e-6)


def without_scene_parts(pictures: Tensor, mark: Mark, weight: Tensor, turns: int) -> Mark:
    """Return ``mark`` without the parts of it that belong to the scene.

    A cut proposes them, and each is judged as a whole. What lies along the rest of the mark is its
    soft edge, and stays.

    weight: how much each pixel counts. turns: iterations of the cut.
    """
    chosen = mark.matte[0] > mark.opacity / 2
    if mark.opacity > OPAQUE or not bool(chosen.any()):
        return mark
    evidence = Evidence(pictures, weight, chosen)
    texture = texture_evidence(pictures, mark, chosen)
    cut = evidence.cut(mark.opacity, mark.color, demand=DEMAND)
    against = -texture.mean_around(NEARBY).clamp(max=0) * chosen
    cut = replace(cut, unary=cut.unary + TEXTURE_WEIGHT * against)
    certain = chosen & solve(cut, chosen.float(), turns)
    suspects = chosen & ~dilated(certain, 1)
    scene = in_scene(suspects, outline_misfit(evidence, mark, chosen), texture)
    kept = dilated(chosen & ~scene, 1)
    return replace(mark, matte=mark.matte * kept, ink=mark.ink * kept)


def in_scene(suspects: Tensor, misfit: PixelSums, texture: PixelSums) -> Tensor:
    """Return which pixels of ``suspects`` (H, W), boolean, belong to the scene.

    Each connected part of them belongs to it as a whole, or not at all.
    """
    count, labels = cv2.connectedComponents(suspects.numpy().astype(np.uint8), connectivity=4)
    places = torch.from_numpy(labels).long()

    def total(values: Tensor) -> Tensor:
        return torch.bincount(places.flatten(), values.flatten(), count)

    usual = TEXTURE_NATS * USUAL_PAIRS
    strange = (total(misfit.nats) + usual) / (total(misfit.count) + USUAL_PAIRS)
    vote = TEXTURE_VOTE * total(texture.nats) / (total(texture.count) + FEW_TEXTURE)
    is_scene = strange - vote > MOST_MISFIT
    is_scene[0] = False  # what is no suspect
    return is_scene[places]


def outline_misfit(evidence: Evidence, mark: Mark, chosen: Tensor) -> PixelSums:
    """Return the nats across the outline of ``chosen`` (H, W), boolean, once the mark is undone.

    They are those of the inner pixels.
    """
    hard = mark.opacity * chosen.float()[None]
    undone = Undone.of(evidence.pictures, replace(mark, matte=hard, ink=hard * mark.color))
    sums = PixelSums.nothing(chosen)
    for offset, factors in zip(ACROSS, evidence.factors, strict=True):
        here, there = pairs(chosen, offset)
        left = pair_nats(undone, undone, offset, factors)
        sums.add(offset, left, ((here & ~there).float(), (there & ~here).float()))
    return sums


def texture_evidence(pictures: Tensor, mark: Mark, chosen: Tensor) -> PixelSums:
    """Return the evidence of the texture in ``chosen`` (H, W), boolean, for the mark, in nats.

    It is how much likelier the differences between neighbours are in a picture under the mark than
    in the bare picture. Both pixels of a pair count half of it.
    """
    bare, clean = pictures[0], Undone.of(pictures, mark).clean[0]
    inside, near_mark = inner_pixels(chosen), dilated(mark.matte[0] > 0, 1)
    through = 1 - mark.opacity
    amplified = ROUNDED**2 * (1 / through**2 - 1)
    sums = PixelSums.nothing(chosen)
    for offset in NEAR:
        difference, undone = (
            there - here for here, there in (pairs(bare, offset), pairs(clean, offset))
        )
        near_here, near_there = pairs(near_mark, offset)
        factor = whitening(difference, ~near_here & ~near_there)
        # The noise that undoing amplifies adds to the texture's variance in every direction.
        variance = (factor[0] * factor[2] * factor[5]).pow(-2 / 3)
        wider = 1 + amplified / variance
        as_bare = student_likelihood(squared_length(difference, factor))
        as_marked = student_likelihood(squared_length(undone, factor) / wider)
        told = (as_marked.clamp_min(1e-9) / as_bare.clamp_min(1e-9)).log()
        told = told - 3 * math.log(through) - 1.5 * wider.log()
        here, there = pairs(inside, offset)
        half = (here & there) / 2
        sums.add(offset, told, (half, half))
    return sums
