"""Weigh ties: how far what each of them brings to a frame is expected to be from the truth.

Two rules estimate the squared error of a tie, and a tie weighs :data:`TIE_SCALE` times the clarity
of where it leads to, divided by this error:

- :func:`weigh_by_difference`: what differs from the layer is wrong. The layers stay near to what
  they were, which suits ties whose flows are still to be fitted.
- :func:`weigh_by_spread`: where ties contradict each other they are wrong, and the more so the
  fainter the scene is. A layer of a faint scene is wrong itself, so that a difference from it says
  little. The layers move further. It is a rule for the last solution of a round: its result makes
  the ties agree, right or wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.mixing.mixture import SIDES, Mixture, Side
from stages.motion.flow import box, lookup, warp
from stages.transition.reconcile import clarity
from stages.transition.ties import FrameTies

TIE_SCALE = 0.01
"""Scale of a tie's weight, so that the most reliable one weighs about 100 by its difference."""

ERROR_RADIUS = 2
"""Radius, in pixels, of the square over which a tie's error is averaged."""

INSIDE = 1.01
"""Largest coordinate at which a flow still leads into the picture, whose edges are at -1 and 1."""

LEAST_ERROR = 0.01
"""Smallest error that :func:`weigh_by_difference` assumes for a tie, in values of [0, 1]."""

DOUBLING_DISTANCE = 5
"""Distance in frames at which the squared error assumed by :func:`weigh_by_difference` is twice
that of a near tie."""

ROUNDING = 1e-5
"""What :func:`weigh_by_spread` adds to squares, in squared values of [0, 1]: rounding to 8 bits,
and some coding noise."""

LEAST_VISIBLE = 1e-3
"""Weight below which a scene cannot be seen."""


@dataclass(frozen=True)
class Brought:
    """What the K ties of a frame of one scene bring to it.

    values: ``(K, 3, H, W)``. inside: where their flows lead into the picture, ``(K, 1, H, W)``.
    layer: the frame as it is, ``(3, H, W)``. distance: in frames, ``(K, 1, 1, 1)``.
    visible: the weight of the scene in the frame, in (0, 1].
    clear: how clearly the other frames show it, ``(K, 1, 1, 1)``, see
        :func:`stages.transition.reconcile.clarity`.
    """

    values: Tensor
    inside: Tensor
    layer: Tensor
    distance: Tensor
    visible: float
    clear: Tensor

    def difference(self) -> Tensor:
        """Return the mean square difference from the layer around a pixel, ``(K, 1, H, W)``."""
        return box(((self.values - self.layer) ** 2).mean(1, keepdim=True), ERROR_RADIUS)

    def count(self) -> Tensor:
        """Return how many ties are inside at a pixel, ``(1, 1, H, W)``."""
        return self.inside.sum(0, keepdim=True).to(self.values)

    def spread(self) -> Tensor:
        """Return the variance of the values inside around a pixel, ``(1, 1, H, W)``.

        It is pooled over the pixels around, and 0 where none of them has two ties inside.
        """
        count = self.count()
        mean = (self.values * self.inside).sum(0, keepdim=True) / count.clamp_min(1)
        squares = ((self.values - mean) ** 2).mean(1, keepdim=True) * self.inside
        freedom = box((count - 1).clamp_min(0), ERROR_RADIUS)
        # Where no pixel around has two ties inside, no square is left either.
        return box(squares.sum(0, keepdim=True), ERROR_RADIUS) / freedom.clamp_min(1e-6)


WeighTies = Callable[[Brought], Tensor]
"""A rule: returns the weights ``(K, 1, H, W)`` of the ties of a frame."""


def brought(mixture: Mixture, side: Side, layer: Tensor, ties: FrameTies, place: int) -> Brought:
    """Return what the ties of a scene bring to mixed frame number ``place``.

    layer: of the scene, over the window, ``(N, 3, H, W)``.
    """
    frame = mixture.first + place
    others = ties.frames[place]
    flow = ties.flow(place, mixture.size)
    return Brought(
        values=warp(layer[others.to(layer.device)], flow),
        inside=lookup(flow).abs().amax(-1)[:, None] <= INSIDE,
        layer=layer[frame],
        distance=(others - frame).abs().view(-1, 1, 1, 1).to(layer.device),
        visible=_visible(mixture, side, frame),
        clear=clarity(mixture, side, frame, others.tolist()),
    )


def _visible(mixture: Mixture, side: Side, frame: int) -> float:
    """Return the weight of a scene in a frame; with a matte 1, because it differs by pixel."""
    if mixture.has_matte:
        return 1.0
    incoming = float(mixture.weight[frame])
    return max(LEAST_VISIBLE, incoming if side == SIDES[1] else 1 - incoming)


def weigh_by_difference(ties: Brought) -> Tensor:
    """Return weights by the error ``e + LEAST_ERROR² (1 + d / DOUBLING_DISTANCE)``.

    Here e is the difference between what the tie brings and the layer, and d its distance.
    """
    assumed = ties.difference() + LEAST_ERROR**2 * (1 + ties.distance / DOUBLING_DISTANCE)
    return TIE_SCALE * ties.clear / assumed * ties.inside


def weigh_by_spread(ties: Brought) -> Tensor:
    """Return weights by the error ``(s / v)^(2/3) e^(1/3)``, and of a lone tie by difference.

    Here s is the spread of all ties of the frame, v the weight of the scene in it, and e the
    difference between what the tie brings and the layer. A least-squares fit of the logarithm of
    the true squared error has the powers 0.7 of s, -0.65 of v and 0.28 of e. A tie that is inside
    alone has no other to contradict it, so that nothing follows from its spread.
    """
    squared = ((ties.spread() + ROUNDING) / ties.visible) ** 2 * (ties.difference() + ROUNDING)
    weights = TIE_SCALE * ties.clear * squared.pow(-1 / 3) * ties.inside
    return torch.where(ties.count() < 2, weigh_by_difference(ties), weights)
