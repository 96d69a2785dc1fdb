"""The matte of any kind of transition: a soft edge of a known pattern, or the weight of each pixel.

A pattern has few numbers, so errors of the layers hardly reach it: it is better for soft edges.
But its fitted edge is never quite hard. So a hard one is tried, too, whose place each frame tells,
and whose pixels are then decided one by one. Real edges may be ragged, too. Where the neighbours of
a pixel predict its weight clearly better than the pattern, each pixel gets a weight of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.kinds import TRANSITION_KINDS
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture
from stages.mixing.pixel_matte import (
    MEAN_WEIGHT_STRENGTH,
    NEIGHBORHOODS,
    PixelEvidence,
    pixel_matte,
)
from stages.motion.flow import box_max, range_around
from stages.transition.matte import SoftEdge, fit_matte

RAGGED_TO_PATTERN = 0.5
"""Squared error with the weights that neighbours predict, relative to that of the pattern, up to
which each pixel has a weight of its own. On transitions of real footage it was 0.36 and 0.43 for
ragged edges (FFmpeg's winds), and 0.58 to 1.6 for mattes with a pattern but for one with 0.46, on
about ten clips."""

RAGGED_TO_ALL_DIRECTIONS = 0.75
"""Squared error with the best neighbours, relative to that with those in all directions. For the
winds it was 0.53 and 0.41, for patterns between moving scenes 0.9 and more."""

HARD_EDGE = 0.5
"""Difference between the weights around a pixel from which an edge counts as hard."""

EDGE_REACH = 2
"""How far a hard edge may lie off its place, in pixels."""

FoundMatte = tuple[Tensor, SoftEdge | None]
"""A matte ``(n, 1, H, W)``, and the edge that it is made of, or None for a weight of each pixel."""


def fit_any_matte(
    mixture: Mixture,
    kind: str,
    layers: Pair,
    means: Tensor,
    previous: FoundMatte | None = None,
    certainty: Tensor | None = None,
    effect: str | None = None,
) -> FoundMatte:
    """Return the matte of the mixed frames.

    kind: of the transition; it has a matte. layers: both scenes in the mixed frames,
    ``(n, 3, H, W)``, as well as they are known. means: the mean weight of each frame, ``(n,)``.
    previous: the matte that was found with earlier layers; its edge is changed in place.
    certainty: how much each pixel counts, ``(n, 1, H, W)``, above 0; all alike unless given.
    effect: FFmpeg's name of the transition, where the search knows it.
    """
    frames = mixture.frames[mixture.mixed]
    by_pixels = previous is not None and previous[1] is None
    if by_pixels or TRANSITION_KINDS[kind].undo == "pixels":
        return pixel_matte(frames, layers, means, certainty), None
    edge_before = previous[1] if previous else None
    fitted = fit_matte(mixture, layers, means, edge_before, certainty, effect)
    if fitted is not None:
        matte, edge = fitted
        matte = with_hard_edge(mixture, edge, matte, layers, certainty)
        # The first layers are held, and what moves in them looks like a ragged matte.
        evidence = PixelEvidence.of(frames, layers, means, certainty)
        matte = _exact_at_edges(evidence, matte)
        if previous is None or not _pixels_say_more(evidence, matte):
            return matte, edge
    return pixel_matte(frames, layers, means, certainty), None


def with_hard_edge(
    mixture: Mixture, edge: SoftEdge, matte: Tensor, layers: Pair, certainty: Tensor | None = None
) -> Tensor:
    """Return the matte with a hard edge, ``(n, 1, H, W)``, if that explains the frames as well.

    A fitted edge is never quite hard, and it may lie a pixel off. In the order in which the picture
    changes, a hard edge lies in each frame where it leaves the least squared error.

    edge, matte: as fitted. Other arguments as in :func:`fit_any_matte`.
    """
    frames = mixture.frames[mixture.mixed]
    counted = torch.ones_like(matte) if certainty is None else certainty
    with torch.no_grad():
        ranks = edge.order(*mixture.size).flatten().argsort()
    errors = [counted * (frames - layer).square().sum(1, keepdim=True) for layer in layers]
    gained = (errors[0] - errors[1]).flatten(1)[:, ranks].cumsum(1)
    gained = torch.cat([torch.zeros_like(gained[:, :1]), gained], 1)
    hard = torch.zeros(len(frames), len(ranks))
    for row, place in zip(hard, gained.argmax(1).tolist(), strict=True):
        row[ranks[:place]] = 1
    hard = hard.view_as(matte)

    def error(weight: Tensor) -> float:
        return float((counted * mixture.dissolve(weight).residual(frames, *layers) ** 2).mean())

    return hard if error(hard) <= error(matte) else matte


def _exact_at_edges(evidence: PixelEvidence, matte: Tensor) -> Tensor:
    """Return the matte with the pixels at its hard edges decided one by one.

    A hard edge that lies a pixel off leaves a line of the wrong scene in a layer. A pixel's weight
    stays between those around it.
    """
    least, most = range_around(matte, 1)
    is_near_edge = box_max((most - least > HARD_EDGE).to(matte), EDGE_REACH) > 0
    is_near_soft = box_max(matte * (1 - matte), EDGE_REACH) > 0
    least, most = range_around(matte, EDGE_REACH)
    own = (evidence.along + MEAN_WEIGHT_STRENGTH * matte) / (
        evidence.contrast + MEAN_WEIGHT_STRENGTH
    )
    own = own.maximum(least).minimum(most)
    return torch.where(is_near_edge, torch.where(is_near_soft, own, own.round()), matte)


def _pixels_say_more(evidence: PixelEvidence, matte: Tensor) -> bool:
    """Return whether neighbours predict the weights of pixels clearly better than a matte does.

    A pixel's own weight would explain anything; its neighbours, without it, cannot. But errors of
    the scenes are alike in neighbours, too. They are so in all directions, so the best direction
    also has to be clearly better than all directions together.
    """
    errors = {
        radii: evidence.error(evidence.over_neighbors(radii).weights()) for radii in NEIGHBORHOODS
    }
    best = min(errors.values())
    return best <= RAGGED_TO_PATTERN * evidence.error(matte) and (
        best <= RAGGED_TO_ALL_DIRECTIONS * errors[NEIGHBORHOODS[0]]
    )
