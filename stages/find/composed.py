"""Compose the frames of a transition in which scenes move as a whole: one, or all at once.

Where each pixel comes from depends on the effect and the size alone. So small layouts are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stages.kinds.base import AffineMap, Placement, Placer, pixel_places
from stages.mixing.blend import blend
from stages.motion.flow import sample as sample_grid

KEPT_VALUES = 1 << 18
"""Values of a layout up to which it is kept, 1 MiB; at most 32 are kept."""

MOST_PIXELS = 1 << 19
"""Pixels that are composed at once where each frame has composed frames of its own."""

BISECTIONS = 20
"""Halvings of the interval that a progress lies in."""


def place(scenes: tuple[Tensor, Tensor], placement: Placement) -> Tensor:
    """Return the frame in which two scenes are placed, ``(C, H, W)``.

    scenes: the outgoing and the incoming one, ``(C, H, W)`` each. Borders are repeated outwards.
    """
    height, width = scenes[0].shape[-2:]
    aspect = height / width
    x, y = pixel_places(height, width, aspect)
    weight = placement.weight(x, y, aspect, 1 / width)
    outgoing = sample(scenes[0], *placement.outgoing(x, y))
    incoming = sample(scenes[1], *placement.incoming(x, y))
    return blend(outgoing, incoming, weight)


def sample(scene: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return a scene ``(C, H, W)`` at places ``(h, w)`` in picture widths, bilinear."""
    grid = grid_of(x, y, scene.shape[-2] / scene.shape[-1])
    return sample_grid(scene[None], grid[None])[0]


def progress_of(placer: Placer, weight: float, size: tuple[int, int]) -> float:
    """Return the progress at which the incoming scene has a mean weight, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if placer(middle, size[0] / size[1]).mean_weight(*size) < weight:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@dataclass(frozen=True)
class Layout:
    """The places in both scenes that the pixels of ``P`` frames come from.

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
    outgoing = _sample_all(scenes[0], layout.outgoing)
    incoming = _sample_all(scenes[1], layout.incoming)
    return blend(outgoing, incoming, layout.weight)


def errors_of_moving_scenes(
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
        residual = blend(outgoing, incoming, weight).sub_(frames[part, None])
        errors.append(residual.square_().mean((2, 3, 4)))
    return torch.cat(errors)


def _moved(scene: Tensor, places: Tensor, shift: Tensor, rows: Tensor | None) -> Tensor:
    """Return a scene in frames of which each has shifts of its own, ``(T, K or 1, C, h, w)``.

    Arguments as of :func:`errors_of_moving_scenes`, for some of its frames. A scene that the effect
    leaves in its place is the same for all progresses.
    """
    chosen = places[rows] if rows is not None and len(places) > 1 else places[None]
    grid = chosen + shift[:, None, None, None]
    seen = _sample_all(scene, grid.flatten(0, 1))
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


def _sample_all(scene: Tensor, places: Tensor) -> Tensor:
    """Return a scene ``(C, H, W)`` at ``places`` ``(P, h, w, 2)``, bilinear: ``(P, C, h, w)``."""
    return sample_grid(scene.expand(len(places), -1, -1, -1), places)
