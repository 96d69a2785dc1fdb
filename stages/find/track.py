"""The clean frames on both sides of a transition, carried into it by the motion of each camera.

The camera's motion between two frames of one shot is an affine displacement, six numbers in half
widths of the picture: ``d(x, y) = (p0 + p1 x + p2 y, p3 + p4 x + p5 y)`` with x, y from the middle,
also in half widths. Axes: T frames, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from stages.find.features import Array, is_too_small, median
from stages.find.optical_flow import warped

Params = npt.NDArray[np.float64]
Gray = npt.NDArray[np.float32]

STILL: Params = np.zeros(6)
WORK_WIDTH = 48  # pixels; fine detail moves with the coarse and would cost more
ITERATIONS = 3  # of Gauss-Newton
# How far a frame's motion strays from its neighbour's, in half widths: a prior on the parameters.
SPREAD = np.array([1.0, 0.6, 0.6] * 2) / 40
STILL_BELOW = 0.003  # half widths: a seventh of a pixel of a small frame
CONTINUED = 0.7  # part of its last change with which motion is expected to go on
LEAST_SCALE = 0.006  # error, in [0, 1], that is never taken for an outlier: coding makes as much
LONGEST_STEP = 0.05  # half widths: bound of one Gauss-Newton step
SETTLED = 1e-3  # half widths: a shorter step ends the iterations


@dataclass(frozen=True)
class Grid:
    """Pixel places of an ``(H, W)`` picture in half widths from its middle.

    x, y: ``(H, W)``. unit: pixels in a half width.
    """

    x: Gray
    y: Gray
    unit: float

    @staticmethod
    def of(height: int, width: int) -> Grid:
        """Return the grid of a picture of this size."""
        unit = max(width, 2) / 2
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        return Grid((columns - (width - 1) / 2) / unit, (rows - (height - 1) / 2) / unit, unit)

    def flow(self, motion: Params) -> Gray:
        """Return the displacement ``(H, W, 2)`` in pixels of a camera's ``motion`` ``(6,)``."""
        flow = np.empty((*self.x.shape, 2), np.float32)
        flow[..., 0] = (motion[0] + motion[1] * self.x + motion[2] * self.y) * self.unit
        flow[..., 1] = (motion[3] + motion[4] * self.x + motion[5] * self.y) * self.unit
        return flow

    def are_inside(self, flow: Gray) -> npt.NDArray[np.bool_]:
        """Return which pixels come from inside of the picture, ``(H, W)``. flow: ``(H, W, 2)``."""
        height, width = self.x.shape
        x, y = self.x + flow[..., 0] / self.unit, self.y + flow[..., 1] / self.unit
        is_across = np.abs(x) <= (width - 1) / 2 / self.unit
        is_down = np.abs(y) <= (height - 1) / 2 / self.unit
        return np.asarray(is_across & is_down)


@dataclass(frozen=True)
class MotionProblem:
    """A motion to find: the d with which ``target(x) = weight reference(x + d) + rest`` holds best.

    reference, target, weight, rest: ``(H, W)``; the last two may be numbers.
    counted: ``(H, W)``, the pixels that the fit looks at; all of them unless given.
    """

    reference: Gray
    target: Gray
    weight: Gray | float = 1.0
    rest: Gray | float = 0.0
    counted: npt.NDArray[np.bool_] | None = None


def fit_motion(grid: Grid, problem: MotionProblem, guess: Params) -> Params:
    """Return the motion ``(6,)`` that solves a problem, near ``guess``.

    Robust Gauss-Newton steps, with a prior at ``guess`` for what the pictures do not determine.
    """
    motion = guess.copy()
    for _ in range(ITERATIONS):
        step = _gauss_newton_step(grid, problem, motion, guess)
        motion = motion + np.clip(step, -LONGEST_STEP, LONGEST_STEP)
        if np.abs(step).max() < SETTLED:
            break
    return motion


