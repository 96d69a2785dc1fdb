"""Transitions in which scenes move as a whole: found by making their frames and comparing.

For each effect of :mod:`stages.kinds` that places scenes, :mod:`stages.find.paths` composes frames
from the two clean frames beside the transition. The effect that leaves the smallest squared error
is accepted where that is far smaller than what the clean frames alone leave.
Axes: T frames, P values of the progress.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from stages.find.composed import grid_of
from stages.find.curve import Curve, MeasuredWeights, squared_difference
from stages.find.curve_prior import ends, rising, smooth_curve
from stages.find.pans import is_pan_for_push
from stages.find.paths import (
    PROGRESS_STEPS,
    Effects,
    PathProblem,
    ProgressPath,
    best_path,
    likeliest,
    quick_path,
)
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds import TRANSITION_KINDS
from stages.kinds.base import Placement, Placer, pixel_places
from stages.mixing.blend import blend
from stages.motion import flow

ROUNDS = 3  # of moving the ends
LEAST_SIDE = 16  # pixels; a smaller picture shows no motion
SHORTEST = 3  # frames from the last clean one to the first clean one
# The most squared error that the composed frames may leave, as part of what the nearer of the two
# clean frames leaves. On synthetic transitions of real shots the right effect left 0.04 to 0.28,
# others from 0.5 on.
MOST_LEFT = 0.4
# The most error that an effect may leave in the quick look, as part of the error without any
# movement. It is loose, because the quick look takes small frames, which blur the seams.
QUICK_LEFT = 0.5
# The same between frames that lie far outside of the transition. A drawn push behind 12 frames of a
# moving camera left 0.55 there, and 0.13 between its own clean frames.
WIDE_LEFT = 0.75
# Part of a frame's usual step from which a frame beside the transition counts as mixed, too.
ON_THE_WAY = 0.5
BISECTIONS = 20  # halvings of the interval that the progress lies in
STEP_ERROR = 0.2 / (PROGRESS_STEPS - 1)  # standard error of the progress: a fifth of a step


@dataclass(frozen=True)
class _QuickLook:
    """What the best effect explains between two clean frames, at a small size.

    left: squared error that it leaves, as a part of the error without any movement. It is infinite
    where nothing can be told.
    explained: squared error that it takes away, summed over the frames. Only what exceeds a part of
    1 - :data:`QUICK_LEFT` counts, so it is negative where the effect explains little.
    """

    left: float = np.inf
    explained: float = -np.inf


def place(scenes: tuple[Tensor, Tensor], placement: Placement) -> Tensor:
    """Return the frame in which two scenes are placed, ``(C, H, W)``.

    scenes: the outgoing and the incoming one, ``(C, H, W)`` each. Borders are repeated outwards.
    """
    height, width = scenes[0].shape[-2:]
    aspect = height / width
    x, y = pixel_places(height, width, aspect)
    weight = placement.weight(x, y, aspect, 1 / width)
    outgoing = sample(scenes[0], *placement.outgoing(x, y))
    incoming = sample(scenes[1], *placement.incoming(x, y))
    return blend(outgoing, incoming, weight)


def sample(scene: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return a scene ``(C, H, W)`` at places ``(h, w)`` in picture widths, bilinear."""
    grid = grid_of(x, y, scene.shape[-2] / scene.shape[-1])
    return flow.sample(scene[None], grid[None])[0]


def find_placement(
    stretch: Stretch,
    before: int,
    after: int,
    most_left: float = MOST_LEFT,
    *,
    around_fade: bool = False,
    two_shots: bool = False,
) -> TransitionFit | None:
    """Return the transition near two frames in which scenes move as a whole, or None.

    before, after: roughly the last clean frame before it and the first one after it.
    most_left: as :data:`MOST_LEFT`. around_fade: look for kinds that are found around a fade
    (:attr:`stages.kinds.base.TransitionKind.found_around_fade`), not for the others.
    two_shots: as of :func:`stages.find.pans.is_pan_for_push`.
    """
    if min(stretch.frames.shape[1:3]) < LEAST_SIDE:
        return None
    effects: Effects = _effects(around_fade)
    seen: set[tuple[int, int]] = set()
    sides = stretch.widened(before, after)
    for _ in range(ROUNDS):
        window = stretch.widened(before, after)
        path = best_path(_problem(stretch, sides, window), effects)
        effects = {(path.kind, path.effect): effects[path.kind, path.effect]}
        before, after = ends(_measured(path, window), robust=True)
        if after - before < SHORTEST:
            return None
        sides = before, after
        if sides in seen:
            break
        seen.add(sides)
    sides = _with_mixed_ends(stretch, sides, effects)
    path = best_path(_problem(stretch, sides, sides), effects)
    if path.error > most_left * path.unplaced():
        return None
    cameras_move = path.problem.cameras is not None
    if TRANSITION_KINDS[path.kind].resembles_pan or cameras_move:
        (placer,) = effects.values()
        placements = [placer(float(value), stretch.aspect) for value in path.progress]
        shown = stretch.frames[sides[0] : sides[1] + 1]
        if all(one.is_shifted for one in placements) and is_pan_for_push(
            shown, placements, two_shots=two_shots, cameras_move=cameras_move
        ):
            return None
    return _transition(stretch, path, sides, effects)


def _problem(stretch: Stretch, sides: tuple[int, int], window: tuple[int, int]) -> PathProblem:
    """Return the problem of placing two clean frames in those of a window."""
    times = tuple(range(window[0] + 1, window[1]))
    return PathProblem(stretch.frames, sides, times, stretch.cameras(*sides))


