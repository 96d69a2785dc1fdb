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
from numpy.typing import NDArray
from torch import Tensor

from stages.find.composed import sample
from stages.find.optical_flow import warped
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

MOST_PREDICTING_AREA = 0.5
"""Most area of the part that has to predict the rest of what is shown, relative to both."""

MOST_PREDICTION_ERROR = 0.65
"""Most squared error of the predictions, relative to that of the held clean frame. A camera that
stands still leaves about 1."""


Mask = NDArray[np.bool_]
"""Which pixels count, ``(h, w)``."""


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
    grid = Grid.of(*scene.clean.shape[-2:])
    reference = _gray(scene.clean)
    # By the number of frames since the clean one, which is negative for clean frames beyond it.
    motions: dict[int, Params] = {0: STILL}
    if scene.beyond is not None:
        motions[-1] = fit_motion(grid, MotionProblem(reference, _gray(scene.beyond)), STILL)
    moved_error = held_error = 0.0
    areas = scene.shown.float().mean((1, 2, 3)).tolist()
    for place, layer in enumerate(scene.layers):
        time = place + 1
        motion = expected_motion(motions, time - 1, time - 2)
        if areas[place] >= LEAST_SHOWN:
            target, shown = _gray(layer), scene.shown[place, 0].numpy()
            part = _part_shown_later(scene, areas, place)
            if LEAST_SHOWN <= part.mean() < shown.mean():
                by_part = fit_motion(grid, MotionProblem(reference, target, counted=part), motion)
                rest = shown & ~part
                predicted = warped(reference, grid.flow(by_part))
                moved_error += float(((predicted - target)[rest] ** 2).sum())
                held_error += float(((reference - target)[rest] ** 2).sum())
            motion = fit_motion(grid, MotionProblem(reference, target, counted=shown), motion)
        motions[time] = motion
    if moved_error < MOST_PREDICTION_ERROR * held_error:
        return [motions[place + 1] for place in range(len(scene.layers))]
    return [STILL] * len(scene.layers)


def _part_shown_later(scene: ShownScene, areas: Sequence[float], place: int) -> Mask:
    """Return the pixels of frame ``place`` that a later frame shows, too, ``(h, w)``.

    The later frame is the first one that shows at most half as much. Without one, these are all
    pixels that the frame shows.

    areas: the part of the picture that each frame shows.
    """
    shown: Mask = scene.shown[place, 0].numpy()
    for later in range(place + 1, len(areas)):
        if LEAST_SHOWN <= areas[later] <= MOST_PREDICTING_AREA * areas[place]:
            shown_later: Mask = scene.shown[later, 0].numpy()
            return shown & shown_later
    return shown


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