def _gauss_newton_step(grid: Grid, problem: MotionProblem, motion: Params, guess: Params) -> Params:
    """Return by how much ``motion`` is to be changed; other arguments as of :func:`fit_motion`."""
    flow = grid.flow(motion)
    seen = warped(problem.reference, flow)
    residual = problem.target - problem.rest - problem.weight * seen
    inside, known = grid.are_inside(flow), residual
    if problem.counted is not None:
        inside, known = inside & problem.counted, residual[problem.counted]
    # An outlier weighs less, and what comes from outside of the picture nothing.
    scale = max(1.5 * median(np.abs(known)), LEAST_SCALE)
    weight = inside / (1 + (residual / scale) ** 2) / scale**2 / 4
    across, down = np.zeros_like(seen), np.zeros_like(seen)
    across[:, 1:-1] = (seen[:, 2:] - seen[:, :-2]) / 2
    down[1:-1] = (seen[2:] - seen[:-2]) / 2
    across, down = across * (problem.weight * grid.unit), down * (problem.weight * grid.unit)
    slopes = np.stack(
        [across, across * grid.x, across * grid.y, down, down * grid.x, down * grid.y]
    ).reshape(6, -1)
    weighted = slopes * weight.reshape(1, -1)
    matrix = (weighted @ slopes.T).astype(np.float64) + np.diag(1 / SPREAD**2)
    target = weighted @ residual.reshape(-1) - (motion - guess) / SPREAD**2
    return np.asarray(np.linalg.solve(matrix, target))


