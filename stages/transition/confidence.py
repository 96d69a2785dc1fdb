"""How good each scene of a dissolve is expected to be, frame by frame, in dB.

Wrong layers mix back to the input as well as right ones do, so their mixture says nothing. What
says most is the weight: an error of one scene is the error of the other one times the ratio of the
weights, so the fainter scene has the larger error. The rest comes from how far the layers had to be
moved from the clean frames that motion carried. Further features, such as what these leave
unexplained and how much texture there is, were measured to add nothing.

The numbers below were fitted by least squares to made dissolves of real footage, whose true layers
are known. :func:`features` says what they multiply.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture
from stages.mixing.psnr import LEAST_ERROR, MOST_DECIBELS

COEFFICIENTS = (1.251, -0.732, 1.141, 0.508, 0.452)
"""Of each feature, in the order of :func:`features`: least squares over 408 frames of twelve made
dissolves, each dissolve with the same weight."""

HIDDEN = (5.6, 1.0)
"""Offset in dB and slope of the line from the variance of hidden pixels, in dB, to the expected
PSNR."""

LEAST_WEIGHT = 1e-3
"""Weight below which a scene cannot be seen."""

USABLE = 30.0
"""PSNR in dB from which a frame is called usable."""


def features(mixture: Mixture, carried: Pair, layers: Pair) -> Pair:
    """Return what the expected PSNR of each scene is computed from, ``(n, 5)`` for n mixed frames.

    These are 1 and, each as ``-10 log10`` of a weight or of a mean square:

    - the scene's own weight, and the other one's,
    - how far the scene's layer was moved from the carried one, and the other layer.

    carried: the clean frames that motion carried. layers: what became of them. Both are
    ``(n, 3, H, W)``.
    """
    weight = mixture.weight[mixture.mixed]
    weights = [
        -10 * part.mean((1, 2, 3)).clamp_min(LEAST_WEIGHT).log10() for part in (1 - weight, weight)
    ]
    moved = [_decibels(layer - start) for layer, start in zip(layers, carried, strict=True)]
    one = torch.ones_like(weights[0])
    outgoing = torch.stack([one, weights[0], weights[1], moved[0], moved[1]], 1)
    incoming = torch.stack([one, weights[1], weights[0], moved[1], moved[0]], 1)
    return outgoing, incoming


def expected_psnr(
    mixture: Mixture, carried: Pair, layers: Pair
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the PSNR that each scene is expected to have in each mixed frame, in dB.

    mixture: of a dissolve between two scenes; its weight is one number a frame.
    carried, layers: as in :func:`features`.
    """
    coefficients = torch.tensor(COEFFICIENTS)
    outgoing, incoming = (
        tuple((of_side.cpu() @ coefficients).clamp(0, MOST_DECIBELS).tolist())
        for of_side in features(mixture, carried, layers)
    )
    return outgoing, incoming


def expected_psnr_of_hidden(
    mixture: Mixture, variance: Pair
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the PSNR that each scene of a wipe is expected to have in each mixed frame, in dB.

    What the matte shows of a scene is the scene itself, so the error is that of what it hides.

    mixture: its weight is a matte. variance: that of the errors that are expected of each scene
    where it is hidden, ``(n, 1, H, W)``.
    """
    shown = mixture.weight[mixture.mixed]
    offset, slope = HIDDEN
    psnr_of_sides = []
    for hidden, expected in zip((shown, 1 - shown), variance, strict=True):
        error = (hidden * expected.to(hidden)).mean((1, 2, 3)).clamp_min(LEAST_ERROR)
        psnr = offset + slope * -10 * error.log10()
        psnr_of_sides.append(tuple(psnr.clamp(0, MOST_DECIBELS).tolist()))
    return psnr_of_sides[0], psnr_of_sides[1]


def _decibels(values: Tensor) -> Tensor:
    """Return ``-10 log10`` of the mean square of each frame's values: ``(n,)``."""
    return -10 * values.square().mean((1, 2, 3)).clamp_min(LEAST_ERROR).log10()
