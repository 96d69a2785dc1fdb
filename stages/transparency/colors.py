"""Find the colours that one picture is a sum of, and which of them belong to a reflection.

The three channels of a picture are a sum of three amounts, each of one colour, in many ways. Two
layers seldom share their edges. So the colours whose amounts have the fewest edges in common mostly
keep the layers in different amounts (independent component analysis of the gradients: Comon, Signal
Processing 1994; heavy-tailed gradients: Levin and Weiss, PAMI 2007).

This does not tell which amounts are the reflection's. A rough guess of the reflection, smooth and
sometimes wrong, is enough to tell that, and the answer has all detail of the picture. Light is
``(1, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stages.optim.losses import gradients
from stages.transparency.filters import gaussian_blur

STRONGEST = (0.1, 0.3, 0.6)
"""Parts of the gradients, the strongest ones, that give one answer each; their mean is used."""
BLURS = (0.7, 1.5)
"""Standard deviations, in pixels, of the blurs that give one answer each."""
SAMPLES = 6000
"""Number of gradients in the fit."""
NEGLIGIBLE = 0.03
"""Square, in standard deviations, below which the gradient of an amount counts as none."""
STARTS = 4
"""Number of random rotations from which the fit starts."""
ROUNDS = 8
"""Rounds over the pairs of amounts; each tries rotations around the last one."""
ANGLES = 33
"""Number of rotations tried within a quarter turn."""
LEAST_VARIANCE = 1e-4
"""Least variance of any direction in colour, as part of the largest."""
BROAD = 1 / 16
"""Standard deviation of the blur, in parts of the picture's side, at which a guess is compared."""
FIT_STEPS = 100
"""Steps of the fit of three parts."""


class ColorBasis(NamedTuple):
    """Three colours that a picture is a sum of.

    colors: in the columns of ``(3, 3)``. amounts: the matrix ``(3, 3)`` that takes a pixel to its
    amounts of them, which is the inverse.
    """

    colors: Tensor
    amounts: Tensor


