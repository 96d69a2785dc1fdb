"""Compose the frames of a transition in which scenes move as a whole, for all progresses at once.

Where each pixel comes from depends on the effect and the size alone. So small layouts are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stages.kinds.base import AffineMap, Placer, pixel_places
from stages.mixing.blend import blend
from stages.motion.flow import sample

KEPT_VALUES = 1 << 18
"""Values of a layout up to which it is kept, 1 MiB; at most 32 are kept."""

MOST_PIXELS = 1 << 19
"""Pixels that are composed at once where each frame has composed frames of its own."""


@dataclass(frozen=True)
class Layout:
    """Where the pixels of ``P`` frames come from.

    outgoing, incoming: places in each scene, ``(P, h, w, 2)`` in the convention of ``grid_sample``;
        ``(1, h, w, 2)`` where the effect leaves the scene in its place.
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
    layout = layout_of(placer, height, width, steps)
    outgoing = _sample(scenes[0], layout.outgoing)
    incoming = _sample(scenes[1], layout.incoming)
    return blend(outgoing, incoming, layout.weight)


def errors_on_the_way(
    frames: Tensor,
    scenes: tuple[Tensor, Tensor],
    layout: Layout,
    moved: tuple[Tensor, Tensor],
    chosen: Tensor | None = None,
) -> Tensor:
    """Return the mean squared errors ``(T, K)`` of an effect whose scenes move by themselves, too.

    frames: that it is compared with, ``(T, C, H, W)``. scenes: as of :func:`composed_frames`.
    moved: how far each scene has moved in each frame, ``(T, 2)``, in the units of ``grid_sample``.
    chosen: places in the layout that are tried for each frame, ``(T, K)``; all unless given.
    """
    count = layout.weight.shape[0] if chosen is None else chosen.shape[1]
    at_once = max(1, MOST_PIXELS // (count * frames.shape[-2] * frames.shape[-1]))
    errors = []
    for first in range(0, len(frames), at_once):
        part = slice(first, first + at_once)
        rows = None if chosen is None else chosen[part]
        outgoing, incoming = (
            _moved(scene, places, shift[part], rows)
            for scene, places, shift in zip(
                scenes, (layout.outgoing, layout.incoming), moved, strict=True
            )
        )
        weight = layout.weight[None] if rows is None else layout.weight[rows]
        wrong = blend(outgoing, incoming, weight).sub_(frames[part, None])
        errors.append(wrong.square_().mean((2, 3, 4)))
    return torch.cat(errors)


def _moved(scene: Tensor, places: Tensor, shift: Tensor, rows: Tensor | None) -> Tensor:
    """Return a scene in frames of which each has shifts of its own, ``(T, K or 1, C, h, w)``.

    Arguments as of :func:`errors_on_the_way`, for some of its frames. A scene that the effect
    leaves in its place is the same for all progresses.
    """
    chosen = places[rows] if rows is not None and len(places) > 1 else places[None]
    grid = chosen + shift[:, None, None, None]
    seen = _sample(scene, grid.flatten(0, 1))
    return seen.reshape(*grid.shape[:2], *seen.shape[1:])


def layout_of(placer: Placer, height: int, width: int, steps: int) -> Layout:
    """Return the layout of ``steps`` frames of an effect, evenly from progress 0 to 1."""
    is_small = 5 * steps * height * width <= KEPT_VALUES
    return (_kept_layout if is_small else _layout)(placer, height, width, steps)


def _layout(placer: Placer, height: int, width: int, steps: int) -> Layout:
    """Return the layout of an effect; arguments as in :func:`composed_frames`."""
    aspect = height / width
    x, y = pixel_places(height, width, aspect)
    placements = [placer(float(value), aspect) for value in np.linspace(0, 1, steps)]
    sides = (
        [placement.outgoing for placement in placements],
        [placement.incoming for placement in placements],
    )
    outgoing, incoming = (
        torch.stack([grid_of(*placed(x, y), aspect) for placed in _distinct(maps)])
        for maps in sides
    )
    weights = [placement.weight(x, y, aspect, 1 / width) for placement in placements]
    return Layout(outgoing, incoming, torch.stack(weights)[:, None])


def _distinct(maps: list[AffineMap]) -> list[AffineMap]:
    """Return maps, or the only one that they all are."""
    return maps[:1] if all(one == maps[0] for one in maps) else maps


_kept_layout = lru_cache(maxsize=32)(_layout)


def grid_of(x: Tensor, y: Tensor, aspect: float) -> Tensor:
    """Return places ``(h, w)`` in picture widths as ``grid_sample`` takes them, ``(h, w, 2)``."""
    return torch.stack([2 * x, 2 * y / aspect], -1)


def _sample(scene: Tensor, places: Tensor) -> Tensor:
    """Return a scene ``(C, H, W)`` at ``places`` ``(P, h, w, 2)``, bilinear: ``(P, C, h, w)``."""
    return sample(scene.expand(len(places), -1, -1, -1), places)
