"""Tell how well the model of a transition explains its frames.

The model leaves an error in the mixed frames, and motion leaves one in the clean frames beside them
(:mod:`stages.find.explained_frames`). An effect that is no transition of the kind leaves clearly
more than motion does at that distance in time.

A part of such an effect may look like a transition all the same, as the middle of a crash zoom
looks like a short dissolve. Then the frames beside it change far more than those further out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.find.curve import Curve, even_mix, squared_difference
from stages.find.explained_frames import ExplainedFrames
from stages.find.features import Array, is_too_small, plain_color
from stages.find.optical_flow import motion_residual
from stages.find.stretch import TransitionFit
from stages.kinds import OTHER, TRANSITION_KINDS

# Frames nearer and further than a distance whose errors are taken for that distance, too.
NEARER, FURTHER = 3, 1
GROWTH = 1.5  # power of the distance with which an error grows beyond the clean frames
MOST_GROWTH = 4.0  # times that it grows at most
UNKNOWN_ERROR = 1e-3  # squared error that is expected of a scene without a clean frame beside it
ERROR_FLOOR = 3e-4  # squared error that tells nothing
EXCESS = 1.5  # times the expected error above which the rest of an error is an excess
NEXT = 3  # frames beside a transition that change much if the effect goes on in them
NEAR, FAR = 6, 18  # frames beside a transition between which the usual change is measured
FEWEST = 9  # frames of a side that are enough for that
STEP_FLOOR = 3e-5  # squared change from frame to frame that tells nothing
ACTIVE = 3.0  # times the usual change from which a frame belongs to the effect
ACTIVE_FLOOR = 1e-4  # squared change above that from which it does
MOST_ADDED = 12  # frames that are added to a transition on each side, at most
LEAST_CLEAN = 3  # clean frames of each scene without which a model is doubtful at most


class MisfitLimits(NamedTuple):
    """The least figures of a :class:`Misfit` that speak against a model.

    Ratio and excess have to be reached together; the unrest is enough alone.
    """

    ratio: float
    excess: float
    unrest: float


# Of 160 drawn wipes and dissolves of moving scenes one was above the first pair of ratio and
# excess, and none above the second.
DOUBTFUL, UNEXPLAINED = MisfitLimits(1.4, 0.003, 5.0), MisfitLimits(2.0, 0.015, 8.0)
# The same where scenes move as a whole: there a camera that changes its speed leaves much, too.
DOUBTFUL_PLACED, UNEXPLAINED_PLACED = MisfitLimits(3.0, 0.03, 5.0), MisfitLimits(12.0, 0.15, 8.0)
LEAST_ADDED = 2  # frames that have to be added on a side for its unrest to count


class Verdict(Enum):
    """The verdict on a model: whether it explains the frames of a transition."""

    EXPLAINED = 0
    DOUBTFUL = 1
    UNEXPLAINED = 2


@dataclass(frozen=True)
class Misfit:
    """The error that a model leaves, next to the error that is expected.

    ratio: the squared error in the mixed frames, as a multiple of what is expected.
    excess: the part of it that is more than :data:`EXCESS` times that, relative to the squared
        difference of the two scenes.
    unrest: the change from frame to frame beside the transition, as a multiple of that further out.
    added: frames on each side that change as much.
    clean: frames by which the expected error was measured, of the scene with fewer.
    """

    ratio: float
    excess: float
    unrest: float
    added: tuple[int, int]
    clean: int


class JudgedTransition(NamedTuple):
    """A transition, and whether its model leaves so much that the kind is doubtful."""

    fit: TransitionFit
    is_doubtful: bool


def held_if_unexplained(
    frames: Array, found: TransitionFit, reach: tuple[int, int]
) -> JudgedTransition:
    """Return a transition, of the kind ``other`` if its model does not explain it.

    A plain colour is a known scene, and what fades into it may be a title that moves by itself. So
    a transition beside one is returned as it is. Arguments as of :func:`misfit`.
    """
    against_color = any(plain_color(frames[side]) for side in (found.before, found.after))
    if against_color or TRANSITION_KINDS[found.kind].found_around_fade:
        return JudgedTransition(found, False)
    measured = misfit(frames, found, reach)
    if measured is None:
        return JudgedTransition(found, False)
    verdict = verdict_of(measured, found.kind)
    if verdict is Verdict.UNEXPLAINED:
        before, after = found.before - measured.added[0], found.after + measured.added[1]
        held = TransitionFit(before, after, even_mix(after - before - 1), OTHER)
        return JudgedTransition(held, False)
    return JudgedTransition(found, verdict is not Verdict.EXPLAINED)


def reach_between(
    taken: Iterable[tuple[int, int]], found: TransitionFit, count: int
) -> tuple[int, int]:
    """Return the first and the last frame of the two shots that a transition is between.

    taken: the first and the last frame of all that ends a shot, itself among it; those of a cut are
    the frame after it and the one before. count: of the frames.
    """
    spans = list(taken)
    low = max([0, *(last + 1 for _, last in spans if last + 1 <= found.before)])
    high = min([count - 1, *(first - 1 for first, _ in spans if first - 1 >= found.after)])
    return low, high


def misfit(frames: Array, found: TransitionFit, reach: tuple[int, int]) -> Misfit | None:
    """Return what the model of a transition leaves unexplained, or None if nothing can be told.

    frames: ``(T, H, W, 3)``, encoded RGB. reach: the first and the last frame of the two shots.
    """
    inner = range(found.before + 1, found.after)
    if is_too_small(frames) or not inner:
        return None
    explained = ExplainedFrames.of(frames, found, reach)
    errors = explained.mixed_errors()
    outgoing, incoming = explained.clean_errors()
    distances = np.arange(1, len(inner) + 1)
    expected = (1 - found.mix) * _expected_errors(outgoing, distances)
    expected += found.mix * _expected_errors(incoming, distances[::-1])
    apart = squared_difference(frames[found.before], frames[found.after])
    excess = np.maximum(0, errors - EXCESS * expected - ERROR_FLOOR).mean() / apart
    unrest = _unrest(frames, (found.before, found.after), reach)
    ratio = float(errors.mean() / (expected.mean() + ERROR_FLOOR))
    clean = min(len(outgoing), len(incoming))
    return Misfit(ratio, float(excess), *unrest, clean)


def verdict_of(measured: Misfit, kind: str) -> Verdict:
    """Return what a misfit says of the model of a kind of transition."""
    is_placed = TRANSITION_KINDS[kind].undo == "placement"
    is_unexplained = _reaches(measured, UNEXPLAINED_PLACED if is_placed else UNEXPLAINED)
    if is_unexplained and measured.clean >= LEAST_CLEAN:
        return Verdict.UNEXPLAINED
    if _reaches(measured, DOUBTFUL_PLACED if is_placed else DOUBTFUL):
        return Verdict.DOUBTFUL
    return Verdict.EXPLAINED


def _reaches(measured: Misfit, limits: MisfitLimits) -> bool:
    """Return whether a misfit reaches limits."""
    if measured.ratio >= limits.ratio and measured.excess >= limits.excess:
        return True
    return max(measured.added) >= LEAST_ADDED and measured.unrest >= limits.unrest


def _expected_errors(clean: Curve, distances: npt.NDArray[np.intp]) -> Curve:
    """Return the squared error that is expected at each distance, ``(n,)``.

    clean: of the clean frames at the distances 1, 2, ...; it may be empty.
    """
    if not len(clean):
        return np.full(len(distances), UNKNOWN_ERROR)
    beyond = float(clean[-NEARER - 1 :].max())
    return np.array(
        [
            float(clean[max(0, distance - NEARER) : distance + FURTHER].max())
            if distance <= len(clean)
            else beyond * min(MOST_GROWTH, (distance / len(clean)) ** GROWTH)
            for distance in distances.tolist()
        ]
    )


def _unrest(
    frames: Array, sides: tuple[int, int], reach: tuple[int, int]
) -> tuple[float, tuple[int, int]]:
    """Return ``unrest`` and ``added`` of :class:`Misfit`. sides: the clean frames."""
    (before, after), (low, high) = sides, reach
    outgoing, incoming = (
        _unrest_of_side([_lasting_change(frames, time, reach) for time in times])
        for times in (
            range(before, max(low, before - FAR), -1),
            range(after + 1, min(high, after + FAR) + 1),
        )
    )
    return max(outgoing[0], incoming[0]), (outgoing[1], incoming[1])


def _unrest_of_side(changes: Sequence[float]) -> tuple[float, int]:
    """Return ``unrest`` and ``added`` of :class:`Misfit` for one side.

    changes: squared changes to the frames of this side, the nearest one first.
    """
    if len(changes) < FEWEST:
        return 0.0, 0
    usual = float(np.median(changes[NEAR:]))
    # One step may be large by chance, as where a repeated frame is before it.
    unrest = sorted(changes[:NEXT])[-2] / (usual + STEP_FLOOR)
    added = 0
    for number, change in enumerate(changes[:MOST_ADDED]):
        if number > added + 1:
            break  # two frames at rest end the effect
        if change > ACTIVE * usual + ACTIVE_FLOOR:
            added = number + 1
    return unrest, added


def _lasting_change(frames: Array, time: int, reach: tuple[int, int]) -> float:
    """Return the squared change from the frame before ``time`` to it, as far as it lasts.

    A flash changes one frame, and the frames around it are alike.
    """
    pairs = [(time - 1, time), (time - 2, time), (time - 1, time + 1)]
    inside = [(one, other) for one, other in pairs if reach[0] <= one and other <= reach[1]]
    return min(motion_residual(frames[one], frames[other]) ** 2 for one, other in inside)
