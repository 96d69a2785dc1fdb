"""The matte of any kind of transition: a soft edge of a known pattern, or the weight of each pixel.

A pattern has few numbers, so errors of the layers hardly reach it: it is better for soft edges.
But its fitted edge is never quite hard. So a hard one is tried, too, whose place each frame tells,
and whose pixels are then decided one by one. Real edges may be ragged, too. Where the neighbours of
a pixel predict its weight clearly better than the pattern, each pixel gets a weight of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from stages.kinds import TRANSITION_KINDS
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture
from stages.mixing.pixel_matte import (
    MEAN_WEIGHT_STRENGTH,
    NEIGHBORHOODS,
    PixelEvidence,
    pixel_matte,
)
from stages.transition.matte import SoftEdge, fit_matte

CLEARLY = 0.5
"""Squared error with the weights that neighbours predict, relative to that of the pattern, up to
which each pixel has a weight of its own. On transitions of real footage it was 0.36 and 0.43 for
ragged edges (FFmpeg's winds), and 0.58 to 1.6 for mattes with a pattern but for one with 0.46, on
about ten clips."""

DIRECTED = 0.75
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
    found = fit_matte(mixture, layers, means, edge_before, certainty, effect)
    if found is not None:
        matte, edge = found
        matte = with_hard_edge(mixture, edge, matte, layers, certainty)
        # The first layers are held, and what moves in them looks like a ragged matte.
        own = PixelEvidence.of(frames, layers, means, certainty)
        matte = _exact_at_edges(own, matte)
        if previous is None or not _pixels_say_more(own, matte):
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


def _exact_at_edges(own: PixelEvidence, matte: Tensor) -> Tensor:
    """Return the matte with the pixels at its hard edges decided one by one.

    A hard edge that lies a pixel off leaves a line of the wrong scene in a layer. A pixel's weight
    stays between those around it.
    """
    least, most = _range_around(matte, 1)
    near = functional.max_pool2d(
        (most - least > HARD_EDGE).to(matte), 2 * EDGE_REACH + 1, 1, EDGE_REACH
    )
    least, most = _range_around(matte, EDGE_REACH)
    told = (own.along + MEAN_WEIGHT_STRENGTH * matte) / (own.contrast + MEAN_WEIGHT_STRENGTH)
    told = told.maximum(least).minimum(most)
    _, soft = _range_around(matte * (1 - matte), EDGE_REACH)
    return torch.where(near > 0, torch.where(soft > 0, told, told.round()), matte)


def _range_around(matte: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest value around each pixel of ``(n, 1, H, W)``."""
    side = 2 * radius + 1
    most = functional.max_pool2d(matte, side, 1, radius)
    return -functional.max_pool2d(-matte, side, 1, radius), most


def _pixels_say_more(own: PixelEvidence, matte: Tensor) -> bool:
    """Return whether neighbours predict the weights of pixels clearly better than a matte does.

    A pixel's own weight would explain anything; its neighbours, without it, cannot. But errors of
    the scenes are alike in neighbours, too. They are so in all directions, so the best direction
    also has to be clearly better than all directions together.
    """
    errors = {radii: own.error(own.beside(radii).weights()) for radii in NEIGHBORHOODS}
    best = min(errors.values())
    return best <= CLEARLY * own.error(matte) and best <= DIRECTED * errors[NEIGHBORHOODS[0]]
