"""Hard cuts: steps between two frames that motion does not explain and that do not lead back.

Most cuts are far larger than every other step nearby. Where shots last a few frames only, the large
steps nearby are cuts themselves. Such a step is a cut if the frames on both sides of every large
step nearby have nothing in common, and if the picture before it does not return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from stages.find.features import Array
from stages.mixing.light_dissolve import GAMMA

Verdict = Literal["cut", "flash", ""]

# Frames on each side that a cut has to stand out from. A flash does not stand out: its end is as
# large a step as its start.
NEAR = 4
STANDS_OUT = 1.7  # how many times as large as the steps nearby
FLOOR = 0.008  # steps below this are noise
LEAST_STEP = 0.05  # root mean square of the change of block contents, in [0, 1]
LEAST_RESIDUAL = 0.03  # mean absolute difference after motion compensation, in [0, 1]
# NCC from which two frames show one scene. In single shots of real footage neighbouring frames are
# above it, except with fast cameras.
SAME_SCENE_NCC = 0.55
# NCC below which two frames have nothing in common: pairs of unrelated real frames were at most
# 0.26, pairs of synthetic textures 0.33.
UNRELATED_NCC = 0.35
REPEATED = 0.02  # part of a step below which the steps beside it are those of repeated frames
# Cosine between two steps of one gradual change, in linear light; between the steps of unrelated
# pictures it is 0.5 and less.
PARALLEL = 0.75
CONTINUED = 0.4  # part of a step that the one before or behind it repeats, in linear light


def prominence(values: Sequence[float], place: int) -> float:
    """Return ``values[place]`` divided by the largest other value within :data:`NEAR`."""
    around = [*values[max(0, place - NEAR) : place], *values[place + 1 : place + NEAR + 1]]
    return values[place] / (max(around, default=0.0) + FLOOR)


def large_enough(steps: Sequence[float], residuals: Sequence[float], place: int) -> bool:
    """Return whether the step to frame ``place`` is more than noise and small motions.

    steps: ``steps[t]`` is the change of the block contents from frame t - 1 to t; entry 0 is
    unused. residuals: the same for the difference that is left after motion compensation.
    """
    if not 1 <= place < len(steps):
        return False
    return steps[place] >= LEAST_STEP and residuals[place] >= LEAST_RESIDUAL


def stands_out(steps: Sequence[float], residuals: Sequence[float], place: int) -> bool:
    """Return whether the step to frame ``place`` is far larger than all near it.

    This needs two frames on each side.
    """
    if place < 2 or place > len(steps) - 2:
        return False
    return (
        prominence(steps[1:], place - 1) > STANDS_OUT
        and prominence(residuals[1:], place - 1) > STANDS_OUT
    )


def rivals(steps: Sequence[float], residuals: Sequence[float], place: int) -> list[int]:
    """Return the steps near ``place`` that keep it from standing out."""
    near = range(max(1, place - NEAR), min(len(steps), place + NEAR + 1))
    least_step = steps[place] / STANDS_OUT - FLOOR
    least_residual = residuals[place] / STANDS_OUT - FLOOR
    return [
        other
        for other in near
        if other != place and (steps[other] >= least_step or residuals[other] >= least_residual)
    ]


def judge_step(
    steps: Sequence[float],
    residuals: Sequence[float],
    contents: Sequence[Array],
    motion_compensated_ncc: Callable[[int, int], float],
    place: int,
) -> Verdict:
    """Classify the step to frame ``place`` of a stretch of frames.

    steps, residuals: as for :func:`large_enough`.
    contents: of each frame, ``(K, D)``.
    motion_compensated_ncc: of two frames of the stretch, by their places; see
    :func:`stages.find.features.motion_compensated_ncc`. It costs more than all the rest and is
    called last.

    Returns ``cut`` where a new shot begins with the frame, ``flash`` where a flash begins or ends
    there, and an empty string otherwise.
    """
    if not large_enough(steps, residuals, place) or goes_on(*around(steps, contents, place)):
        return ""
    if stands_out(steps, residuals, place):
        return "cut" if motion_compensated_ncc(place - 1, place) < SAME_SCENE_NCC else ""
    others = rivals(steps, residuals, place)
    for step in [place, *others]:
        if motion_compensated_ncc(step - 1, step) >= UNRELATED_NCC:
            return ""
    # A shot that comes back after a few frames was not ended: a flash or a damaged frame
    # interrupted it.
    begins = any(
        motion_compensated_ncc(place - 1, other) >= SAME_SCENE_NCC
        for other in others
        if other > place
    )
    ends = any(
        motion_compensated_ncc(other - 1, place) >= SAME_SCENE_NCC
        for other in others
        if other < place
    )
    return "flash" if begins or ends else "cut"


def around(
    steps: Sequence[float], contents: Sequence[Array], place: int
) -> tuple[list[Array], int]:
    """Return the contents of up to four frames around the step to frame ``place``.

    The second value is the index of that frame among them. Repeated frames are passed over: film
    that is shown at a higher rate goes on behind them.
    """
    least = REPEATED * steps[place]
    before = range(place - 1, max(0, place - NEAR), -1)
    behind = range(place + 1, min(len(steps), place + NEAR + 1))
    earlier = next((time - 1 for time in before if steps[time] > least), None)
    later = next((time for time in behind if steps[time] > least), None)
    places = [time for time in (earlier, place - 1, place, later) if time is not None]
    return [contents[time] for time in places], places.index(place)


def goes_on(contents: Sequence[Array], behind: int = 2) -> bool:
    """Return whether a step is part of a longer gradual change, so that it is no cut.

    contents: of up to four frames around the step, each ``(K, D)``. behind: the index of the frame
    behind the step. Mixed in linear light, a dark picture changes most in its first or its last
    mixed frame, as in a cut; measured in linear light, all steps have the same direction.
    """
    light = [content**GAMMA for content in contents]
    changes = [after - before for before, after in zip(light, light[1:], strict=False)]
    step = changes[behind - 1]
    length = float(np.sqrt(np.square(step).sum()))
    for place in (behind - 2, behind):
        if not 0 <= place < len(changes):
            continue
        along = float((step * changes[place]).sum())
        other = float(np.sqrt(np.square(changes[place]).sum()))
        if along > max(CONTINUED * length, PARALLEL * other) * length:
            return True
    return False
