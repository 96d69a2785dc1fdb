"""Explain the frames of a transition as freely as its model allows, and measure what is left.

Each frame is explained by its scenes as they are held and as their cameras go on, with small
motions of their own. Where scenes stay in their places, each place may have any weight. The clean
frames on both sides are explained in the same way. So they tell how large an error motion leaves.
Axes: K blocks. Each block takes the explanation that leaves it the least error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from stages.find.composed import place
from stages.find.curve import Curve
from stages.find.features import Array, channels_first
from stages.find.optical_flow import optical_flow, warped
from stages.find.placements import measured_progress
from stages.find.stretch import Stretch, TransitionFit
from stages.find.track import Params, moved_on
from stages.kinds import TRANSITION_KINDS
from stages.mixing.light_dissolve import GAMMA

ROWS, COLUMNS = 12, 24  # blocks of a frame
SMALL_MOTION = 3.0  # pixels by which a thing may have moved in an explanation
WEIGHT_SIDE = 5  # pixels of the squares that have one weight
WEIGHT_POWER = 1e-5  # squared difference of the scenes at which a square tells half of its weight
COMPARED = 14  # clean frames on each side whose errors are measured


@dataclass(frozen=True)
class ExplainedFrames:
    """A transition and the clean frames beside it, explained by its model.

    frames: ``(T, H, W, 3)``. found: the transition. reach: the first and the last frame of its two
    shots. speeds: how far each camera pans in a frame. progress: of scenes that move as a whole,
    ``(n,)``; None for others.
    """

    frames: Array
    found: TransitionFit
    reach: tuple[int, int]
    speeds: tuple[Params, Params]
    progress: Curve | None

    @classmethod
    def of(cls, frames: Array, found: TransitionFit, reach: tuple[int, int]) -> ExplainedFrames:
        """Return a transition with the motion of its cameras measured."""
        stretch = Stretch(frames, *reach)
        speeds = stretch.pan_speeds(found.before, found.after)
        progress = None
        if TRANSITION_KINDS[found.kind].undo == "placement":
            progress = measured_progress(stretch, found)
        return cls(frames, found, reach, speeds, progress)

    def mixed_errors(self) -> Curve:
        """Return the mean squared error of each mixed frame, ``(n,)``."""
        times = range(self.found.before + 1, self.found.after)
        return np.array([float(self._error_of(time).mean()) for time in times])

    def clean_errors(self) -> tuple[Curve, Curve]:
        """Return the mean squared error of the clean frames by their distance, for both scenes."""
        (before, after), (low, high) = (self.found.before, self.found.after), self.reach
        early = range(before - 1, max(low, before - COMPARED) - 1, -1)
        late = range(after + 1, min(high, after + COMPARED) + 1)
        held = [self.frames[before]], [self.frames[after]]
        outgoing = [
            self._error_of_mixture(self.frames[time], self._outgoing(time), held[1]).mean()
            for time in early
        ]
        incoming = [
            self._error_of_mixture(self.frames[time], held[0], self._incoming(time)).mean()
            for time in late
        ]
        return np.array(outgoing, np.float64), np.array(incoming, np.float64)

    def _outgoing(self, time: int) -> list[Array]:
        """Return the outgoing scene as it may look at ``time``: held, and as its camera goes on."""
        return self._views(self.found.before, self.speeds[0], time)

    def _incoming(self, time: int) -> list[Array]:
        """Return the incoming scene as it may look at ``time``: held, and as its camera goes on."""
        return self._views(self.found.after, self.speeds[1], time)

    def _views(self, clean: int, speed: Params, time: int) -> list[Array]:
        held = self.frames[clean]
        moved = moved_on(held, speed * (time - clean))
        return [held] if moved is held else [held, moved]

    def _error_of(self, time: int) -> Array:
        """Return the squared error of each block of a mixed frame, ``(K,)``."""
        outgoing, incoming = self._outgoing(time), self._incoming(time)
        if self.progress is None:
            return self._error_of_mixture(self.frames[time], outgoing, incoming)
        height, width = self.frames.shape[1:3]
        progress = float(self.progress[time - self.found.before - 1])
        placement = self.found.placer(progress, height / width)
        placed = [
            place((channels_first(one), channels_first(other)), placement).permute(1, 2, 0).numpy()
            for one in outgoing
            for other in incoming
        ]
        return self._least_error([], self.frames[time], [placed])

    def _error_of_mixture(
        self, frame: Array, outgoing: Sequence[Array], incoming: Sequence[Array]
    ) -> Array:
        """Return the squared error of each block of a frame as a mixture of both scenes, ``(K,)``.

        outgoing, incoming: views of the scenes, ``(H, W, 3)`` each. Each place may have any weight,
        and each pixel may show one scene alone.
        """
        one, other = (_most_similar(frame, views) for views in (outgoing, incoming))
        moved_one, moved_other = self._aligned(one, frame), self._aligned(other, frame)
        pairs = [(first, second) for first in outgoing for second in incoming]
        pairs += [(moved_one, other), (one, moved_other), (moved_one, moved_other)]
        errors = [self._error_with_smooth_weights(frame, *pair) for pair in pairs]
        return self._least_error(errors, frame, [outgoing, incoming])

    def _error_with_smooth_weights(self, frame: Array, outgoing: Array, incoming: Array) -> Array:
        """Return the squared error ``(H, W)`` of a mixture whose weights are smooth."""
        power = GAMMA if self.found.space == "linear" else 1.0
        mixed, one, other = (np.maximum(part, 0) ** power for part in (frame, outgoing, incoming))
        step, size = other - one, (WEIGHT_SIDE, WEIGHT_SIDE)
        along = cv2.blur(((mixed - one) * step).sum(-1), size)
        square = cv2.blur(np.square(step).sum(-1), size)
        weight = np.clip((along + WEIGHT_POWER / 2) / (square + WEIGHT_POWER), 0, 1)[..., None]
        explained = np.maximum(one + weight * step, 0) ** (1 / power)
        return np.asarray(np.square(frame - explained).mean(-1), np.float32)

    def _least_error(
        self, errors: Sequence[Array], frame: Array, choices: Sequence[Sequence[Array]]
    ) -> Array:
        """Return the least error of each block ``(K,)`` among given errors and single pictures.

        errors: ``(H, W)`` each. choices: lists of pictures. Each pixel may show any of them, and
        the most similar one of each list may have moved a little as a whole.
        """
        shown = [np.square(frame - each).mean(-1) for pictures in choices for each in pictures]
        moved = [
            np.square(frame - self._aligned(_most_similar(frame, pictures), frame)).mean(-1)
            for pictures in choices
        ]
        tried = [*errors, *shown, np.minimum.reduce(shown), *moved]
        return np.asarray(np.minimum.reduce([_block_means(error) for error in tried]), np.float32)

    def _aligned(self, picture: Array, frame: Array) -> Array:
        """Return a picture with its things moved by a few pixels towards where a frame has them."""
        flow = optical_flow(frame, picture)
        length = np.hypot(flow[..., 0], flow[..., 1])[..., None]
        return warped(picture, flow * np.minimum(1, SMALL_MOTION / np.maximum(length, 1e-6)))


def _most_similar(frame: Array, pictures: Sequence[Array]) -> Array:
    """Return the picture that is most like a frame."""
    return min(pictures, key=lambda each: float(np.square(frame - each).mean()))


def _block_means(errors: Array) -> Array:
    """Return the mean of errors ``(H, W)`` in each block, ``(K,)``."""
    blocks = cv2.resize(errors, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return np.asarray(blocks.ravel(), np.float32)