def common_colors(light: Tensor) -> list[ColorBasis]:
    """Find the colours of one picture ``(1, 3, H, W)``, in several ways.

    A picture without edges has none.
    """
    found = []
    for spread in BLURS:
        blurred = gaussian_blur(light.double(), spread)
        slopes = torch.cat([d[0].flatten(1) for d in gradients(blurred)], 1)
        size, order = slopes.norm(dim=0).sort(descending=True)
        slopes = slopes[:, order[size > 0]]
        for part in STRONGEST if slopes.numel() else ():
            strongest = slopes[:, : math.ceil(part * slopes.shape[1])]
            step = max(1, strongest.shape[1] // SAMPLES)
            found.append(_independent_colors(strongest[:, ::step]))
    return [ColorBasis(basis.colors.to(light), basis.amounts.to(light)) for basis in found]


def layer_matrices(
    light: Tensor, guesses: Sequence[Tensor], bases: Sequence[ColorBasis]
) -> list[Tensor]:
    """Find how much of each colour belongs to each guessed layer.

    light: the picture, ``(1, 3, H, W)``. guesses: rough guesses of one layer each, same shape.
    bases: answers of :func:`common_colors`.

    Returns a matrix ``(3, 3)`` per guess that takes a pixel to its part in that layer. A layer
    takes a part from 0 to 1 of each amount, such that their sum follows the guess when both are
    blurred. What it takes of all amounts alike is then subtracted, as that points at no colour. The
    matrices are means over ``bases``, and zero without any.
    """
    spread = BROAD * (light.shape[-2] + light.shape[-1]) / 2
    seen = gaussian_blur(light.double(), spread)[0].flatten(1)
    wanted = torch.stack([gaussian_blur(guess.double(), spread).flatten() for guess in guesses], 1)
    wanted = wanted - wanted.mean(0)
    matrices = torch.zeros(len(guesses), 3, 3, dtype=seen.dtype)
    for basis in bases:
        colors, amounts = basis.colors.to(seen), basis.amounts.to(seen)
        layers = torch.stack([colors[:, k, None] * (amounts[k] @ seen) for k in range(3)])
        parts = _fit_parts(layers.flatten(1), wanted)
        parts = parts - parts.amin(0)
        matrices += torch.stack([(colors * part) @ amounts for part in parts.T]) / len(bases)
    return list(matrices.to(light))


def apply_color_matrix(matrix: Tensor, light: Tensor) -> Tensor:
    """Multiply every pixel of ``(T, 3, H, W)`` by a matrix ``(3, 3)``."""
    return (matrix @ light.flatten(2)).view_as(light)


def _fit_parts(layers: Tensor, wanted: Tensor) -> Tensor:
    """Return the part, 0 to 1, of each of three layers in each of n wanted ones, ``(3, n)``.

    The parts minimise the squared error, by coordinate descent.

    layers: ``(3, N)``. wanted: ``(N, n)``, of mean zero.
    """
    layers = layers - layers.mean(1, keepdim=True)
    gram, target = layers @ layers.T, layers @ wanted
    parts = torch.zeros(3, wanted.shape[1], dtype=layers.dtype)
    for _ in range(FIT_STEPS):
        for k in range(3):
            step = (target[k] - gram[k] @ parts) / gram[k, k].clamp_min(1e-12)
            parts[k] = (parts[k] + step).clamp(0, 1)
    return parts


def _independent_colors(slopes: Tensor) -> ColorBasis:
    """Return the colours whose amounts share the fewest gradients.

    After whitening, they minimise ``sum log(amount² + NEGLIGIBLE)``. slopes: gradients ``(3, N)``.
    """
    values, vectors = torch.linalg.eigh(slopes @ slopes.T / slopes.shape[1])
    values = values.clamp_min(LEAST_VARIANCE * float(values[-1]))
    whiten = (vectors / values.sqrt()).T
    amounts = _sparsest_rotation(whiten @ slopes) @ whiten
    colors = torch.linalg.inv(amounts)
    # Light adds up, so most of a colour's channels are positive.
    sign = torch.where(colors.sum(0) < 0, -1.0, 1.0)
    return ColorBasis(colors * sign, amounts * sign[:, None])


def _sparsest_rotation(white: Tensor) -> Tensor:
    """Return the rotation ``(3, 3)`` of white gradients ``(3, N)`` with the fewest non-zero values.

    From several random starts, one pair of axes is turned at a time.
    """
    draw = torch.Generator().manual_seed(0)
    best = torch.eye(3, dtype=white.dtype)
    least_cost = math.inf
    quarter = torch.linspace(-0.25, 0.25, ANGLES, dtype=white.dtype)[:, None]
    sampled = white.float()  # to compare angles, which takes most of the time
    for _ in range(STARTS):
        rotation = torch.linalg.qr(torch.randn(3, 3, generator=draw, dtype=white.dtype))[0]
        for number in range(ROUNDS):
            angles = quarter * math.pi * 0.5 ** max(0, number - ROUNDS // 2)
            for one, other in ((0, 1), (0, 2), (1, 2)):
                pair = rotation[[one, other]].float() @ sampled
                first, second = _rotated(pair[0], pair[1], angles.float())
                # One logarithm of a product is cheaper than two logarithms.
                product = first.square_().add_(NEGLIGIBLE) * second.square_().add_(NEGLIGIBLE)
                angle = angles[int(product.log_().mean(1).argmin()), 0]
                turned = _rotated(rotation[one], rotation[other], angle)
                rotation[one], rotation[other] = turned
        cost = float(((rotation @ white).square() + NEGLIGIBLE).log().mean())
        if cost < least_cost:
            best = rotation
            least_cost = cost
    return best


def _rotated(one: Tensor, other: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return two coordinates in axes that are turned by ``angle``, in radians; all broadcast."""
    return angle.cos() * one + angle.sin() * other, angle.cos() * other - angle.sin() * one
