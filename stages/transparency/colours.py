"""The colours that one picture is a sum of, and which of them belong to light that is laid over it.

A picture's three channels are a sum of three amounts, each of one colour, in many ways. Two layers seldom share their edges; so the way in
which the amounts have the fewest edges in common mostly keeps the layers in different amounts (independent component analysis of the
gradients: Comon, Signal Processing 1994; heavy-tailed gradients: Levin and Weiss, PAMI 2007). It leaves open which amounts are the
reflection's. A rough guess of the reflection, smooth and sometimes wrong, is enough to tell that, and gets the picture's own detail in
return. Light is ``(1, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stages.optim.losses import gradients
from stages.transparency.contrast import smooth

STRONG = (0.1, 0.3, 0.6)  # parts of the gradients, the strongest ones, that are looked at, each in turn: what all agree on is sure
BLURS = (0.7, 1.5)  # spreads, in pixels, of the blur before
SAMPLES = 6000  # gradients that the colours are looked for with
ROUND = 0.03  # square of the value, in standard deviations, below which an amount's gradient is none
STARTS = 4  # rotations that are begun with
SWEEPS = 8  # over the pairs of amounts, each in a quarter turn around the last
ANGLES = 33  # tried in a quarter turn
FAINT = 1e-4  # part of the strongest gradients' variance that every direction in colour has at least
BROAD = 1 / 16  # spread of the blur at which guess and amounts are compared, in parts of the picture's side
STEPS = 100  # of the fit of three parts


def common_colours(light: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Several answers: the colours, in the columns of ``(3, 3)``, and the matrix ``(3, 3)`` that takes a pixel to its amounts of them.

    None for a picture without edges.
    """
    found = []
    for spread in BLURS:
        blurred = smooth(light.double(), spread)
        slopes = torch.cat([d[0].flatten(1) for d in gradients(blurred)], 1)
        size, order = slopes.norm(dim=0).sort(descending=True)
        slopes = slopes[:, order[size > 0]]
        for part in STRONG if slopes.numel() else ():
            some = slopes[:, : math.ceil(part * slopes.shape[1])]
            found.append(_independent(some[:, :: max(1, some.shape[1] // SAMPLES)]))
    return [(colours.to(light), amounts.to(light)) for colours, amounts in found]


def _independent(slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Colours and their inverse for gradients ``(3, N)``: the least of ``sum log(amount² + ROUND)`` after whitening, pair by pair."""
    values, vectors = torch.linalg.eigh(slopes @ slopes.T / slopes.shape[1])
    values = values.clamp_min(FAINT * float(values[-1]))
    whiten = (vectors / values.sqrt()).T
    white = whiten @ slopes
    draw = torch.Generator().manual_seed(0)
    best, least = torch.eye(3, dtype=slopes.dtype), math.inf
    for _ in range(STARTS):
        turn = torch.linalg.qr(torch.randn(3, 3, generator=draw, dtype=slopes.dtype))[0]
        for sweep in range(SWEEPS):
            angles = torch.linspace(-0.25, 0.25, ANGLES, dtype=slopes.dtype)[:, None] * math.pi * 0.5 ** max(0, sweep - SWEEPS // 2)
            for one, other in ((0, 1), (0, 2), (1, 2)):
                tried = _rotated(turn[one] @ white, turn[other] @ white, angles)
                first, second = (amount.square_().add_(ROUND).log_().mean(1) for amount in tried)
                turn[one], turn[other] = _rotated(turn[one], turn[other], angles[int((first + second).argmin()), 0])
        cost_now = float(((turn @ white).square() + ROUND).log().mean())
        if cost_now < least:
            best, least = turn, cost_now
    amounts = best @ whiten
    colours = torch.linalg.inv(amounts)
    sign = torch.where(colours.sum(0) < 0, -1.0, 1.0)  # an amount of light is seldom below nothing
    return colours * sign, amounts * sign[:, None]


def _rotated(one: Tensor, other: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Two coordinates in axes that are turned by ``angle``, in radians."""
    return angle.cos() * one + angle.sin() * other, angle.cos() * other - angle.sin() * one


def share_of_colours(light: Tensor, guesses: Sequence[Tensor], colours: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """For each of ``guesses`` ``(1, 3, H, W)``, each a rough one of a layer, the matrix ``(3, 3)`` that takes a pixel to its part in it.

    Of each amount 0 to 1 is taken, so that the sum goes with the guess where both are blurred; then less what is taken of all alike, as
    that says of no colour that it is the layer's. The mean over ``colours``; nothing where there are none.
    """
    spread = BROAD * (light.shape[-2] + light.shape[-1]) / 2
    seen = smooth(light.double(), spread)[0].flatten(1)
    wanted = torch.stack([smooth(guess.double(), spread).flatten() for guess in guesses], 1)
    wanted = wanted - wanted.mean(0)
    found = torch.zeros(len(guesses), 3, 3, dtype=seen.dtype)
    for colour, amounts in colours:
        colour, amounts = colour.to(seen), amounts.to(seen)
        layers = torch.stack([colour[:, k, None] * (amounts[k] @ seen) for k in range(3)]).flatten(1)
        layers = layers - layers.mean(1, keepdim=True)
        gram, target = layers @ layers.T, layers @ wanted
        parts = torch.zeros(3, len(guesses), dtype=seen.dtype)
        for _ in range(STEPS):
            for k in range(3):
                parts[k] = (parts[k] + (target[k] - gram[k] @ parts) / gram[k, k].clamp_min(1e-12)).clamp(0, 1)
        own = parts - parts.amin(0)
        found += torch.stack([(colour * part) @ amounts for part in own.T]) / len(colours)
    return list(found.to(light))


def through(matrix: Tensor, light: Tensor) -> Tensor:
    """Every pixel of ``(T, 3, H, W)`` times ``(3, 3)``."""
    return (matrix @ light.flatten(2)).view_as(light)
