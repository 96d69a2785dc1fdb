"""Transitions in which scenes move as a whole: found by making their frames and comparing.

For each effect of :mod:`stages.kinds` that places scenes, :mod:`stages.find.paths` composes frames
from the two clean frames beside the transition. The effect that leaves the smallest squared error
is accepted where that is far smaller than what the clean frames alone leave.
Axes: T frames.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.find.curve import Curve, MeasuredWeights, squared_difference
from stages.find.curve_prior import ends, rising, smooth_curve
from stages.find.features import is_too_small
from stages.find.pans import is_pan_for_push
from stages.find.paths import (
    PROGRESS_STEPS,
    SHORTEST,
    Effects,
    PathProblem,
    ProgressPath,
    best_path,
    placing_effects,
)
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds import TRANSITION_KINDS

ROUNDS = 3  # of moving the ends
# The most squared error that the composed frames may leave, as part of what the nearer of the two
# clean frames leaves. On synthetic transitions of real shots the right effect left 0.04 to 0.28,
# others from 0.5 on.
MOST_ERROR = 0.4
# Part of a frame's usual step from which a frame beside the transition counts as mixed, too.
ON_THE_WAY = 0.5
STEP_ERROR = 0.2 / (PROGRESS_STEPS - 1)  # standard error of the progress: a fifth of a step


def find_placement(
    stretch: Stretch,
    before: int,
    after: int,
    most_error: float = MOST_ERROR,
    *,
    around_fade: bool = False,
    two_shots: bool = False,
) -> TransitionFit | None:
    """Return the transition near two frames in which scenes move as a whole, or None.

    before, after: roughly the last clean frame before it and the first one after it.
    most_error: as :data:`MOST_ERROR`. around_fade: look for kinds that are found around a fade
    (:attr:`stages.kinds.base.TransitionKind.found_around_fade`), not for the others.
    two_shots: as of :func:`stages.find.pans.is_pan_for_push`.
    """
    if is_too_small(stretch.frames):
        return None
    rough = _rough_ends(stretch, (before, after), placing_effects(around_fade))
    if rough is None:
        return None
    sides = _with_mixed_ends(stretch, rough)
    path = best_path(PathProblem.of(stretch, sides, sides), rough.effect)
    if path.error > most_error * path.unplaced_error() or _is_pan(stretch, path, two_shots):
        return None
    return _transition(stretch, path)


def best_placement(stretch: Stretch, before: int, after: int) -> TransitionFit:
    """Return the transition with moving scenes that explains the frames of a transition best.

    before, after: the clean frames next to it.
    """
    found = [
        placement_between(stretch, before, after, kind.name, None)
        for kind in TRANSITION_KINDS.values()
        if kind.effects and not kind.found_around_fade
    ]
    return min(found, key=lambda one: one.relative_error)


def placement_between(
    stretch: Stretch, before: int, after: int, kind: str, effect: str | None
) -> TransitionFit:
    """Return the transition of a given kind between two clean frames.

    before, after: the clean frames next to it. kind: one that is undone by placements. effect: the
    one of its effects that it has; the one that explains the frames best unless given.
    """
    effects = TRANSITION_KINDS[kind].effects
    names = [effect] if effect is not None and effect in effects else list(effects)
    tried = {(kind, name): effects[name] for name in names}
    sides = before, after
    return _transition(stretch, best_path(PathProblem.of(stretch, sides, sides), tried))


def measured_progress(stretch: Stretch, found: TransitionFit) -> Curve:
    """Return how far a transition has come in each of its frames, ``(T,)`` in [0, 1].

    It is not smoothed over time.
    """
    sides, effect = (found.before, found.after), {(found.kind, found.effect or ""): found.placer}
    return best_path(PathProblem.of(stretch, sides, sides), effect).progress


class _RoughEnds(NamedTuple):
    """Roughly the clean frames beside a transition, and the only effect that it may have."""

    sides: tuple[int, int]
    effect: Effects


def _rough_ends(stretch: Stretch, sides: tuple[int, int], effects: Effects) -> _RoughEnds | None:
    """Return the ends of the transition near two frames, or None where it is too short.

    The effect that explains most of a wider window is the only one that is tried then. Its progress
    tells better ends, until these no longer change.
    """
    window = clean = stretch.widened(*sides)
    seen: set[tuple[int, int]] = set()
    for _ in range(ROUNDS):
        path = best_path(PathProblem.of(stretch, clean, window), effects)
        effects = {(path.kind, path.effect): path.placer}
        clean = ends(_weights_of(path, window), robust=True)
        if clean[1] - clean[0] < SHORTEST:
            return None
        if clean in seen:
            break
        seen.add(clean)
        window = stretch.widened(*clean)
    return _RoughEnds(clean, effects)


def _with_mixed_ends(stretch: Stretch, rough: _RoughEnds) -> tuple[int, int]:
    """Return the clean frames beside a transition, moved outwards where they are mixed themselves.

    A mixed frame that is taken for a clean one seems to be at the very beginning or end, because it
    is compared with itself. So it is compared with the frames further out.
    """
    sides = rough.sides
    for _ in range(ROUNDS):
        before, after = sides
        outer = max(stretch.low, before - 1), min(stretch.high, after + 1)
        progress = best_path(PathProblem.of(stretch, outer, outer), rough.effect).progress
        usual = float(np.median(np.diff(progress)))
        least = max(ON_THE_WAY * usual, 1 / (PROGRESS_STEPS - 1))
        early = progress[: before - outer[0]]
        late = progress[after - outer[0] - 1 :]
        sides = before - int((early > least).any()), after + int((late < 1 - least).any())
        if sides == (before, after):
            break
    return sides


def _is_pan(stretch: Stretch, path: ProgressPath, two_shots: bool) -> bool:
    """Return whether what looks like scenes that move as a whole is one view that moves.

    two_shots: as of :func:`stages.find.pans.is_pan_for_push`.
    """
    cameras_move = path.problem.cameras is not None
    if not (TRANSITION_KINDS[path.kind].resembles_pan or cameras_move):
        return False
    before, after = path.problem.sides
    placements = [path.placer(float(value), stretch.aspect) for value in path.progress]
    return all(one.is_shifted for one in placements) and is_pan_for_push(
        stretch.frames[before : after + 1],
        placements,
        two_shots=two_shots,
        cameras_move=cameras_move,
    )


def _weights_of(path: ProgressPath, window: tuple[int, int]) -> MeasuredWeights:
    """Return the progress in the frames inside a window as measured weights."""
    count = len(path.progress)
    return MeasuredWeights(*window, path.progress, np.full(count, STEP_ERROR), np.zeros(count))


def _transition(stretch: Stretch, path: ProgressPath) -> TransitionFit:
    """Return the transition of a path that fills the frames between its two clean ones."""
    before, after = sides = path.problem.sides
    height, width = stretch.frames.shape[1:3]
    progress = smooth_curve(_weights_of(path, sides))
    mix = np.array(
        [path.placer(float(value), stretch.aspect).mean_weight(height, width) for value in progress]
    )
    apart = squared_difference(stretch.frames[before], stretch.frames[after])
    error = float(path.errors.mean()) / apart
    return TransitionFit(
        before, after, rising(mix), path.kind, relative_error=error, effect=path.effect
    )
