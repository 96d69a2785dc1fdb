"""Tell whether scenes move as a whole, or stay in their places as in a wipe.

Each frame is explained twice: with the scenes where a transition places them, and in their own
places. Only pixels count that show nothing but a scene that the transition moves, because the other
one says nothing. A camera moves its scene in either case. So each scene is also taken as it would
look if its camera went on as it moved in the clean frames, and the better picture counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from stages.find.paths import pixels_of
from stages.find.placements import measured_progress, place, progress_of
from stages.find.stretch import FOLLOWED, Stretch, TransitionFit
from stages.find.track import camera_speed, moved_on
from stages.kinds import TRANSITION_KINDS
from stages.kinds.base import AffineMap, Placement, pixel_places

PURE = 0.99  # part of a pixel from which it shows a scene alone
TINY = 1e-9  # keeps a part of nothing from being a division by zero

Scenes = tuple[Tensor, Tensor]
"""The outgoing and the incoming scene, ``(3, H, W)`` each."""


@dataclass(frozen=True)
class PlacedErrors:
    """What scenes that move as a whole leave of the frames of a wipe.

    moved: the squared error of the scenes that move, as a part of what they leave unmoved. It is
        far below 1 where they move as a whole, and above 1 in a wipe.
    whole: the sum of the mean squared errors of all frames of the wipe.
    """

    moved: float
    whole: float


def placed_errors(stretch: Stretch, placed: TransitionFit, wipe: TransitionFit) -> PlacedErrors:
    """Return what placed scenes leave of the frames of a wipe. Frames beside them count as clean.

    placed: the transition, of a kind that is undone by placements. wipe: the same one as a wipe,
    whose weights may tell the progress better.
    """
    placer = TRANSITION_KINDS[placed.kind].effects[placed.effect or ""]
    progress = measured_progress(stretch, placed)
    size = stretch.frames.shape[1], stretch.frames.shape[2]
    left = unmoved = TINY
    whole = _error_beside(stretch, placed, wipe)
    for time, pictures in _pictures(stretch, placed):
        if not wipe.before < time < wipe.after:
            continue
        frame = pixels_of(stretch.frames[time])
        edge = progress_of(placer, float(wipe.mix[time - wipe.before - 1]), size)
        placements = [
            placer(value, stretch.aspect)
            for value in (float(progress[time - placed.before - 1]), edge)
        ]
        tried = [(_placed_error(frame, pictures, one), one) for one in placements]
        error, placement = min(tried, key=lambda item: float(item[0].mean()))
        whole += float(error.mean())
        masks = _shown(frame, placement)
        for side, where in enumerate((placement.outgoing, placement.incoming)):
            if where != AffineMap():
                shown = masks[side]
                left += float(error[shown].sum())
                unmoved += min(
                    float((frame - scenes[side]).square().mean(0)[shown].sum())
                    for scenes in pictures
                )
    return PlacedErrors(left / unmoved, whole)


def _error_beside(stretch: Stretch, placed: TransitionFit, wipe: TransitionFit) -> float:
    """Return the squared errors of the frames of a wipe beside a placement, as clean frames."""
    times = range(wipe.before + 1, wipe.after)
    beside = [(time, placed.before) for time in times if time < placed.before]
    beside += [(time, placed.after) for time in times if time > placed.after]
    frames = stretch.frames
    return sum(float(np.square(frames[time] - frames[clean]).mean()) for time, clean in beside)


def _placed_error(frame: Tensor, pictures: list[Scenes], placement: Placement) -> Tensor:
    """Return the least squared error of a frame with placed scenes, at each pixel ``(H, W)``.

    The picture of each scene is chosen by the pixels that show it alone.
    """
    errors = [(frame - place(scenes, placement)).square().mean(0) for scenes in pictures]
    best = errors[0].clone()
    for shown in _shown(frame, placement):
        best[shown] = min((error[shown] for error in errors), key=lambda part: float(part.sum()))
    return best


def _shown(frame: Tensor, placement: Placement) -> tuple[Tensor, Tensor]:
    """Return which pixels show the outgoing and the incoming scene alone, ``(H, W)`` each."""
    height, width = frame.shape[-2:]
    aspect = height / width
    weight = placement.weight(*pixel_places(height, width, aspect), aspect, 1 / width)
    return 1 - weight > PURE, weight > PURE


def _pictures(stretch: Stretch, found: TransitionFit) -> Iterator[tuple[int, list[Scenes]]]:
    """Yield for each mixed frame its number and the pictures that the scenes may be in it.

    These are the clean frames as they are, and as they would look if the cameras went on.
    """
    frames, sides = stretch.frames, (found.before, found.after)
    held = pixels_of(frames[found.before]), pixels_of(frames[found.after])
    # One clean frame beside a transition tells less of a camera than several, and more than none.
    clean = (
        range(found.before - 1, max(stretch.low, found.before - FOLLOWED) - 1, -1),
        range(found.after + 1, min(stretch.high, found.after + FOLLOWED) + 1),
    )
    speeds = [camera_speed(frames, side, times) for side, times in zip(sides, clean, strict=True)]
    for time in range(found.before + 1, found.after):
        outgoing, incoming = (
            pixels_of(moved_on(frames[side], speed * (time - side)))
            for side, speed in zip(sides, speeds, strict=True)
        )
        yield time, [held, (outgoing, incoming)]
