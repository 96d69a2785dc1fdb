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

from stages.find.composed import composed_frames, errors_on_the_way, layout_of
from stages.find.curve import NOISE, Curve
from stages.find.features import Array, resized
from stages.find.track import Cameras, Params, moved_on
from stages.kinds.base import Placer

PROGRESS_STEPS = 65  # values of the progress that are tried: a small frame's 1.5 pixels each
QUICK_SCALE = 3  # how much smaller the frames of a quick look are
QUICK_STEPS = 33  # values of the progress that it tries
FEW_STEPS = 17  # values that it tries where every frame has composed frames of its own
MOST_FRAMES = 12  # frames of which it composes that many
LIKELIEST = 4  # effects that are the best of small frames, and are tried in those of full size
BAND = 3  # steps around the progress of a quick look at which full-size frames are composed
UNTRIED = 1e3  # cost of a progress that was not tried: no error of a frame is as large

Effects = Mapping[tuple[str, str], Placer]
"""How effects place scenes, by the kind and the effect."""


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

    @property
    def scenes(self) -> tuple[Tensor, Tensor]:
        """The two clean frames, ``(3, H, W)`` each."""
        one, other = (pixels_of(self.frames[side]) for side in self.sides)
        return one, other

    @property
    def speeds(self) -> tuple[Params, Params]:
        """How far each camera moves in each frame."""
        return (self.cameras or Cameras()).speeds

    @property
    def inner(self) -> Tensor:
        """The frames to be explained, ``(T, 3, H, W)``."""
        part = self.frames[list(self.times)]
        return torch.from_numpy(np.ascontiguousarray(part.transpose(0, 3, 1, 2)))

    def small(self) -> PathProblem:
        """Return the same with the small frames of a quick look."""
        low = min(*self.sides, *self.times)
        high = max(*self.sides, *self.times)
        size = self.frames.shape[1] // QUICK_SCALE, self.frames.shape[2] // QUICK_SCALE
        frames = resized(self.frames[low : high + 1], *size)
        before, after = self.sides
        times = tuple(time - low for time in self.times)
        return PathProblem(frames, (before - low, after - low), times, self.cameras)

    def few(self) -> PathProblem:
        """Return the same for some of the frames alone, evenly spread."""
        if len(self.times) <= MOST_FRAMES:
            return self
        chosen = np.linspace(0, len(self.times) - 1, MOST_FRAMES).round().astype(int)
        return replace(self, times=tuple(self.times[place] for place in chosen))

    def places_in(self, whole: PathProblem) -> npt.NDArray[np.intp]:
        """Return which of the frames of a problem those of this part of it are."""
        return np.searchsorted(whole.times, self.times)

    def moved(self) -> tuple[Tensor, Tensor]:
        """Return how far each scene has moved on in the frames to be explained, ``(T, 2)`` each.

        In the units of ``grid_sample``.
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

    def unplaced(self) -> float:
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
    """Return the best progress of the effect that leaves the least of some frames."""
    small = problem.small()
    held = _best(problem, likeliest(replace(small, cameras=None), effects), PROGRESS_STEPS)
    if problem.cameras is None:
        return held
    best = _best_carried(small.few(), effects, FEW_STEPS)
    name = best.kind, best.effect
    rough = _carried(small, name, effects[name], QUICK_STEPS)
    return min(held, _refined(problem, rough, effects[name]), key=_error)


def quick_path(problem: PathProblem, effects: Effects, carried: Effects) -> ProgressPath:
    """Return the same for small frames, and from fewer values of the progress.

    carried: the effects that are tried where the cameras move. Their path may be one of some of
    the frames alone.
    """
    held = _best(problem, effects, QUICK_STEPS)
    if problem.cameras is None:
        return held
    few = problem.few()
    best = _best_carried(few, carried, FEW_STEPS)
    is_better = best.error < float(held.errors[few.places_in(problem)].mean())
    return best if is_better else held


def likeliest(problem: PathProblem, effects: Effects) -> Effects:
    """Return the effects that leave the least of small frames."""
    if len(effects) <= LIKELIEST:
        return effects
    if problem.cameras is None:
        paths = [_held(problem, *item, QUICK_STEPS) for item in effects.items()]
    else:
        paths = [_carried(problem.few(), *item, FEW_STEPS) for item in effects.items()]
    names = [(path.kind, path.effect) for path in sorted(paths, key=_error)]
    return {name: effects[name] for name in names[:LIKELIEST]}


def _best(problem: PathProblem, effects: Effects, steps: int) -> ProgressPath:
    """Return the best path between scenes that stand still."""
    still = replace(problem, cameras=None)
    return min((_held(still, *item, steps) for item in effects.items()), key=_error)


def _best_carried(problem: PathProblem, effects: Effects, steps: int) -> ProgressPath:
    """Return the best path between scenes whose cameras go on."""
    return min((_carried(problem, *item, steps) for item in effects.items()), key=_error)


def _error(path: ProgressPath) -> float:
    return path.error


def _held(problem: PathProblem, name: tuple[str, str], placer: Placer, steps: int) -> ProgressPath:
    """Return the best path of one effect between scenes that stand still."""
    composed = composed_frames(problem.scenes, placer, steps)
    inner = problem.inner
    cost = torch.cdist(inner.flatten(1), composed.flatten(1)) ** 2 / inner[0].numel()
    return _path(problem, name, cost.double().numpy())


def _carried(
    problem: PathProblem, name: tuple[str, str], placer: Placer, steps: int
) -> ProgressPath:
    """Return the best path of one effect between scenes whose cameras go on."""
    _, height, width, _ = problem.frames.shape
    layout = layout_of(placer, height, width, steps)
    cost = errors_on_the_way(problem.inner, problem.scenes, layout, problem.moved())
    return _path(problem, name, cost.double().numpy())


def _refined(problem: PathProblem, rough: ProgressPath, placer: Placer) -> ProgressPath:
    """Return a path that was found in small frames, measured in those of full size."""
    _, height, width, _ = problem.frames.shape
    layout = layout_of(placer, height, width, PROGRESS_STEPS)
    middle = np.rint(rough.progress * (PROGRESS_STEPS - 1)).astype(int)
    places = np.clip(middle, BAND, PROGRESS_STEPS - 1 - BAND)[:, None] + np.arange(-BAND, BAND + 1)
    errors = errors_on_the_way(
        problem.inner, problem.scenes, layout, problem.moved(), torch.from_numpy(places)
    )
    cost = np.full((len(places), PROGRESS_STEPS), UNTRIED)
    np.put_along_axis(cost, places, errors.double().numpy(), axis=1)
    return _path(problem, (rough.kind, rough.effect), cost)


def _path(
    problem: PathProblem, name: tuple[str, str], cost: npt.NDArray[np.float64]
) -> ProgressPath:
    """Return the path of least cost. cost: mean squared errors ``(T, P)``."""
    chosen = _rising_path(cost)
    errors = cost[np.arange(len(cost)), chosen]
    return ProgressPath(problem, *name, _between_steps(cost, chosen) / (cost.shape[1] - 1), errors)


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
    is_known = (steps == inner) & (bend > 0) & (np.maximum(low, high) < UNTRIED)
    return np.where(is_known, steps + shift, steps)


def pixels_of(frame: Array) -> Tensor:
    """Return a frame ``(H, W, 3)`` as a tensor ``(3, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))
