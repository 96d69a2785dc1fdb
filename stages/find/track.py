"""The clean frames on both sides of a transition, carried into it by the motion of each camera.

The camera's motion between two frames of one shot is an affine displacement, six numbers in half widths of the picture:
``d(x, y) = (p0 + p1 x + p2 y, p3 + p4 x + p5 y)`` with x, y from the middle, also in half widths. Axes: T frames, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from stages.find.features import Array, carried

Params = npt.NDArray[np.float64]
Grey = npt.NDArray[np.float32]

STILL: Params = np.zeros(6)
WORK_WIDTH = 48  # motion is measured on pictures this wide: fine detail moves with it, and costs
ITERATIONS = 3
SPREAD = (
    np.array([1.0, 0.6, 0.6] * 2) / 40
)  # how far a frame's motion strays from its neighbour's, in half widths
STILL_BELOW = 0.003  # half widths: a seventh of a pixel of a small frame


@dataclass(frozen=True)
class Grid:
    """Pixel places of an ``(H, W)`` picture in half widths from its middle."""

    x: Grey
    y: Grey
    unit: float

    @staticmethod
    def of(height: int, width: int) -> Grid:
        """The grid of a picture of this size."""
        unit = max(width, 2) / 2
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        return Grid((columns - (width - 1) / 2) / unit, (rows - (height - 1) / 2) / unit, unit)

    def flow(self, motion: Params) -> Grey:
        """Displacement ``(H, W, 2)`` in pixels."""
        across = motion[0] + motion[1] * self.x + motion[2] * self.y
        down = motion[3] + motion[4] * self.x + motion[5] * self.y
        return (np.stack([across, down], -1) * self.unit).astype(np.float32)


def fitted(
    grid: Grid,
    reference: Grey,
    target: Grey,
    share: Grey | float,
    rest: Grey | float,
    guess: Params,
) -> Params:
    """The motion with which ``target = share reference(x + d) + rest`` holds best.

    reference, target, share, rest: ``(H, W)``. Robust Gauss-Newton steps, held to ``guess`` where the pictures do not tell.
    """
    motion = guess.copy()
    height, width = target.shape
    for _ in range(ITERATIONS):
        flow = grid.flow(motion)
        seen = carried(reference, flow)
        across, down = np.zeros_like(seen), np.zeros_like(seen)
        across[:, 1:-1] = (seen[:, 2:] - seen[:, :-2]) / 2
        down[1:-1] = (seen[2:] - seen[:-2]) / 2
        left = target - rest - share * seen
        x, y = grid.x + flow[..., 0] / grid.unit, grid.y + flow[..., 1] / grid.unit
        inside = (np.abs(x) <= (width - 1) / 2 / grid.unit) & (
            np.abs(y) <= (height - 1) / 2 / grid.unit
        )
        scale = max(1.5 * float(np.median(np.abs(left))), 0.006)
        weight = inside / (1 + (left / scale) ** 2) / scale**2 / 4
        across, down = across * (share * grid.unit), down * (share * grid.unit)
        slopes = np.stack(
            [across, across * grid.x, across * grid.y, down, down * grid.x, down * grid.y]
        ).reshape(6, -1)
        heavy = slopes * weight.reshape(1, -1)
        matrix = (heavy @ slopes.T).astype(np.float64) + np.diag(1 / SPREAD**2)
        step = np.linalg.solve(matrix, heavy @ left.reshape(-1) - (motion - guess) / SPREAD**2)
        motion = motion + np.clip(step, -0.05, 0.05)
        if np.abs(step).max() < 1e-3:
            break
    return motion


def greys(frames: Array) -> Grey:
    """Frames ``(T, H, W, 3)`` as small grey pictures ``(T, h, w)`` for measuring motion."""
    height, width = frames.shape[1:3]
    scale = min(1.0, WORK_WIDTH / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.stack(
        [
            cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
            for frame in frames
        ]
    )


def _expected(known: dict[int, Params], near: int, far: int) -> Params:
    """Motion goes on as it was, a little slower."""
    return known[near] + 0.7 * (known[near] - known[far]) if far in known else known[near]


class Layers(Protocol):
    """Two clean frames as they would be at other times, ``(H, W, 3)`` each."""

    def outgoing_at(self, time: int) -> Array: ...

    def incoming_at(self, time: int) -> Array: ...


class Carried:
    """Two clean frames of a stretch, ``before`` and ``after``, carried to all the frames around and between them.

    frames: ``(T, H, W, 3)``; clean frames of the two shots lie in ``low..before`` and ``after..high``.
    share: a first estimate of the incoming shot's weight at a time, a number or one for each pixel of the grid it is given.
    """

    def __init__(
        self,
        frames: Array,
        before: int,
        after: int,
        low: int,
        high: int,
        share: Callable[[int, Grid], Grey | float],
    ) -> None:
        self.frames, self.before, self.after = frames, before, after
        self._grid = Grid.of(*frames.shape[1:3])
        self.outgoing: dict[int, Params] = {before: STILL}
        self.incoming: dict[int, Params] = {after: STILL}
        if min(frames.shape[1:3]) < 16:
            return
        small = greys(frames[low : high + 1])
        grid = Grid.of(*small.shape[1:3])

        def view(time: int) -> Grey:
            return np.asarray(small[time - low])

        for time in range(before - 1, low - 1, -1):
            guess = _expected(self.outgoing, time + 1, time + 2)
            self.outgoing[time] = fitted(grid, view(before), view(time), 1.0, 0.0, guess)
        for time in range(after + 1, high + 1):
            guess = _expected(self.incoming, time - 1, time - 2)
            self.incoming[time] = fitted(grid, view(after), view(time), 1.0, 0.0, guess)
        moves = [self._moves(side) for side in (self.outgoing, self.incoming)]
        weight = {time: share(time, grid) for time in range(before + 1, after)}
        if not moves[0]:
            self.outgoing = {before: STILL}
        if not moves[1]:
            self.incoming = {after: STILL}
        if moves[0]:
            for time in range(before + 1, after):
                other = weight[time] * carried(
                    view(after), grid.flow(self.incoming.get(time, STILL))
                )
                guess = _expected(self.outgoing, time - 1, time - 2)
                self.outgoing[time] = fitted(
                    grid, view(before), view(time), 1 - weight[time], other, guess
                )
        if moves[1]:
            for time in range(after - 1, before, -1):
                other = (1 - weight[time]) * carried(
                    view(before), grid.flow(self.outgoing.get(time, STILL))
                )
                guess = _expected(self.incoming, time + 1, time + 2)
                self.incoming[time] = fitted(
                    grid, view(after), view(time), weight[time], other, guess
                )

    @staticmethod
    def _moves(side: dict[int, Params]) -> bool:
        if len(side) == 1:
            return True
        return max(float(np.abs(motion).max()) for motion in side.values()) > STILL_BELOW

    def outgoing_at(self, time: int) -> Array:
        """The outgoing shot's clean frame as its camera would see it at ``time``, ``(H, W, 3)``."""
        return self._seen(self.before, self.outgoing.get(time))

    def incoming_at(self, time: int) -> Array:
        """The incoming shot's clean frame as its camera would see it at ``time``, ``(H, W, 3)``."""
        return self._seen(self.after, self.incoming.get(time))

    def _seen(self, time: int, motion: Params | None) -> Array:
        if motion is None or not motion.any():
            return np.asarray(self.frames[time])
        return carried(self.frames[time], self._grid.flow(motion))
