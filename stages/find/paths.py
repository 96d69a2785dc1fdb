"""The rising progress with which one effect that places scenes explains some frames best.

The frames of all progresses are composed from two clean frames. Each mixed frame takes the progress
whose composed frame is nearest to it, while the progress may not fall. If the cameras pan, the
clean frames are also taken as they would look if each camera went on. That is done for small
frames first, and only for some of them, because every mixed frame then has composed frames of its
own. Full-size frames are composed for the best effect alone, near the progress that it had there.
Axes: T frames, P values of the progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.find.composed import composed_frames, errors_of_moving_scenes, layout_of
from stages.find.curve import NOISE, Curve
from stages.find.features import Array, channels_first, resized
from stages.find.stretch import Stretch
from stages.find.track import Cameras, Params, moved_on
from stages.kinds import TRANSITION_KINDS
from stages.kinds.base import Placer

PROGRESS_STEPS = 65  # values of the progress that are tried: a small frame's 1.5 pixels each
QUICK_SCALE = 3  # how much smaller the frames of a quick look are
QUICK_STEPS = 33  # values of the progress that it tries
FEW_STEPS = 17  # values that it tries where every frame has composed frames of its own
MOST_FRAMES = 12  # frames of which it composes that many
LIKELIEST = 4  # effects that are the best of small frames, and are tried in those of full size
BAND = 3  # steps around the progress of a quick look at which full-size frames are composed
SHORTEST = 3  # frames from the last clean one to the first clean one
UNTRIED = 1e3  # cost of a progress that was not tried: no error of a frame is as large

Effects = Mapping[tuple[str, str], Placer]
"""How effects place scenes, by the kind and the effect."""


def placing_effects(around_fade: bool = False) -> Effects:
    """Return the effects that place scenes.

    around_fade: those of the kinds that are found around a fade, not those of the others.
    """
    return {
        (kind.name, effect): placer
        for kind in TRANSITION_KINDS.values()
        if kind.found_around_fade == around_fade
        for effect, placer in kind.effects.items()
    }


@dataclass(frozen=True)
class PathProblem:
    """Frames to be explained by placed scenes.

    frames: of the clip, ``(T, H, W, 3)``. sides: the two that show the scenes alone.
    times: of those that are explained. cameras: of both scenes, if they move.
    """

    frames: Array
    sides: tuple[int, int]
    times: tuple[int, ...]
    cameras: Cameras | None = None

    @classmethod
    def of(cls, stretch: Stretch, sides: tuple[int, int], window: tuple[int, int]) -> PathProblem:
        """Return the problem of placing two clean frames in those inside a window."""
        times = tuple(range(window[0] + 1, window[1]))
        return cls(stretch.frames, sides, times, stretch.cameras(*sides))

    @property
    def scenes(self) -> tuple[Tensor, Tensor]:
        """The two clean frames, ``(3, H, W)`` each."""
        one, other = (channels_first(self.frames[side]) for side in self.sides)
        return one, other

    @property
    def speeds(self) -> tuple[Params, Params]:
        """The motion of each camera in a frame."""
        return (self.cameras or Cameras()).speeds

    @property
    def inner(self) -> Tensor:
        """The frames to be explained, ``(T, 3, H, W)``."""
        return channels_first(self.frames[list(self.times)])

    def small(self) -> PathProblem:
        """Return the same with the small frames of a quick look."""
        low = min(*self.sides, *self.times)
        high = max(*self.sides, *self.times)
        size = self.frames.shape[1] // QUICK_SCALE, self.frames.shape[2] // QUICK_SCALE
        frames = resized(self.frames[low : high + 1], *size)
        before, after = self.sides
        times = tuple(time - low for time in self.times)
        return PathProblem(frames, (before - low, after - low), times, self.cameras)

    def sampled(self) -> PathProblem:
        """Return the same for some of the frames alone, evenly spread."""
        if len(self.times) <= MOST_FRAMES:
            return self
        chosen = np.linspace(0, len(self.times) - 1, MOST_FRAMES).round().astype(int)
        return replace(self, times=tuple(self.times[place] for place in chosen))

    def rows_in(self, whole: PathProblem) -> npt.NDArray[np.intp]:
        """Return which of the frames of a problem those of this part of it are."""
        return np.searchsorted(whole.times, self.times)

    def scene_shifts(self) -> tuple[Tensor, Tensor]:
        """Return how far each scene has moved on in the frames to be explained, ``(T, 2)`` each.

        The units are those of ``grid_sample``: half widths and half heights.
        """
        height, width = self.frames.shape[1:3]
        times = np.array(self.times)
        one, other = (
            torch.from_numpy(
                np.outer(times - side, [speed[0], speed[3] * width / height]).astype(np.float32)
            )
            for side, speed in zip(self.sides, self.speeds, strict=True)
        )
        return one, other


@dataclass(frozen=True)
class ProgressPath:
    """The rising progress ``(T,)`` of one effect that leaves the least, and the errors it leaves.

    errors: mean squared error of each frame, ``(T,)``. problem: what it solves. It has cameras
    where the scenes go on with them.
    """

    problem: PathProblem
    kind: str
    effect: str
    progress: Curve
    errors: Curve

    @property
    def error(self) -> float:
        """The mean error of all frames."""
        return float(self.errors.mean())

    @property
    def placer(self) -> Placer:
        """How the effect places the scenes."""
        return TRANSITION_KINDS[self.kind].effects[self.effect]

    def unplaced_error(self) -> float:
        """Return the mean squared error of the nearer of the two clean frames, unplaced.

        Where the scenes go on with their cameras, the clean frames are also carried by these.
        """
        problem = self.problem
        inner = problem.frames[list(problem.times)]
        nearest = np.full(len(inner), np.inf)
        for side, speed in zip(problem.sides, problem.speeds, strict=True):
            clean = problem.frames[side]
            nearest = np.minimum(nearest, ((inner - clean) ** 2).mean((1, 2, 3)))
            if speed.any():
                seen = np.stack([moved_on(clean, speed * (time - side)) for time in problem.times])
                nearest = np.minimum(nearest, ((inner - seen) ** 2).mean((1, 2, 3)))
        return float(nearest.mean()) + NOISE


def best_path(problem: PathProblem, effects: Effects) -> ProgressPath:
    """Return the path of the effect that leaves the least error, at full size."""
    small = problem.small()
    held = _best_still_path(
        problem, likeliest_effects(replace(small, cameras=None), effects), PROGRESS_STEPS
    )
    if problem.cameras is None:
        return held
    best = _best_moving_path(small.sampled(), effects, FEW_STEPS)
    name = best.kind, best.effect
    rough = _moving_path(small, name, effects[name], QUICK_STEPS)
    return min(held, _refined_path(problem, rough, effects[name]), key=_error)


def quick_path(problem: PathProblem, effects: Effects, carried: Effects) -> ProgressPath:
    """Return the path of least error for small frames, from few values of the progress.

    effects: those that are tried with scenes that stand still. carried: those that are tried where
    the cameras move; their path may be one of some of the frames alone.
    """
    held = _best_still_path(problem, effects, QUICK_STEPS)
    if problem.cameras is None:
        return held
    sampled = problem.sampled()
    best = _best_moving_path(sampled, carried, FEW_STEPS)
    is_better = best.error < float(held.errors[sampled.rows_in(problem)].mean())
    return best if is_better else held


def likeliest_effects(problem: PathProblem, effects: Effects) -> Effects:
    """Return the few effects that leave the least error in small frames."""
    if len(effects) <= LIKELIEST:
        return effects
    if problem.cameras is None:
        paths = [_still_path(problem, *item, QUICK_STEPS) for item in effects.items()]
    else:
        paths = [_moving_path(problem.sampled(), *item, FEW_STEPS) for item in effects.items()]
    names = [(path.kind, path.effect) for path in sorted(paths, key=_error)]
    return {name: effects[name] for name in names[:LIKELIEST]}


def _best_still_path(problem: PathProblem, effects: Effects, steps: int) -> ProgressPath:
    """Return the best path between scenes that stand still."""
    still = replace(problem, cameras=None)
    return min((_still_path(still, *item, steps) for item in effects.items()), key=_error)


def _best_moving_path(problem: PathProblem, effects: Effects, steps: int) -> ProgressPath:
    """Return the best path between scenes whose cameras go on."""
    return min((_moving_path(problem, *item, steps) for item in effects.items()), key=_error)


def _error(path: ProgressPath) -> float:
    return path.error


def _still_path(
    problem: PathProblem, name: tuple[str, str], placer: Placer, steps: int
) -> ProgressPath:
    """Return the best path of one effect between scenes that stand still."""
    composed = composed_frames(problem.scenes, placer, steps)
    inner = problem.inner
    cost = torch.cdist(inner.flatten(1), composed.flatten(1)) ** 2 / inner[0].numel()
    return _least_path(problem, name, cost.double().numpy())


def _moving_path(
    problem: PathProblem, name: tuple[str, str], placer: Placer, steps: int
) -> ProgressPath:
    """Return the best path of one effect between scenes whose cameras go on."""
    _, height, width, _ = problem.frames.shape
    layout = layout_of(placer, height, width, steps)
    cost = errors_of_moving_scenes(problem.inner, problem.scenes, layout, problem.scene_shifts())
    return _least_path(problem, name, cost.double().numpy())


def _refined_path(problem: PathProblem, rough: ProgressPath, placer: Placer) -> ProgressPath:
    """Return a path that was found in small frames, measured in those of full size."""
    _, height, width, _ = problem.frames.shape
    layout = layout_of(placer, height, width, PROGRESS_STEPS)
    middle = np.rint(rough.progress * (PROGRESS_STEPS - 1)).astype(int)
    places = np.clip(middle, BAND, PROGRESS_STEPS - 1 - BAND)[:, None] + np.arange(-BAND, BAND + 1)
    errors = errors_of_moving_scenes(
        problem.inner, problem.scenes, layout, problem.scene_shifts(), torch.from_numpy(places)
    )
    cost = np.full((len(places), PROGRESS_STEPS), UNTRIED)
    np.put_along_axis(cost, places, errors.double().numpy(), axis=1)
    return _least_path(problem, (rough.kind, rough.effect), cost)


def _least_path(
    problem: PathProblem, name: tuple[str, str], cost: npt.NDArray[np.float64]
) -> ProgressPath:
    """Return the path of least cost. cost: mean squared errors ``(T, P)``."""
    chosen = _rising_columns(cost)
    errors = cost[np.arange(len(cost)), chosen]
    return ProgressPath(problem, *name, _minima_around(cost, chosen) / (cost.shape[1] - 1), errors)


def _rising_columns(cost: Curve) -> npt.NDArray[np.int64]:
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


def _minima_around(cost: Curve, steps: npt.NDArray[np.int64]) -> Curve:
    """Return the minimum of the parabola through the costs around each step, ``(T,)``."""
    rows, inner = np.arange(len(cost)), np.clip(steps, 1, cost.shape[1] - 2)
    low, middle, high = (cost[rows, inner + more] for more in (-1, 0, 1))
    bend = low - 2 * middle + high
    shift = np.clip(0.5 * (low - high) / np.maximum(bend, 1e-12), -0.5, 0.5)
    is_known = (steps == inner) & (bend > 0) & (np.maximum(low, high) < UNTRIED)
    return np.where(is_known, steps + shift, steps)
