"""Transitions in which scenes move as a whole: found by making their frames and comparing.

For each effect of :mod:`stages.kinds` that places scenes, the frames of all progresses are composed
from the two clean frames beside the transition. Each mixed frame takes the progress whose composed
frame is nearest to it, while the progress may not fall. The effect that leaves the smallest squared
error is accepted where that is far smaller than what the clean frames alone leave.
Axes: T frames, P values of the progress.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.find.composed import composed_frames, grid_of
from stages.find.curve import NOISE, Curve, MeasuredWeights, squared_difference
from stages.find.curve_prior import ends, rising, smooth_curve
from stages.find.features import Array, resized
from stages.find.pans import is_pan_for_push
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds import TRANSITION_KINDS
from stages.kinds.base import Placement, Placer, pixel_places
from stages.mixing.blend import blend
from stages.motion import flow

PROGRESS_STEPS = 65  # values of the progress that are tried: a small frame's 1.5 pixels each
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
QUICK_SCALE = 3  # how much smaller the frames of the quick look are
QUICK_STEPS = 33  # values of the progress that it tries
# Part of a frame's usual step from which a frame beside the transition counts as mixed, too.
ON_THE_WAY = 0.5
BISECTIONS = 20  # halvings of the interval that the progress lies in
STEP_ERROR = 0.2 / (PROGRESS_STEPS - 1)  # standard error of the progress: a fifth of a step


@dataclass(frozen=True)
class _Path:
    """The rising progress ``(T,)`` of one effect that leaves the least, and the errors it leaves.

    errors: mean squared error of each frame, ``(T,)``.
    """

    kind: str
    effect: str
    progress: Curve
    errors: Curve


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
    effects = _effects(around_fade)
    seen: set[tuple[int, int]] = set()
    sides = stretch.widened(before, after)
    for _ in range(ROUNDS):
        window = stretch.widened(before, after)
        path = min(
            (_best_path(stretch, sides, window, *item) for item in effects.items()),
            key=lambda path: float(path.errors.sum()),
        )
        effects = {(path.kind, path.effect): effects[path.kind, path.effect]}
        before, after = ends(_measured(path, window), robust=True)
        if after - before < SHORTEST:
            return None
        sides = before, after
        if sides in seen:
            break
        seen.add(sides)
    (name, placer), *_ = effects.items()
    sides = _with_mixed_ends(stretch, sides, name, placer)
    path = _best_path(stretch, sides, sides, name, placer)
    left, unplaced = path.errors.mean(), _unplaced(stretch, *sides)
    if left > most_left * unplaced:
        return None
    if TRANSITION_KINDS[path.kind].resembles_pan:
        placements = [placer(float(value), stretch.aspect) for value in path.progress]
        shown = stretch.frames[sides[0] : sides[1] + 1]
        if is_pan_for_push(shown, placements, two_shots=two_shots):
            return None
    return _transition(stretch, path, sides, placer)


def _with_mixed_ends(
    stretch: Stretch, sides: tuple[int, int], name: tuple[str, str], placer: Placer
) -> tuple[int, int]:
    """Return the clean frames beside a transition, moved outwards where they are mixed themselves.

    A mixed frame that is taken for a clean one seems to be at the very beginning or end, because it
    is compared with itself. So it is compared with the frames further out. Arguments as of
    :func:`_best_path`.
    """
    for _ in range(ROUNDS):
        before, after = sides
        outer = max(stretch.low, before - 1), min(stretch.high, after + 1)
        path = _best_path(stretch, outer, outer, name, placer)
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
    look = _quick_look(stretch, before, after)
    if look.left > WIDE_LEFT:
        return None
    step = (after - before) // 4
    while step:
        looks = {
            sides: _quick_look(stretch, *sides)
            for sides in ((before + step, after), (before, after - step))
        }
        best = max(looks, key=lambda sides: looks[sides].explained)
        if looks[best].explained > look.explained:
            look, (before, after) = looks[best], best
        else:
            step //= 2
    return (before, after) if look.left <= QUICK_LEFT else None


def _quick_look(stretch: Stretch, before: int, after: int) -> _QuickLook:
    """Return what the best effect leaves between two clean frames.

    It takes small frames and few values of the progress.
    """
    height, width = stretch.frames.shape[1:3]
    if min(height, width) < LEAST_SIDE or after - before < SHORTEST:
        return _QuickLook()
    size = height // QUICK_SCALE, width // QUICK_SCALE
    small = Stretch(resized(stretch.frames[before : after + 1], *size), 0, after - before)
    sides = 0, after - before
    best = min(
        float(_best_path(small, sides, sides, name, placer, QUICK_STEPS).errors.mean())
        for name, placer in _effects().items()
    )
    unplaced = _unplaced(small, *sides)
    left = best / unplaced
    return _QuickLook(left, (QUICK_LEFT - left) * unplaced * (after - before - 1))


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
    sides = before, after
    paths = [_best_path(stretch, sides, sides, (kind, name), effects[name]) for name in names]
    path = min(paths, key=lambda path: float(path.errors.sum()))
    return _transition(stretch, path, sides, effects[path.effect])


def measured_progress(stretch: Stretch, found: TransitionFit) -> Curve:
    """Return how far a transition has come in each of its frames, ``(T,)`` in [0, 1].

    It is not smoothed over time.
    """
    name, sides = (found.kind, found.effect or ""), (found.before, found.after)
    return _best_path(
        stretch, sides, sides, name, TRANSITION_KINDS[name[0]].effects[name[1]]
    ).progress


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


def _best_path(
    stretch: Stretch,
    sides: tuple[int, int],
    window: tuple[int, int],
    name: tuple[str, str],
    placer: Placer,
    steps: int = PROGRESS_STEPS,
) -> _Path:
    """Return the best progress of one effect in the frames strictly inside of ``window``.

    sides: the two frames that show the scenes alone. name: the kind and the effect. steps: values
    of the progress that are tried.
    """
    one, other = (pixels_of(stretch.frames[time]) for time in sides)
    frames = stretch.frames[window[0] + 1 : window[1]]
    composed = composed_frames((one, other), placer, steps)
    inner = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
    cost = (torch.cdist(inner.flatten(1), composed.flatten(1)) ** 2 / one.numel()).double().numpy()
    chosen = _rising_path(cost)
    errors = cost[np.arange(len(cost)), chosen]
    return _Path(*name, _between_steps(cost, chosen) / (steps - 1), errors)


def _rising_path(cost: Curve) -> npt.NDArray[np.int64]:
    """Return the column of each row ``(T,)`` that makes the sum of costs least and never falls."""
    total = cost.copy()
    origin = np.zeros(cost.shape, int)
    for row in range(1, len(cost)):
        lowest = np.minimum.accumulate(total[row - 1])
        is_new = np.concatenate([[True], total[row - 1][1:] < lowest[:-1]])
        origin[row] = np.maximum.accumulate(np.where(is_new, np.arange(cost.shape[1]), 0))
        total[row] = cost[row] + lowest
    steps = np.zeros(len(cost), int)
    steps[-1] = int(total[-1].argmin())
    for row in range(len(cost) - 1, 0, -1):
        steps[row - 1] = origin[row, steps[row]]
    return steps


def _between_steps(cost: Curve, steps: npt.NDArray[np.int64]) -> Curve:
    """Return the minimum of the parabola through the costs around each step, ``(T,)``."""
    rows, inner = np.arange(len(cost)), np.clip(steps, 1, cost.shape[1] - 2)
    low, middle, high = (cost[rows, inner + more] for more in (-1, 0, 1))
    bend = low - 2 * middle + high
    shift = np.clip(0.5 * (low - high) / np.maximum(bend, 1e-12), -0.5, 0.5)
    return np.where((steps == inner) & (bend > 0), steps + shift, steps)


def pixels_of(frame: Array) -> Tensor:
    """Return a frame ``(H, W, 3)`` as a tensor ``(3, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))


def _measured(path: _Path, window: tuple[int, int]) -> MeasuredWeights:
    error = np.full(len(path.progress), STEP_ERROR)
    return MeasuredWeights(*window, path.progress, error, np.zeros(len(path.progress)))


def _unplaced(stretch: Stretch, before: int, after: int) -> float:
    """Return the mean squared error of the nearer of two clean frames in those between them."""
    inner = stretch.frames[before + 1 : after]
    errors = [((inner - stretch.frames[time]) ** 2).mean((1, 2, 3)) for time in (before, after)]
    return float(np.minimum(*errors).mean()) + NOISE


def _transition(
    stretch: Stretch, path: _Path, sides: tuple[int, int], placer: Placer
) -> TransitionFit:
    """Return the transition of a path between the clean frames next to it."""
    before, after = sides
    height, width = stretch.frames.shape[1:3]
    progress = smooth_curve(_measured(path, sides))
    mix = np.array(
        [placer(float(value), stretch.aspect).mean_weight(height, width) for value in progress]
    )
    apart = squared_difference(stretch.frames[before], stretch.frames[after])
    left = float(path.errors.mean()) / apart
    return TransitionFit(before, after, rising(mix), path.kind, left=left, effect=path.effect)