def small_grays(frames: Array) -> Gray:
    """Return frames ``(T, H, W, 3)`` as small grey pictures ``(T, h, w)`` to measure motion on."""
    height, width = frames.shape[1:3]
    scale = min(1.0, WORK_WIDTH / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.stack(
        [
            cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
            for frame in frames
        ]
    )


def expected_motion(known: dict[int, Params], near: int, far: int) -> Params:
    """Return the motion that follows those at the times ``far`` and ``near``, a little slower."""
    if far not in known:
        return known[near]
    return known[near] + CONTINUED * (known[near] - known[far])


def camera_speed(frames: Array, clean: int, times: range) -> Params:
    """Return how far a camera pans in each frame, as a motion ``(6,)``, by a fit to clean frames.

    frames: ``(T, H, W, 3)``. clean: the number of the frame from which motion counts. times: those
    of the frames that follow it, or precede it, in turn.
    """
    speed = np.zeros(6)
    if not times or is_too_small(frames):
        return speed
    grays = dict(zip([clean, *times], small_grays(frames[[clean, *times]]), strict=True))
    motions = tracked(grays.__getitem__, clean, times)
    gaps = np.array(times) - clean
    # What turns and zooms is too uncertain to be continued over many frames.
    for axis in (0, 3):
        ways = np.array([motions[time][axis] for time in times])
        speed[axis] = (ways * gaps).sum() / (gaps**2).sum()
    return speed


@dataclass(frozen=True)
class Cameras:
    """How far the cameras of the two scenes of a transition pan in each frame, ``(6,)`` each."""

    outgoing: Params = field(default_factory=lambda: STILL)
    incoming: Params = field(default_factory=lambda: STILL)

    @property
    def speeds(self) -> tuple[Params, Params]:
        """The motions of both cameras, that of the outgoing scene first."""
        return self.outgoing, self.incoming


def moved_on(frame: Array, motion: Params) -> Array:
    """Return a frame ``(H, W, 3)`` as its camera sees it after a motion."""
    if not motion.any():
        return frame
    return warped(frame, Grid.of(*frame.shape[:2]).flow(motion))


def tracked(view: Callable[[int], Gray], clean: int, times: range) -> dict[int, Params]:
    """Return the motion from frame ``clean`` to each of the frames that follow it in turn.

    view: returns the small grey picture of a frame.
    """
    grid = Grid.of(*view(clean).shape)
    motions, step = {clean: STILL}, times.step
    for time in times:
        guess = expected_motion(motions, time - step, time - 2 * step)
        motions[time] = fit_motion(grid, MotionProblem(view(clean), view(time)), guess)
    return motions


class WarpedSides(Protocol):
    """Two clean frames as they would look at other times, ``(H, W, 3)`` each."""

    def outgoing_at(self, time: int) -> Array: ...

    def incoming_at(self, time: int) -> Array: ...


@dataclass
class CleanMotions:
    """Motions of the cameras in clean frames that were measured already, and small pictures.

    outgoing, incoming: by the clean frame beside the transition and the farthest one.
    grays: of :func:`small_grays`, by the frame's place.
    """

    outgoing: dict[tuple[int, int], dict[int, Params]] = field(default_factory=dict)
    incoming: dict[tuple[int, int], dict[int, Params]] = field(default_factory=dict)
    grays: dict[int, Gray] = field(default_factory=dict)


class CameraWarp:
    """Two clean frames of a stretch carried by their cameras to the frames around and between them.

    frames: ``(T, H, W, 3)``.
    sides: the places ``before`` and ``after`` of the two clean frames.
    reach: ``low`` and ``high``: more clean frames of the two shots lie in ``low..before`` and
    ``after..high``.
    weight: a first estimate of the incoming shot's weight at a time, a number or one for each
    pixel of the grid that it is given.
    known: what was measured before in the same frames; gets what is measured.
    """

    def __init__(
        self,
        frames: Array,
        sides: tuple[int, int],
        reach: tuple[int, int],
        weight: Callable[[int, Grid], Gray | float],
        known: CleanMotions | None = None,
    ) -> None:
        self.frames = frames
        self.before, self.after = before, after = sides
        low, high = reach
        self._grid = Grid.of(*frames.shape[1:3])
        self.outgoing: dict[int, Params] = {before: STILL}
        self.incoming: dict[int, Params] = {after: STILL}
        if is_too_small(frames):
            return
        self._known = known or CleanMotions()
        self._small_grid = Grid.of(*self._view(before).shape)
        self._track_clean(low, high)
        weights = {time: weight(time, self._small_grid) for time in range(before + 1, after)}
        outgoing_moves, incoming_moves = self._moves(self.outgoing), self._moves(self.incoming)
        if not outgoing_moves:
            self.outgoing = {before: STILL}
        if not incoming_moves:
            self.incoming = {after: STILL}
        if outgoing_moves:
            self._track_outgoing(weights)
        if incoming_moves:
            self._track_incoming(weights)

    def _view(self, time: int) -> Gray:
        grays = self._known.grays
        if time not in grays:
            grays[time] = small_grays(self.frames[time : time + 1])[0]
        return grays[time]

    def _track_clean(self, low: int, high: int) -> None:
        """Measure the motion of both cameras in their own clean frames."""
        outgoing, incoming = self._known.outgoing, self._known.incoming
        before, after = (self.before, low), (self.after, high)
        if before not in outgoing:
            outgoing[before] = tracked(self._view, self.before, range(self.before - 1, low - 1, -1))
        if after not in incoming:
            incoming[after] = tracked(self._view, self.after, range(self.after + 1, high + 1))
        self.outgoing, self.incoming = dict(outgoing[before]), dict(incoming[after])

    def _track_outgoing(self, weights: dict[int, Gray | float]) -> None:
        """Measure the outgoing camera's motion in the mixed frames, forwards."""
        before, after, grid = self.before, self.after, self._small_grid
        for time in range(before + 1, after):
            flow = grid.flow(self.incoming.get(time, STILL))
            rest = weights[time] * warped(self._view(after), flow)
            problem = MotionProblem(self._view(before), self._view(time), 1 - weights[time], rest)
            guess = expected_motion(self.outgoing, time - 1, time - 2)
            self.outgoing[time] = fit_motion(grid, problem, guess)

    def _track_incoming(self, weights: dict[int, Gray | float]) -> None:
        """Measure the incoming camera's motion in the mixed frames, backwards."""
        before, after, grid = self.before, self.after, self._small_grid
        for time in range(after - 1, before, -1):
            flow = grid.flow(self.outgoing.get(time, STILL))
            rest = (1 - weights[time]) * warped(self._view(before), flow)
            problem = MotionProblem(self._view(after), self._view(time), weights[time], rest)
            guess = expected_motion(self.incoming, time + 1, time + 2)
            self.incoming[time] = fit_motion(grid, problem, guess)

    @staticmethod
    def _moves(motions: dict[int, Params]) -> bool:
        """Return whether a camera moves; without other clean frames that is assumed."""
        if len(motions) == 1:
            return True
        return max(float(np.abs(motion).max()) for motion in motions.values()) > STILL_BELOW

    def outgoing_at(self, time: int) -> Array:
        """Return the outgoing clean frame as its camera sees it at ``time``, ``(H, W, 3)``."""
        return self._seen(self.before, self.outgoing.get(time))

    def incoming_at(self, time: int) -> Array:
        """Return the incoming clean frame as its camera sees it at ``time``, ``(H, W, 3)``."""
        return self._seen(self.after, self.incoming.get(time))

    def _seen(self, time: int, motion: Params | None) -> Array:
        if motion is None or not motion.any():
            return np.asarray(self.frames[time])
        return warped(self.frames[time], self._grid.flow(motion))
