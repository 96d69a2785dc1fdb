"""Repeated frames: film at 24 pictures a second shown at 30, animation on twos or threes.

A repeated frame is one in a run of at most three equal frames between frames that move. A picture that stands still for longer is a still.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stages.find.curve import Curve
from stages.find.features import Array

REACH = 2  # frames on each side among which a repeated frame has one that moves: pictures shown three times are the longest run
SMALL = 0.1  # part of the steps around it below which a frame's own step is none
LEAST_SHARE = 0.15  # of the frames that are repeated or move
EQUAL = 0.001  # mean absolute difference, in [0, 1], that coding leaves between equal frames of the search's size


def repeats(frames: Array, low: int, high: int) -> list[int]:
    """Return the places in ``low..high`` of the frames ``(T, H, W, 3)`` that are equal to the one before them while the rest moves."""
    steps = np.abs(np.diff(frames[low : high + 1], axis=0)).mean((1, 2, 3))
    found = []
    for place in range(1, len(steps) - 1):
        around = (
            float(steps[max(0, place - REACH) : place].max()),
            float(steps[place + 1 : place + 1 + REACH].max()),
        )
        if steps[place] < min(EQUAL, SMALL * min(around)):
            found.append(low + place + 1)
    # One in five of film at 30, one in two of animation. Fewer are by chance: what moves slowly may rest for a frame.
    return found if len(found) >= LEAST_SHARE * (len(found) + int((steps > EQUAL).sum())) else []


def tied(mix: Curve, first: int, again: Sequence[int]) -> Curve:
    """Return the weights of the frames from ``first`` on with the repeated frames ``again`` having the weight that their picture has.

    That is the mean of the weights of its frames.
    """
    again = [place for place in again if first < place < first + len(mix)]
    group = np.cumsum([place not in again for place in range(first, first + len(mix))]) - 1
    means = np.bincount(group, mix) / np.bincount(group)
    return np.asarray(means[group], np.float64)
