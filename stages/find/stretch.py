"""The frames in which one transition is measured, and what a measurement returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from stages.find.curve import CLEAN_FRAMES, Curve, MeasuredWeights, measure
from stages.find.dense import FlowWarp
from stages.find.features import Array
from stages.find.track import (
    Cameras,
    CameraWarp,
    CleanMotions,
    Grid,
    Params,
    WarpedSides,
    camera_speed,
)
from stages.kinds import DISSOLVE, TRANSITION_KINDS
from stages.kinds.base import Placer
from stages.shots import Space

FOLLOWED = 5  # clean frames of each scene in which its camera is followed
FEWEST_FOLLOWED = 3  # the same at least
FAR = 4  # times FOLLOWED frames from which on two clean frames are far apart
LEAST_WAY = 0.08  # half widths: a camera that pans less over a whole transition stands still


@dataclass(frozen=True)
class TransitionFit:
    """A transition as it was measured: its ends, its kind and its weights.

    before, after: the clean frames next to it.
    mix: the incoming side's weight in each frame in between.
    kind: a name of :data:`stages.kinds.TRANSITION_KINDS`.
    space: the light in which it mixes.
    unexplained, texture, restless: as of :class:`stages.find.curve.MeasuredWeights`, the first as
    its mean over the frames.
    relative_error: the squared error that its model leaves, as part of the squared difference
    between the two scenes.
    effect: FFmpeg's name for it, or None.
    """

    before: int
    after: int
    mix: Curve
    kind: str = DISSOLVE
    space: Space = "gamma"
    unexplained: float = 0.0
    texture: float = 0.0
    restless: float = 0.0
    relative_error: float = 0.0
    effect: str | None = None

    @property
    def placer(self) -> Placer:
        """How its effect places the scenes. Only effects of scenes that move as a whole do."""
        return TRANSITION_KINDS[self.kind].effects[self.effect or ""]


@dataclass(frozen=True)
class Stretch:
    """Frames that hold two shots and the transition between them.

    frames: ``(T, H, W, 3)``, encoded or linear.
    low, high: the first and the last frame that belong to the two shots or the transition.
    dense: whether the clean frames are carried by dense flows, not by camera motion alone.
    measurements: those that exist already, by the clean frames between which they were taken.
    clean_motions: the motions of clean frames that were measured already.
    speeds: those of cameras that were measured already, by the clean frame and the direction.
    """

    frames: Array
    low: int
    high: int
    dense: bool = False
    measurements: dict[tuple[int, int], tuple[MeasuredWeights, WarpedSides]] = field(
        default_factory=dict
    )
    clean_motions: CleanMotions = field(default_factory=CleanMotions)
    speeds: dict[tuple[int, int], Params] = field(default_factory=dict)

    @property
    def aspect(self) -> float:
        """Height / width of the frames."""
        return float(self.frames.shape[1] / self.frames.shape[2])

    def sparse(self) -> Stretch:
        """Return the same frames without dense flows."""
        return replace(self, dense=False, measurements={}) if self.dense else self

    def widened(self, before: int, after: int) -> tuple[int, int]:
        """Return clean frames a little further out than a rough guess.

        They are further out by a quarter of the length, and by at least 4 frames. Where the stretch
        is short, they leave three of its frames beyond them, or they are halfway to its ends.
        """
        margin = max(4, (after - before) // 4)
        start = max(
            self.low, before - margin, min(self.low + 3, before - (before - self.low + 1) // 2)
        )
        end = min(
            self.high, after + margin, max(self.high - 3, after + (self.high - after + 1) // 2)
        )
        return start, end

    def windows_around(self, before: int, after: int) -> list[tuple[int, int]]:
        """Return clean frames at a rough guess, and twice and three times as far apart.

        The middle of a soft wipe alone looks like a dissolve.
        """
        length = after - before
        windows = [
            (max(self.low, before - more // 2), min(self.high, after + more // 2))
            for more in (0, length, 2 * length)
        ]
        return list(dict.fromkeys(windows))

    def cameras(self, before: int, after: int) -> Cameras | None:
        """Return how fast the cameras beside a transition pan, or None if both nearly stand still.

        before, after: clean frames next to it. Both need a few clean frames beside them.
        """
        outgoing, incoming = self._speed(before, -1, after), self._speed(after, 1, before)
        if outgoing is None or incoming is None:
            return None
        fastest = max(float(np.abs(speed).max()) for speed in (outgoing, incoming))
        return Cameras(outgoing, incoming) if fastest * (after - before) >= LEAST_WAY else None

    def pan_speeds(self, before: int, after: int) -> tuple[Params, Params]:
        """Return how fast the cameras beside a transition pan, whatever clean frames there are.

        One clean frame tells less than several, and more than none.
        """
        early = range(before - 1, max(self.low, before - FOLLOWED) - 1, -1)
        late = range(after + 1, min(self.high, after + FOLLOWED) + 1)
        return camera_speed(self.frames, before, early), camera_speed(self.frames, after, late)

    def _speed(self, clean: int, outwards: int, other: int) -> Params | None:
        """Return how fast a camera pans in the frames beside a clean one, or None if too few are.

        outwards: the step to those that are no part of the transition. If there are too few, the
        camera is followed towards the ``other`` clean frame, if that is far away.
        """
        free = clean - self.low if outwards < 0 else self.high - clean
        step, count = outwards, min(free, FOLLOWED)
        if free < FEWEST_FOLLOWED:
            if abs(other - clean) < FAR * FOLLOWED:
                return None
            step, count = -outwards, FOLLOWED
        if (clean, step) not in self.speeds:
            times = range(clean + step, clean + step * (count + 1), step)
            self.speeds[clean, step] = camera_speed(self.frames, clean, times)
        return self.speeds[clean, step]

    def camera_warp(
        self, before: int, after: int, weight: Callable[[int, Grid], Array | float]
    ) -> CameraWarp:
        """Return two clean frames carried by motion to all frames that a measurement uses.

        weight: as of :class:`stages.find.track.CameraWarp`.
        """
        reach = max(self.low, before - CLEAN_FRAMES), min(self.high, after + CLEAN_FRAMES)
        return CameraWarp(self.frames, (before, after), reach, weight, self.clean_motions)

    def measured(self, before: int, after: int) -> tuple[MeasuredWeights, WarpedSides]:
        """Return the weights between two clean frames, measured against these carried by motion."""
        sides, reach = (before, after), (self.low, self.high)
        if sides not in self.measurements:
            held = measure(self.frames, sides, reach).curve
            layers: WarpedSides = self.camera_warp(
                before, after, lambda time, _: float(held[time - before - 1])
            )
            found = measure(self.frames, sides, reach, layers)
            if self.dense and isinstance(layers, CameraWarp):
                weights = found.curve.astype(np.float32)
                layers = FlowWarp(self.frames, layers, self.low, self.high, weights)
                found = measure(self.frames, sides, reach, layers)
            self.measurements[sides] = found, layers
        return self.measurements[sides]
