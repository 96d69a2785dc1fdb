"""Hard cuts: one step between two frames that is far larger than every other step nearby and that motion does not explain.

Whether the two frames are akin after all (:func:`stages.find.signs.kinship`) is asked by the caller: something may have jumped in, or
a light gone on.
"""

from __future__ import annotations

from collections.abc import Sequence

from stages.find.signs import Array

NEAR = 4  # frames on each side that a cut has to stand out from; a flash does not, its end is as large a step as its start
STANDS_OUT = 1.7
FLOOR = 0.008  # steps below this are noise
LEAST_STEP = 0.05
LEAST_RESIDUAL = 0.03
AKIN = 0.55
GOES_ON = 0.4  # of a step that the one before or behind it takes again, in light


def prominence(values: Sequence[float], place: int) -> float:
    """How many times larger ``values[place]`` is than the largest within :data:`NEAR` of it."""
    around = [*values[max(0, place - NEAR) : place], *values[place + 1 : place + NEAR + 1]]
    return values[place] / (max(around, default=0.0) + FLOOR)


def is_cut(steps: Sequence[float], residuals: Sequence[float], place: int) -> bool:
    """Whether a new shot begins with frame ``place`` of a stretch.

    steps[t], residuals[t]: how far apart the frames t - 1 and t are, as they are and after motion is taken away; entry 0 is unused.
    """
    if place < 2 or place > len(steps) - 2:
        return False
    if steps[place] < LEAST_STEP or residuals[place] < LEAST_RESIDUAL:
        return False
    return prominence(steps[1:], place - 1) > STANDS_OUT and prominence(residuals[1:], place - 1) > STANDS_OUT


def goes_on(contents: Sequence[Array]) -> bool:
    """Whether the step between the middle two of four frames is a part of a longer way, so that it is no cut.

    contents: of four frames, each ``(K, D)``. Mixed in linear light a dark picture changes most in its first or last mixed frame, as a cut
    would; in light itself every step goes the same way.
    """
    one, two, three, four = (content**2.2 for content in contents)
    step = three - two
    return max(float((step * (four - three)).sum()), float((step * (two - one)).sum())) > GOES_ON * float((step * step).sum())
