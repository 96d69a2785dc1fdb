"""Collect the evidence that a clip is the sum of two moving layers, from short pieces of it.

The diagnosis and the task ask the same. In each piece the two motions are guessed, and
:mod:`stages.transparency.sum_evidence` registers them and says what their sum explains. A first
piece has frames far apart, because slow layers hardly move between neighbours. A second one has
neighbours, because fast layers leave the picture.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from stages.mixing.layer_sum import to_space
from stages.motion.flow import shrunk
from stages.transparency.mosaic_search import distinct_guesses, guess_motions, rough_motions
from stages.transparency.motion import leaves_its_place
from stages.transparency.plans import SMALLEST
from stages.transparency.sum_evidence import (
    ENOUGH_FRAMES,
    NO_GAIN,
    SumEvidence,
    registered_sum_evidence,
)

WIDEST_SPACING = 3
"""Largest distance of the frames that are looked at first. Of slow layers, neighbours tell little;
of fast ones, which leave the picture, only neighbours tell."""
LONGEST_PIECE = WIDEST_SPACING * (ENOUGH_FRAMES - 1) + 1
"""Frames from the first to the last of a piece, at most."""
LEAST_GAIN = 0.03
"""Gain above which there are two layers."""
LEAST_MOTION_DIFFERENCE = 1.5
"""Pixels by which the two motions have to differ, over three of the frames that are looked at. What
differs less is one motion that is not known exactly."""
LEAST_GAIN_BESIDE_ONE = -0.05
"""Least gain beside a single layer that is registered by itself. It is below zero even for some
panes, because such a layer is known better than each of two."""


def registered_gain(window: Tensor) -> float:
    """Return the largest gain of the pieces of a window ``(T, 3, h, w)``; -1 where it has none.

    Above :data:`LEAST_GAIN` the window is a sum. Two runs of a long window are looked at.
    """
    runs = [window]
    if len(window) >= 2 * LONGEST_PIECE:
        half = len(window) // 2
        runs = [window[:half], window[half:]]
    return max(gains_of(runs), default=NO_GAIN)


def gains_of(runs: Iterable[Tensor]) -> list[float]:
    """Return the gain of each piece of some runs of consecutive frames, ``(T, 3, h, w)`` each.

    A gain is the part of the better single layer's error that the sum of two layers avoids
    (:func:`stages.transparency.sum_evidence.registered_sum_evidence`), up to 1; at most 0 where the
    motions do not tell two layers. Later pieces are left out where they would not change the
    verdict. A run in which nothing moves has none; nor has one of fewer than
    :data:`stages.transparency.sum_evidence.ENOUGH_FRAMES` frames.
    """
    gains: list[float] = []
    for run in runs:
        gains += _gains_of_run(run)
        if gains and max(gains) > LEAST_GAIN:
            break
    return gains


def _gains_of_run(run: Tensor) -> list[float]:
    """Return the gains of the pieces of a run ``(T, 3, h, w)``, see :func:`gains_of`."""
    gains: list[float] = []
    widest = min(WIDEST_SPACING, (len(run) - 1) // (ENOUGH_FRAMES - 1))
    for spacing in sorted({widest, min(widest, 1)} - {0}, reverse=True):
        length = spacing * (ENOUGH_FRAMES - 1) + 1
        begin = (len(run) - length) // 2
        found = _evidence_of(shrunk(run[begin : begin + length : spacing], SMALLEST.pixels))
        if found is None:
            continue
        are_two_motions = found.motion_difference >= LEAST_MOTION_DIFFERENCE
        are_two_layers = are_two_motions and found.gain_beside_one > LEAST_GAIN_BESIDE_ONE
        gains.append(found.gain if are_two_layers else min(0.0, found.gain))
        # Motions that agree over long distances agree over short ones.
        if not are_two_motions or gains[-1] > LEAST_GAIN:
            break
    return gains


def _evidence_of(frames: Tensor) -> SumEvidence | None:
    """Return the evidence that frames ``(T, 3, h, w)`` are a sum; ``None`` if nothing moves."""
    light = to_space(frames, "linear")
    size = (frames.shape[-2], frames.shape[-1])
    guesses = distinct_guesses(guess_motions(light), size)
    if not leaves_its_place(guesses[0], size):
        return None
    return registered_sum_evidence(frames, rough_motions(light, SMALLEST, guesses))
