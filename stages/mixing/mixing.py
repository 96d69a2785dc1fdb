"""How two layers mix, and how what a mixture leaves unexplained is shared out between them.

Layers and frames are ``(T, 3, H, W)`` or ``(3, H, W)`` RGB in [0, 1] as encoded (gamma); a weight is that of the incoming layer in
[0, 1] and broadcasts: ``(T, 1, 1, 1)`` for a dissolve, ``(T, 1, H, W)`` where it varies over the picture (a matte).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import shrunk
from stages.shots import Space

GAMMA = 2.2
"""Exponent between encoded values and light, as editors' "mix in linear light" uses it."""

_DARK = 0.02  # below this the slope of the power law is taken at this value: it vanishes at black and would give no layer anything


@dataclass(frozen=True)
class Mixture:
    """One transition's window: the mixed frames with clean frames at both sides.

    frames: ``(N, 3, H, W)`` RGB in [0, 1]. weight: ``(N, 1, 1, 1)`` or ``(N, 1, H, W)``, 0 before the transition and 1 after it.
    first, last: indices of the mixed frames in the window, inclusive.
    locked: the side that is a plain colour (a fade), or ``None``; ``color`` is that colour, ``(3,)``.
    """

    frames: Tensor
    weight: Tensor
    first: int
    last: int
    space: Space = "gamma"
    locked: Literal["outgoing", "incoming"] | None = None
    color: Tensor | None = None

    def __post_init__(self) -> None:
        count, _, height, width = self.frames.shape
        if tuple(self.weight.shape) not in ((count, 1, 1, 1), (count, 1, height, width)):
            raise ValueError(
                f"weight {tuple(self.weight.shape)} does not fit frames {tuple(self.frames.shape)}"
            )
        if not 0 <= self.first <= self.last < count:
            raise ValueError(
                f"mixed frames {self.first} to {self.last} lie outside a window of {count}"
            )

    @property
    def mixed(self) -> slice:
        """The mixed frames, to index the window with."""
        return slice(self.first, self.last + 1)

    @property
    def has_matte(self) -> bool:
        """Whether the weight varies over the picture."""
        return self.weight.shape[-2:] != (1, 1)


def mix(outgoing: Tensor, incoming: Tensor, weight: Tensor, space: Space) -> Tensor:
    """The mixture ``(1 - w) A + w B``, in encoded values or, with ``space="linear"``, in light: ``((1 - w) A^2.2 + w B^2.2)^(1/2.2)``."""
    if space == "gamma":
        return torch.lerp(outgoing, incoming, weight)
    light = (1 - weight) * outgoing.clamp_min(1e-3) ** GAMMA + weight * incoming.clamp_min(
        1e-3
    ) ** GAMMA
    return light.clamp_min(1e-6) ** (1 / GAMMA)


def psnr_of(error: float) -> float:
    """PSNR in dB of a mean squared error of values in [0, 1]; at most 99."""
    return min(99.0, -10 * math.log10(max(error, 1e-10)))


def slopes(
    outgoing: Tensor, incoming: Tensor, mixed: Tensor, weight: Tensor, space: Space
) -> tuple[Tensor, Tensor]:
    """``(dI/dA, dI/dB)``: in encoded values ``(1 - w, w)``, in light ``(1 - w) (A / I)^1.2`` and ``w (B / I)^1.2``."""
    if space == "gamma":
        return 1 - weight, weight
    base = mixed.clamp_min(_DARK)
    power = GAMMA - 1
    return (1 - weight) * (outgoing.clamp_min(_DARK) / base) ** power, weight * (
        incoming.clamp_min(_DARK) / base
    ) ** power


def share(
    outgoing: Tensor,
    incoming: Tensor,
    frame: Tensor,
    weight: Tensor,
    space: Space,
    trust: tuple[Tensor | float, Tensor | float],
    data: float,
) -> tuple[Tensor, Tensor]:
    """The layers nearest to given ones that mix to ``frame``: per value the minimum over a, b of

    ``data (α a + β b - …)² + trust_A (a - A)² + trust_B (b - B)²`` with the slopes α, β, that is ``a = A + α g / trust_A`` and
    ``b = B + β g / trust_B`` where ``g = data r / (1 + data (α² / trust_A + β² / trust_B))`` and r is what (A, B) leave unexplained.
    Exact for mixing in encoded values; one Gauss-Newton step for mixing in light.
    """
    mixed = mix(outgoing, incoming, weight, space)
    alpha, beta = slopes(outgoing, incoming, mixed, weight, space)
    gain = data * (frame - mixed) / (1 + data * (alpha**2 / trust[0] + beta**2 / trust[1]))
    return outgoing + alpha * gain / trust[0], incoming + beta * gain / trust[1]


FAINT = 0.08  # what the input's own error is to the error of a layer before it is made to mix: about 1 of 255 to 13


def project(
    mixture: Mixture,
    outgoing: Tensor,
    incoming: Tensor,
    *,
    trust: tuple[Tensor | float, Tensor | float] = (1.0, 1.0),
    steps: int = 2,
) -> tuple[Tensor, Tensor]:
    """Layers of the mixed frames ``(n, 3, H, W)`` made to mix back to the input, each moved the less the more it is trusted.

    trust: of both sides, numbers around 1 or ``(n, 1, H, W)``; alike unless told. A known colour is trusted wholly, whatever is told.

    Against a colour the whole residual goes to the one scene, divided by its weight: in its faintest frames that is the input's rounding
    and compression many times over. There the scene takes only what stands out from them (Wiener's gain with :data:`FAINT`).
    """
    if mixture.locked is not None:
        trust = (1e9, 1.0) if mixture.locked == "outgoing" else (1.0, 1e9)
    data = 1e5 if mixture.locked is None else 1 / FAINT**2
    frame, weight = mixture.frames[mixture.mixed], mixture.weight[mixture.mixed]
    for _ in range(1 if mixture.space == "gamma" else steps):
        outgoing, incoming = share(outgoing, incoming, frame, weight, mixture.space, trust, data)
    return outgoing, incoming


def shrink(mixture: Mixture, pixels: int) -> Mixture:
    """The same mixture with pictures of at most ``pixels``, by area averages; itself where it is no larger."""
    frames = shrunk(mixture.frames, pixels)
    if frames is mixture.frames:
        return mixture
    size = (frames.shape[-2], frames.shape[-1])
    weight = (
        functional.interpolate(mixture.weight, size=size, mode="area")
        if mixture.has_matte
        else mixture.weight
    )
    return replace(mixture, frames=frames, weight=weight)
