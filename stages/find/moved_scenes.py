"""Tell whether scenes move as a whole, or stay in their places as in a wipe.

Each frame is explained twice: with the scenes where a transition places them, and in their own
places. Only those pixels count that show one scene alone, and a scene that the transition moves.
The other scene says nothing. A camera moves its scene in either case. So each scene is also taken
as it would look if its camera went on as it moved in the clean frames. The better picture counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from stages.find.composed import place, progress_of
from stages.find.features import channels_first
from stages.find.placements import measured_progress
from stages.find.stretch import Stretch, TransitionFit
from stages.find.track import moved_on
from stages.kinds.base import AffineMap, Placement, pixel_places

PURE = 0.99  # part of a pixel from which it shows a scene alone
TINY = 1e-9  # keeps a part of nothing from being a division by zero

Scenes = tuple[Tensor, Tensor]
"""The outgoing and the incoming scene, ``(3, H, W)`` each."""


@dataclass(frozen=True)
class PlacedErrors:
    """The error that scenes that move as a whole leave in the frames of a wipe.

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
    progress = measured_progress(stretch, placed)
    size = stretch.frames.shape[1], stretch.frames.shape[2]
    moved = unmoved = TINY
    whole = _error_beside(stretch, placed, wipe)
    for time, pictures in _pictures(stretch, placed):
        if not wipe.before < time < wipe.after:
            continue
        frame = channels_first(stretch.frames[time])
        measured = float(progress[time - placed.before - 1])
        of_wipe = progress_of(placed.placer, float(wipe.mix[time - wipe.before - 1]), size)
        placements = [placed.placer(one, stretch.aspect) for one in (measured, of_wipe)]
        tried = [(_placed_error(frame, pictures, one), one) for one in placements]
        error, placement = min(tried, key=lambda item: float(item[0].mean()))
        whole += float(error.mean())
        for side, shown in _moving_sides(frame, placement):
            moved += float(error[shown].sum())
            unmoved += min(
                float((frame - scenes[side]).square().mean(0)[shown].sum()) for scenes in pictures
            )
    return PlacedErrors(moved / unmoved, whole)


def _moving_sides(frame: Tensor, placement: Placement) -> Iterator[tuple[int, Tensor]]:
    """Yield for each scene that is not in its own place its number, 0 or 1, and where it is alone.

    The pixels that show it alone are ``(H, W)``.
    """
    where = placement.outgoing, placement.incoming
    for side, shown in enumerate(_shown(frame, placement)):
        if where[side] != AffineMap():
            yield side, shown


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
    held = channels_first(frames[found.before]), channels_first(frames[found.after])
    speeds = stretch.pan_speeds(*sides)
    for time in range(found.before + 1, found.after):
        outgoing, incoming = (
            channels_first(moved_on(frames[side], speed * (time - side)))
            for side, speed in zip(sides, speeds, strict=True)
        )
        yield time, [held, (outgoing, incoming)]
