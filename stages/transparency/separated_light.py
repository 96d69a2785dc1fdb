"""What the whole input shows, and what a way of separating a window returns.

"Light" is ``(T, 3, H, W)`` in [0, 1] in the space in which the layers add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.context import Note, notes_where
from stages.mixing.layer_sum import from_space, to_space
from stages.transparency.layer_pair import LayerPair

LEAST_REFLECTION = 0.04
"""Part of the light below which a reflection is not to be believed. Measured: 0.05 to 0.39 in
pictures and clips behind glass, 0.016 to 0.38 in those without. So a larger part proves nothing."""
HARDLY_REFLECTED = (
    "hardly any reflection was found in {frames}: "
    "{percent} of the light is in the reflection layer; "
    "keep the input, or give several pictures or a moving clip of the same view, which tell more"
)


@dataclass(frozen=True)
class TransparencySurvey:
    """What holds for the whole input.

    space: ``gamma`` or ``linear``. mixtures: whether the pictures are mixtures of the same two
    layers. seen, transmission: some frames and their transmission, small, ``(S, 3, h, w)``; every
    window of a clip orders its layers like these.
    """

    space: str
    mixtures: bool
    seen: Tensor
    transmission: Tensor


@dataclass(frozen=True)
class SeparatedLight:
    """The two layers that one way of separating a window found.

    step: the name of the way in the report's seconds. layers: transmission and reflection, as
    light. figures: for the report. notes: for the user. shortened: notes on a fit that a time
    budget ended early.
    """

    step: str
    layers: LayerPair
    figures: dict[str, float]
    notes: tuple[Note, ...] = ()
    shortened: tuple[Note, ...] = ()


def faint_reflection_notes(frames: Tensor, reflection: Tensor, space: str) -> tuple[Note, ...]:
    """Return a note about the frames whose reflection holds hardly any light.

    frames: ``(T, 3, H, W)``, encoded. reflection: the same shape, as light in ``space``.
    """
    part = torch.stack(
        [
            to_space(layer, "linear").mean() / to_space(frame, "linear").mean().clamp_min(1e-6)
            for frame, layer in zip(frames, from_space(reflection, space), strict=True)
        ]
    )
    return notes_where(HARDLY_REFLECTED, part < LEAST_REFLECTION, part)
