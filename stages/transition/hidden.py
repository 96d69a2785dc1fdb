"""What a frame does not show of a scene that moves as a whole: its clean frame, moved on.

Inside of its moving frame a scene goes on playing, and its camera may pan. Where a mixed frame
shows a part of the scene, that part tells how the camera has moved since the nearest clean frame
(:func:`stages.find.track.fit_motion`). The rest of the clean frame then moves the same way.

Things at other distances move differently, so this is tried out first: in each frame the smaller
part that a later frame shows, half of it at most, has to predict the rest of what is shown. The
motion is used only if that works clearly better than to hold the clean frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stages.find.features import warped
from stages.find.placements import sample
from stages.find.track import (
    STILL,
    Gray,
    Grid,
    MotionProblem,
    Params,
    expected_motion,
    fit_motion,
)
from stages.kinds.base import pixel_places
from stages.motion.flow import LUMA

LEAST_SHOWN = 0.02
"""Part of the picture below which what is shown does not tell a motion."""

TRIED = 0.5
"""Most area of the part that has to predict the rest of what is shown, relative to both."""

CLEARLY = 0.65
"""Most squared error of the predictions, relative to that of the held clean frame. A camera that
stands still leaves about 1."""


@dataclass(frozen=True)
class ShownScene:
    """A scene as far as the mixed frames show it, moved back to its own place, at a small size.

    clean: the scene's nearest clean frame ``(3, h, w)``. beyond: the clean frame beyond that one,
    or None. layers: ``(n, 3, h, w)``, the frame nearest to the clean one first. shown: where they
    are the scene, ``(n, 1, h, w)``.
    """

    clean: Tensor
    beyond: Tensor | None
    layers: Tensor
    shown: Tensor


def camera_motions(scene: ShownScene) -> list[Params]:
    """Return the camera's motion since the clean frame, for each frame, nearest first.

    A motion is ``(6,)`` as in :mod:`stages.find.track`. All of them are still where the shown parts
    do not speak clearly for them.
    """
    height, width = scene.clean.shape[-2:]
    grid = Grid.of(height, width)
    reference = _gray(scene.clean)
    known: dict[int, Params] = {0: STILL}
    if scene.beyond is not None:
        known[-1] = fit_motion(grid, MotionProblem(reference, _gray(scene.beyond)), STILL)
    moved = held = 0.0
    areas = scene.shown.float().mean((1, 2, 3)).tolist()
    for time, (layer, shown) in enumerate(zip(scene.layers, scene.shown, strict=True), 1):
        motion = expected_motion(known, time - 1, time - 2)
        area = areas[time - 1]
        if area >= LEAST_SHOWN:
            target, counted = _gray(layer), shown[0].numpy()
            smaller = _smaller(areas, time - 1)
            part = counted
            if smaller is not None:
                part = counted & scene.shown[smaller, 0].numpy()
            if LEAST_SHOWN <= part.mean() < counted.mean():
                tried = fit_motion(grid, MotionProblem(reference, target, counted=part), motion)
                rest = counted & ~part
                seen = warped(reference, grid.flow(tried))
                moved += float(((seen - target)[rest] ** 2).sum())
                held += float(((reference - target)[rest] ** 2).sum())
            motion = fit_motion(grid, MotionProblem(reference, target, counted=counted), motion)
        known[time] = motion
    motions = [known[time] for time in range(1, len(scene.layers) + 1)]
    return motions if moved < CLEARLY * held else [STILL] * len(motions)


def _smaller(areas: Sequence[float], place: int) -> int | None:
    """Return the first later frame that shows at most half as much, or None."""
    later = range(place + 1, len(areas))
    return next(
        (some for some in later if LEAST_SHOWN <= areas[some] <= TRIED * areas[place]), None
    )


def moved_on(picture: Tensor, motion: Params) -> Tensor:
    """Return a picture ``(C, H, W)`` as its camera sees it after a motion ``(6,)``."""
    if not motion.any():
        return picture
    height, width = picture.shape[-2:]
    return sample(picture, *moved_places(*pixel_places(height, width, height / width), motion))


def moved_places(x: Tensor, y: Tensor, motion: Params) -> tuple[Tensor, Tensor]:
    """Return where a clean frame shows what is at ``x`` and ``y`` after a camera's motion ``(6,)``.

    All places are tensors of one shape, in picture widths from the middle.
    """
    # Motions are in half widths, places in widths.
    across = (motion[0] + 2 * motion[1] * x + 2 * motion[2] * y) / 2
    down = (motion[3] + 2 * motion[4] * x + 2 * motion[5] * y) / 2
    return x + across, y + down


def inverse(motion: Params) -> Params:
    """Return the motion that undoes another one."""
    linear = np.array([[1 + motion[1], motion[2]], [motion[4], 1 + motion[5]]])
    back = np.linalg.inv(linear)
    shift = -back @ motion[[0, 3]]
    turned = back - np.eye(2)
    return np.array([shift[0], *turned[0], shift[1], *turned[1]])


def _gray(picture: Tensor) -> Gray:
    """Return the grey picture ``(h, w)`` of ``(3, h, w)``."""
    weights = torch.tensor(LUMA).view(3, 1, 1)
    return np.ascontiguousarray((picture * weights).sum(0).numpy(), np.float32)
