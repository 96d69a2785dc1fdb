"""How far a transition with moving scenes has come, told by the edge between its scenes.

A scene's place in a frame is that of the transition, moved on by the scene's own camera. A camera
that pans along a push looks like another progress. But the edge between the scenes lies where the
transition has put it, whatever the cameras do. So the two are measured in turn: where the scenes'
pictures are in the frame, and where the edge between these pictures is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.find.composed import sample
from stages.find.track import Params
from stages.kinds.base import Placer, pixel_places
from stages.mixing.blend import blend
from stages.mixing.forward_model import Pair
from stages.transition.hidden import moved_places

REACH = 0.1
"""How far the progress may be off because of a camera's motion."""

STEPS = 81
"""Values of the progress that are tried within this reach."""

TOLERANCE = 0.01
"""How much worse than the best another edge may explain a frame, in parts of the given one's error.
"""


def progress_by_edge(
    placer: Placer,
    progress: float,
    frame: Tensor,
    clean: Pair,
    motions: tuple[Params, Params],
    counted: Tensor,
) -> float:
    """Return the progress near a given one at which the edge between the scenes explains a frame.

    frame, clean: ``(3, H, W)``; the clean frames of both scenes. motions: of the scenes since then,
    as they were measured with the given progress. counted: the pixels that count, ``(1, H, W)``.
    """
    height, width = frame.shape[-2:]
    aspect = height / width
    given = placer(progress, aspect)
    if given.incoming_weight is not None:
        return progress
    places = pixel_places(height, width, aspect)
    # A fourth channel says which pixels count. It moves with the scenes, as their overlay does.
    outgoing, incoming = (
        sample(torch.cat([scene, counted]), *moved_places(*side(*places), motion))
        for scene, side, motion in zip(
            clean, (given.outgoing, given.incoming), motions, strict=True
        )
    )
    trusted = counted * outgoing[3:] * incoming[3:]

    def error(value: float) -> float:
        weight = placer(value, aspect).weight(*places, aspect, 1 / width)[None]
        return float((trusted * (blend(outgoing, incoming, weight)[:3] - frame) ** 2).mean())

    tried: list[float] = (progress + torch.linspace(-REACH, REACH, STEPS)).clamp(0, 1).tolist()
    errors = [error(value) for value in tried]
    # Of edges that explain the frame nearly as well, the nearest one is taken.
    enough = min(errors) + TOLERANCE * error(progress)
    near = [value for value, wrong in zip(tried, errors, strict=True) if wrong <= enough]
    return min(near, key=lambda value: abs(value - progress))
