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

import torch
from torch import Tensor

from stages.optim.losses import gradients
from stages.transparency.contrast import smooth

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


def common_colors(light: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Find the colours of one picture ``(1, 3, H, W)``, in several ways.

    Each answer holds the colours in the columns of ``(3, 3)``, and the matrix ``(3, 3)`` that takes
    a pixel to its amounts of them. A picture without edges has no answer.
    """
    found = []
    for spread in BLURS:
        blurred = smooth(light.double(), spread)
        slopes = torch.cat([d[0].flatten(1) for d in gradients(blurred)], 1)
        size, order = slopes.norm(dim=0).sort(descending=True)
        slopes = slopes[:, order[size > 0]]
        for part in STRONGEST if slopes.numel() else ():
            some = slopes[:, : math.ceil(part * slopes.shape[1])]
            found.append(_independent(some[:, :: max(1, some.shape[1] // SAMPLES)]))
    return [(colors.to(light), amounts.to(light)) for colors, amounts in found]


def _independent(slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Return colours and their inverse for gradients ``(3, N)``.

    Minimises ``sum log(amount² + NEGLIGIBLE)`` after whitening, one pair of amounts at a time.
    """
    values, vectors = torch.linalg.eigh(slopes @ slopes.T / slopes.shape[1])
    values = values.clamp_min(LEAST_VARIANCE * float(values[-1]))
    whiten = (vectors / values.sqrt()).T
    white = whiten @ slopes
    draw = torch.Generator().manual_seed(0)
    best = torch.eye(3, dtype=slopes.dtype)
    least = math.inf
    quarter = torch.linspace(-0.25, 0.25, ANGLES, dtype=slopes.dtype)[:, None]
    sampled = white.float()  # to compare angles, which takes most of the time
    for _ in range(STARTS):
        turn = torch.linalg.qr(torch.randn(3, 3, generator=draw, dtype=slopes.dtype))[0]
        for number in range(ROUNDS):
            angles = quarter * math.pi * 0.5 ** max(0, number - ROUNDS // 2)
            for one, other in ((0, 1), (0, 2), (1, 2)):
                pair = turn[[one, other]].float() @ sampled
                first, second = _rotated(pair[0], pair[1], angles.float())
                # One logarithm of a product is cheaper than two logarithms.
                product = first.square_().add_(NEGLIGIBLE) * second.square_().add_(NEGLIGIBLE)
                angle = angles[int(product.log_().mean(1).argmin()), 0]
                turn[one], turn[other] = _rotated(turn[one], turn[other], angle)
        cost = float(((turn @ white).square() + NEGLIGIBLE).log().mean())
        if cost < least:
            best = turn
            least = cost
    amounts = best @ whiten
    colors = torch.linalg.inv(amounts)
    # Light adds up, so most of a colour's channels are positive.
    sign = torch.where(colors.sum(0) < 0, -1.0, 1.0)
    return colors * sign, amounts * sign[:, None]


def _rotated(one: Tensor, other: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return two coordinates in axes that are turned by ``angle``, in radians; all broadcast."""
    return angle.cos() * one + angle.sin() * other, angle.cos() * other - angle.sin() * one


def share_of_colors(
    light: Tensor, guesses: Sequence[Tensor], colors: Sequence[tuple[Tensor, Tensor]]
) -> list[Tensor]:
    """Find how much of each colour belongs to each guessed layer.

    light: the picture, ``(1, 3, H, W)``. guesses: rough guesses of one layer each, same shape.
    colors: answers of :func:`common_colors`.

    Returns a matrix ``(3, 3)`` per guess that takes a pixel to its part in that layer. A layer
    takes a part from 0 to 1 of each amount, such that their sum follows the guess when both are
    blurred. What it takes of all amounts alike is then subtracted, as that points at no colour. The
    matrices are means over ``colors``, and zero without any.
    """
    spread = BROAD * (light.shape[-2] + light.shape[-1]) / 2
    seen = smooth(light.double(), spread)[0].flatten(1)
    wanted = torch.stack([smooth(guess.double(), spread).flatten() for guess in guesses], 1)
    wanted = wanted - wanted.mean(0)
    found = torch.zeros(len(guesses), 3, 3, dtype=seen.dtype)
    for given_color, given_amounts in colors:
        color = given_color.to(seen)
        amounts = given_amounts.to(seen)
        layers = torch.stack([color[:, k, None] * (amounts[k] @ seen) for k in range(3)])
        layers = layers.flatten(1)
        layers = layers - layers.mean(1, keepdim=True)
        gram, target = layers @ layers.T, layers @ wanted
        parts = torch.zeros(3, len(guesses), dtype=seen.dtype)
        for _ in range(FIT_STEPS):
            for k in range(3):
                step = (target[k] - gram[k] @ parts) / gram[k, k].clamp_min(1e-12)
                parts[k] = (parts[k] + step).clamp(0, 1)
        own = parts - parts.amin(0)
        found += torch.stack([(color * part) @ amounts for part in own.T]) / len(colors)
    return list(found.to(light))


def through(matrix: Tensor, light: Tensor) -> Tensor:
    """Multiply every pixel of ``(T, 3, H, W)`` by a matrix ``(3, 3)``."""
    return (matrix @ light.flatten(2)).view_as(light)
