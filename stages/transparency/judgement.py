"""Judge by registered motions whether frames show two moving layers that add up.

A diagnosis and the task ask the same.

Pieces of a window are judged: some frames far apart first, because slow layers hardly move between
neighbours, and neighbours then, because fast layers leave the picture.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from stages.mixing.layer_sum import to_space
from stages.motion.flow import shrunk
from stages.transparency.evidence import ENOUGH, SumEvidence, registered_sum_evidence
from stages.transparency.motion import leaves_its_place
from stages.transparency.planes import distinct, first_guesses, rough_planes
from stages.transparency.plans import SMALLER

PLAN = SMALLER[-1]
"""The smallest plan of work that the task itself has."""
WIDEST = 3
"""Largest distance of the frames that are looked at first. Of slow layers, neighbours tell little;
of fast ones, which leave the picture, only neighbours tell."""
LONGEST = WIDEST * (ENOUGH - 1) + 1
"""Frames from the first to the last of a piece, at most."""
BELIEVED = 0.03
"""Gain above which there are two layers."""
LEAST_APART = 1.5
"""Pixels by which the two motions have to differ, over three of the frames that are looked at. What
differs less is one motion that is not known exactly."""
LEAST_BESIDE_ONE = -0.05
"""Least evidence beside a single layer that is registered by itself. It is below zero even for some
panes, because such a layer is known better than each of two."""


def gains_of(runs: Iterable[Tensor]) -> list[float]:
    """Return the gain of each piece of some runs of consecutive frames, ``(T, 3, h, w)`` each.

    A gain is the part of the better single layer's error that the sum of two layers avoids
    (:func:`stages.transparency.evidence.registered_sum_evidence`), up to 1; at most 0 where the
    motions do not tell two layers. Later pieces are left out where they would not change the
    verdict. A run in which nothing moves has none; nor has one of fewer than
    :data:`stages.transparency.evidence.ENOUGH` frames.
    """
    gains: list[float] = []
    for run in runs:
        gains += _gains_of_run(run)
        if gains and max(gains) > BELIEVED:
            break
    return gains


def runs_of(window: Tensor) -> list[Tensor]:
    """Return the runs of a window's frames ``(T, 3, h, w)`` that are judged: two of a long one."""
    if len(window) < 2 * LONGEST:
        return [window]
    half = len(window) // 2
    return [window[:half], window[half:]]


def _gains_of_run(run: Tensor) -> list[float]:
    """Return the gains of the pieces of a run ``(T, 3, h, w)``, see :func:`gains_of`."""
    gains: list[float] = []
    widest = min(WIDEST, (len(run) - 1) // (ENOUGH - 1))
    for spacing in sorted({widest, min(widest, 1)} - {0}, reverse=True):
        length = spacing * (ENOUGH - 1) + 1
        begin = (len(run) - length) // 2
        found = _evidence(shrunk(run[begin : begin + length : spacing], PLAN.pixels))
        if found is None:
            continue
        are_two = found.apart >= LEAST_APART and found.gain_beside_one > LEAST_BESIDE_ONE
        gains.append(found.gain if are_two else min(0.0, found.gain))
        if found.apart < LEAST_APART or gains[-1] > BELIEVED:
            # Motions that agree over long distances agree over short ones.
            break
    return gains


def _evidence(frames: Tensor) -> SumEvidence | None:
    """Return the evidence that frames ``(T, 3, h, w)`` are a sum; ``None`` if nothing moves."""
    light = to_space(frames, "linear")
    size = (frames.shape[-2], frames.shape[-1])
    guesses = distinct(first_guesses(light), size)
    if not leaves_its_place(guesses[0], size):
        return None
    return registered_sum_evidence(frames, rough_planes(light, PLAN, guesses))
