"""Compose the frames of a transition in which scenes move as a whole, for all progresses at once.

Where each pixel comes from depends on the effect and the size alone. So small layouts are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stages.kinds.base import Placer, pixel_places
from stages.mixing.blend import blend
from stages.motion.flow import sample

KEPT_VALUES = 1 << 18
"""Values of a layout up to which it is kept, 1 MiB; at most 32 are kept."""


@dataclass(frozen=True)
class Layout:
    """Where the pixels of ``P`` frames come from.

    outgoing, incoming: places in each scene, ``(P, h, w, 2)`` in the convention of ``grid_sample``.
    weight: of the incoming scene, ``(P, 1, h, w)`` in [0, 1].
    """

    outgoing: Tensor
    incoming: Tensor
    weight: Tensor


def composed_frames(scenes: tuple[Tensor, Tensor], placer: Placer, steps: int) -> Tensor:
    """Return the frames ``(steps, C, H, W)`` of one effect, evenly from progress 0 to 1.

    scenes: the outgoing and the incoming one, ``(C, H, W)`` each. Borders are repeated outwards.
    """
    height, width = scenes[0].shape[-2:]
    is_small = 5 * steps * height * width <= KEPT_VALUES
    layout = (_kept_layout if is_small else _layout)(placer, height, width, steps)
    outgoing = _sample(scenes[0], layout.outgoing)
    incoming = _sample(scenes[1], layout.incoming)
    return blend(outgoing, incoming, layout.weight)


def _layout(placer: Placer, height: int, width: int, steps: int) -> Layout:
    """Return the layout of an effect; arguments as in :func:`composed_frames`."""
    aspect = height / width
    x, y = pixel_places(height, width, aspect)
    placements = [placer(float(value), aspect) for value in np.linspace(0, 1, steps)]
    sides = (
        [grid_of(*placed(x, y), aspect) for placed in of_one_scene]
        for of_one_scene in (
            [placement.outgoing for placement in placements],
            [placement.incoming for placement in placements],
        )
    )
    outgoing, incoming = (torch.stack(grids) for grids in sides)
    weights = [placement.weight(x, y, aspect, 1 / width) for placement in placements]
    return Layout(outgoing, incoming, torch.stack(weights)[:, None])


_kept_layout = lru_cache(maxsize=32)(_layout)


def grid_of(x: Tensor, y: Tensor, aspect: float) -> Tensor:
    """Return places ``(h, w)`` in picture widths as ``grid_sample`` takes them, ``(h, w, 2)``."""
    return torch.stack([2 * x, 2 * y / aspect], -1)


def _sample(scene: Tensor, places: Tensor) -> Tensor:
    """Return a scene ``(C, H, W)`` at ``places`` ``(P, h, w, 2)``, bilinear: ``(P, C, h, w)``."""
    return sample(scene.expand(len(places), -1, -1, -1), places)
