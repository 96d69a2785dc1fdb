"""Hard cuts: steps between two frames that motion does not explain and that do not lead back.

Most cuts are far larger than every other step nearby. Where shots last a few frames only the steps nearby are cuts themselves: such a
cut is one if the frames on both sides of every large step nearby have nothing in common, and if the picture before it does not return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from stages.find.features import Array

Verdict = Literal["cut", "flash", ""]
NEAR = 4  # frames on each side that a cut has to stand out from; a flash does not, its end is as large a step as its start
STANDS_OUT = 1.7
FLOOR = 0.008  # steps below this are noise
LEAST_STEP = 0.05
LEAST_RESIDUAL = 0.03
AKIN = 0.55  # kinship from which two frames show one scene. In single shots of real footage neighbours are above it but for fast cameras
# Kinship below which two frames have nothing in common: pairs of unrelated real frames were at most 0.26, of made textures 0.33.
FOREIGN = 0.35
REPEATED = 0.02  # part of a step below which those beside it are none: the frame is repeated
PARALLEL = 0.75  # cosine between two steps of one way, in light; between those of unrelated pictures it is 0.5 and less
GOES_ON = 0.4  # of a step that the one before or behind it takes again, in light


def prominence(values: Sequence[float], place: int) -> float:
    """How many times larger ``values[place]`` is than the largest within :data:`NEAR` of it."""
    around = [*values[max(0, place - NEAR) : place], *values[place + 1 : place + NEAR + 1]]
    return values[place] / (max(around, default=0.0) + FLOOR)


def large_enough(steps: Sequence[float], residuals: Sequence[float], place: int) -> bool:
    """Return whether the step to frame ``place`` is more than noise and small motions.

    steps[t], residuals[t]: how far apart the frames t - 1 and t are, as they are and after motion is taken away; entry 0 is unused.
    """
    return (
        1 <= place < len(steps)
        and steps[place] >= LEAST_STEP
        and residuals[place] >= LEAST_RESIDUAL
    )


def stands_out(steps: Sequence[float], residuals: Sequence[float], place: int) -> bool:
    """Return whether the step to frame ``place`` is far larger than all near it. Needs two frames on each side."""
    if place < 2 or place > len(steps) - 2:
        return False
    return (
        prominence(steps[1:], place - 1) > STANDS_OUT
        and prominence(residuals[1:], place - 1) > STANDS_OUT
    )


def rivals(steps: Sequence[float], residuals: Sequence[float], place: int) -> list[int]:
    """Return the steps near ``place`` that keep it from standing out."""
    near = [
        other
        for other in range(max(1, place - NEAR), min(len(steps), place + NEAR + 1))
        if other != place
    ]
    bounds = (steps[place] / STANDS_OUT - FLOOR, residuals[place] / STANDS_OUT - FLOOR)
    return [other for other in near if steps[other] >= bounds[0] or residuals[other] >= bounds[1]]


def judge_step(
    steps: Sequence[float],
    residuals: Sequence[float],
    contents: Sequence[Array],
    motion_compensated_ncc: Callable[[int, int], float],
    place: int,
) -> Verdict:
    """Return ``cut`` where a new shot begins with frame ``place`` of a stretch, ``flash`` where a flash begins or ends there, or nothing.

    steps, residuals: as of :func:`large_enough`. contents: of each frame, ``(K, D)``. kinship: of two frames of the stretch, see
    :func:`stages.find.features.motion_compensated_ncc`; it costs more than all the rest and is asked last.
    """
    if not large_enough(steps, residuals, place) or goes_on(*around(steps, contents, place)):
        return ""
    if stands_out(steps, residuals, place):
        return "cut" if motion_compensated_ncc(place - 1, place) < AKIN else ""
    others = rivals(steps, residuals, place)
    if any(motion_compensated_ncc(other - 1, other) >= FOREIGN for other in [place, *others]):
        return ""
    # A shot that comes back after a few frames was interrupted by a flash or a damaged frame, not ended.
    begins = any(
        motion_compensated_ncc(place - 1, other) >= AKIN for other in others if other > place
    )
    ends = any(
        motion_compensated_ncc(other - 1, place) >= AKIN for other in others if other < place
    )
    return "flash" if begins or ends else "cut"


def around(
    steps: Sequence[float], contents: Sequence[Array], place: int
) -> tuple[list[Array], int]:
    """Return the contents of up to four pictures around the step to frame ``place``, and which of them that frame is.

    Frames that repeat the one beside them are passed over: in film that is shown at a higher rate the way goes on behind them.
    """
    least = REPEATED * steps[place]
    ahead = next(
        (time - 1 for time in range(place - 1, max(0, place - NEAR), -1) if steps[time] > least),
        None,
    )
    behind = next(
        (
            time
            for time in range(place + 1, min(len(steps), place + NEAR + 1))
            if steps[time] > least
        ),
        None,
    )
    places = [time for time in (ahead, place - 1, place, behind) if time is not None]
    return [contents[time] for time in places], places.index(place)


def goes_on(contents: Sequence[Array], behind: int = 2) -> bool:
    """Whether the step to the frame number ``behind`` of up to four is a part of a longer way, so that it is no cut.

    contents: of the frames around the step, each ``(K, D)``. Mixed in linear light a dark picture changes most in its first or last mixed
    frame, as a cut would; in light itself every step goes the same way.
    """
    light = [content**2.2 for content in contents]
    ways = [after - before for before, after in zip(light, light[1:], strict=False)]
    step = ways[behind - 1]
    beside = [ways[place] for place in (behind - 2, behind) if 0 <= place < len(ways)]
    length = float(np.sqrt(np.square(step).sum()))
    for way in beside:
        along = float((step * way).sum())
        if along > max(GOES_ON * length, PARALLEL * float(np.sqrt(np.square(way).sum()))) * length:
            return True
    return False