def _with_mixed_ends(stretch: Stretch, sides: tuple[int, int], effects: Effects) -> tuple[int, int]:
    """Return the clean frames beside a transition, moved outwards where they are mixed themselves.

    A mixed frame that is taken for a clean one seems to be at the very beginning or end, because it
    is compared with itself. So it is compared with the frames further out. effects: only the one of
    the transition.
    """
    for _ in range(ROUNDS):
        before, after = sides
        outer = max(stretch.low, before - 1), min(stretch.high, after + 1)
        path = best_path(_problem(stretch, outer, outer), effects)
        usual = float(np.median(np.diff(path.progress)))
        least = max(ON_THE_WAY * usual, 1 / (PROGRESS_STEPS - 1))
        early = path.progress[: before - outer[0]]
        late = path.progress[after - outer[0] - 1 :]
        sides = before - int((early > least).any()), after + int((late < 1 - least).any())
        if sides == (before, after):
            break
    return sides


def _effects(around_fade: bool = False) -> dict[tuple[str, str], Placer]:
    """Return the effects of all kinds that are found around a fade, or of all others.

    The keys are the kind and the effect.
    """
    return {
        (kind.name, effect): placer
        for kind in TRANSITION_KINDS.values()
        if kind.found_around_fade == around_fade
        for effect, placer in kind.effects.items()
    }


def may_be_placed(stretch: Stretch, before: int, after: int) -> bool:
    """Return whether a quick look finds scenes that move as a whole between two clean frames.

    It costs a small part of :func:`find_placement`.
    """
    return _quick_look(stretch, before, after).left <= QUICK_LEFT


def narrowed(stretch: Stretch, before: int, after: int) -> tuple[int, int] | None:
    """Return the frames inside of two between which scenes move as a whole, or None.

    The given frames may lie far outside of the transition. If the scenes move by themselves, such
    frames explain little of it, and nearer ones explain more. So each side moves inwards, by ever
    smaller steps, as long as a quick look explains more squared error. The sum over all frames
    counts, because two frames of a still shot explain the few changes between them perfectly.
    """
    if not _is_large(stretch, before, after):
        return None
    carried = likeliest(_small(stretch, before, after), _effects())
    look = _quick_look(stretch, before, after, carried)
    if look.left > WIDE_LEFT:
        return None
    step = (after - before) // 4
    while step:
        looks = {
            sides: _quick_look(stretch, *sides, carried)
            for sides in ((before + step, after), (before, after - step))
        }
        best = max(looks, key=lambda sides: looks[sides].explained)
        if looks[best].explained > look.explained:
            look, (before, after) = looks[best], best
        else:
            step //= 2
    return (before, after) if look.left <= QUICK_LEFT else None


def _quick_look(
    stretch: Stretch, before: int, after: int, carried: Effects | None = None
) -> _QuickLook:
    """Return what the best effect leaves between two clean frames.

    It takes small frames and few values of the progress. carried: the effects that are tried where
    the cameras move; all unless given.
    """
    if not _is_large(stretch, before, after):
        return _QuickLook()
    effects = _effects()
    best = quick_path(_small(stretch, before, after), effects, carried or effects)
    unplaced = best.unplaced()
    left = best.error / unplaced
    return _QuickLook(left, (QUICK_LEFT - left) * unplaced * (after - before - 1))


def _is_large(stretch: Stretch, before: int, after: int) -> bool:
    """Return whether frames are large enough, and enough, to show scenes that move as a whole."""
    return min(stretch.frames.shape[1:3]) >= LEAST_SIDE and after - before >= SHORTEST


def _small(stretch: Stretch, before: int, after: int) -> PathProblem:
    """Return the problem of placing two clean frames in those between them, made small."""
    return _problem(stretch, (before, after), (before, after)).small()


def best_placement(stretch: Stretch, before: int, after: int) -> TransitionFit:
    """Return the transition with moving scenes that explains the frames of a transition best.

    before, after: the clean frames next to it.
    """
    found = [
        placement_between(stretch, before, after, kind.name, None)
        for kind in TRANSITION_KINDS.values()
        if kind.effects and not kind.found_around_fade
    ]
    return min(found, key=lambda one: one.left)


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
    path = best_path(_problem(stretch, sides, sides), tried)
    return _transition(stretch, path, sides, tried)


def measured_progress(stretch: Stretch, found: TransitionFit) -> Curve:
    """Return how far a transition has come in each of its frames, ``(T,)`` in [0, 1].

    It is not smoothed over time.
    """
    name, sides = (found.kind, found.effect or ""), (found.before, found.after)
    effects = {name: TRANSITION_KINDS[name[0]].effects[name[1]]}
    return best_path(_problem(stretch, sides, sides), effects).progress


def progress_of(placer: Placer, weight: float, size: tuple[int, int]) -> float:
    """Return the progress at which the incoming scene has a mean weight, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if placer(middle, size[0] / size[1]).mean_weight(*size) < weight:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _measured(path: ProgressPath, window: tuple[int, int]) -> MeasuredWeights:
    error = np.full(len(path.progress), STEP_ERROR)
    return MeasuredWeights(*window, path.progress, error, np.zeros(len(path.progress)))


def _transition(
    stretch: Stretch, path: ProgressPath, sides: tuple[int, int], effects: Effects
) -> TransitionFit:
    """Return the transition of a path between the clean frames next to it."""
    placer = effects[path.kind, path.effect]
    before, after = sides
    height, width = stretch.frames.shape[1:3]
    progress = smooth_curve(_measured(path, sides))
    mix = np.array(
        [placer(float(value), stretch.aspect).mean_weight(height, width) for value in progress]
    )
    apart = squared_difference(stretch.frames[before], stretch.frames[after])
    left = float(path.errors.mean()) / apart
    return TransitionFit(before, after, rising(mix), path.kind, left=left, effect=path.effect)
