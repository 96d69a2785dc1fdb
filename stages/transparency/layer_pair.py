"""Two layers of light that add up to the input, and what keeps them adding up.

Light is ``(T, 3, H, W)`` in [0, 1] in the space in which the layers add up.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_DETAIL_PART = 0.5
"""Least part of the missing light that the less sharp layer gets, relative to 1 for the other."""
EVEN_REFLECTION = 0.004
"""Part of the light that goes to the reflection where nothing tells what is reflected.

It is the same everywhere. It is so little that the transmission equals the input, to half a step of
8 bits: 0.4 % of light is 0.18 % of an encoded value.
"""

LayerPair = tuple[Tensor, Tensor]
"""Transmission and reflection, ``(T, 3, H, W)`` each."""


def unchanged_layers(light: Tensor, space: str) -> LayerPair:
    """Return the input ``light`` as the transmission, and a reflection too faint for 8 bits."""
    reflection = EVEN_REFLECTION * light if space == "linear" else torch.zeros_like(light)
    return light - reflection, reflection


def with_scaled_reflection(layers: LayerPair, light: Tensor, times: float) -> LayerPair:
    """Return layers with ``times`` the reflection, but no more of it than ``light``.

    light: the layers' sum, of their shape ``(T, 3, H, W)``.
    """
    if times == 1:
        return layers
    reflection = torch.minimum(times * layers[1], light)
    return light - reflection, reflection


def adding_up(light: Tensor, layers: LayerPair, detail: float = LEAST_DETAIL_PART) -> LayerPair:
    """Return layers that add up to ``light`` and lie in [0, I].

    detail: the reflection's part of what is missing, relative to 1 for the transmission's.
    """
    missing = light - layers[0] - layers[1]
    reflection = (layers[1] + missing * detail / (1 + detail)).clamp_min(0)
    reflection = torch.minimum(reflection, light)
    return light - reflection, reflection


def encoded(light: Tensor) -> Tensor:
    """Return the square root of light, of any shape: roughly as an eye sees it.

    So corners in the dark count too.
    """
    return light.clamp_min(0).sqrt()
