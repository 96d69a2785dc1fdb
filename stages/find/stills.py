"""Find transitions between scenes that stand still, such as the photographs of a slideshow.

Two still pictures with something between them are the easiest case, and the other searches, which
look for motion, do not see how easy it is. Both pictures are known exactly. If every frame between
them is a mixture of the two, pixel by pixel, there is one transition, whatever its matte: a
dissolve, a wipe of any form, a checkerboard. Its ends and its weights follow by regression.

Frames are ``(H, W, 3)``, RGB in [0, 1], of the size at which the search works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from stages.kinds import DISSOLVE, WIPE
from stages.mixing.blend import blend
from stages.mixing.light_dissolve import GAMMA
from stages.shots import Space

Array = NDArray[np.float32]

LEAST_STILL = 5
"""Equal frames in a row that make a still scene."""
SETTLED_AFTER = 12
"""Frames of a still scene after which it is compared with the last one; coding has settled then."""
TAIL = 12
"""Last frames of a still scene that may already show a little of the next one."""
MOST_BETWEEN = 250
"""Frames between two still scenes up to which one transition is looked for (ten seconds)."""
STEADY = 4 / 255
"""Largest change of a 3x3 mean in a scene that stands still; coding noise stays below it."""
MOST_UNSTEADY = 2e-3
"""Part of the pixels that may change more."""
CHANGED = 8 / 255
"""Change of a 3x3 mean by which a pixel counts as changed from one scene to the next."""
LEAST_CHANGED = 0.3
"""Part of the pixels that has to change; a title that fades in over a picture changes fewer."""
SAME_SCENE = 0.7
"""Correlation of two pictures from which they are one scene in another light."""
LEAST_STRUCTURE = 6 / 255
"""Deviation (root mean square) of a picture's pixels below which it is a plain colour."""
AGREES = 3.0
"""How many times the coding noise a pixel may lie off the line between both pictures."""
LEAST_NOISE = 1.5 / 255
MOST_NOISE = 8 / 255
"""Least and largest coding noise that a frame is taken to have: root mean square of levels in
[0, 1], written in 8-bit levels."""
OFF_LINE = 0.06
"""Part of the pixels that may lie off the line: colours bleed along the edge of a matte."""
LEAST_SHOWN = 0.006
"""Mean weight from which a scene can be seen in a frame."""
SPOT_PIXELS = 4
"""Pixels of the smallest part of a scene that counts as seen."""
SEEN_CHANGE = 12 / 255
"""Change of a 3x3 mean from which another scene is seen there."""
LEAST_CONTRAST = 4 / 255
"""Difference between the pictures from which a pixel tells its own weight."""
MOST_UNEVEN = 0.12
"""Deviation of a frame's weights (root mean square) up to which they are one number: a dissolve."""
LEAST_RISING = 0.97
"""Part of the contrast whose weight must not fall with time in a wipe."""
LEAST_FALL = 0.1
"""Fall of a weight from one frame to the next above which it counts as falling."""
SPACES: tuple[Space, ...] = ("gamma", "linear")


@dataclass(frozen=True)
class StillTransition:
    """A transition between two still scenes: its mixed frames, inclusive, and its weights."""

    first: int
    last: int
    kind: str
    space: Space
    mix: tuple[float, ...]


@dataclass
class StillSearch:
    """The search for transitions between still scenes, frame after frame.

    number: of the next frame.
    last_still: the last picture that stood still, ``(H, W, 3)``, or None.
    run_length, run_sum: number of frames in the current still run, and their sum.
    pending: the last frames of ``last_still``, and all frames since.
    found: the transitions so far.
    """

    number: int = 0
    last_still: Array | None = None
    run_length: int = 0
    run_sum: Array | None = None
    pending: list[Array] = field(default_factory=list)
    found: list[StillTransition] = field(default_factory=list)

    def add(self, frame: Array) -> None:
        """Take the next frame."""
        if self.run_sum is not None and _is_still(self._run_mean(self.run_sum), frame):
            self.run_sum = self.run_sum + frame
            self.run_length += 1
        else:
            self.end_run()
            self.run_sum, self.run_length = frame, 1
        self.pending.append(frame)
        self.number += 1
        if self.run_length == SETTLED_AFTER:
            self._find_before_run()
        if self.run_length >= SETTLED_AFTER:
            del self.pending[:-TAIL]

    def end_run(self) -> None:
        """End the current still run; call it after the clip's last frame, too."""
        if self.run_sum is not None and self.run_length >= LEAST_STILL:
            if self.run_length < SETTLED_AFTER:
                self._find_before_run()
            self.last_still = self._run_mean(self.run_sum)
            del self.pending[: -min(self.run_length, TAIL)]
        elif self.last_still is None or len(self.pending) > MOST_BETWEEN:
            self.last_still = None
            self.pending.clear()
        self.run_sum, self.run_length = None, 0

    def _run_mean(self, run_sum: Array) -> Array:
        """Return the mean picture of the current run."""
        return np.asarray(run_sum / self.run_length, np.float32)

    def _find_before_run(self) -> None:
        """Look for a transition from the last still picture to the run that stands now."""
        if self.last_still is None or len(self.pending) > MOST_BETWEEN:
            return
        incoming = np.asarray(np.mean(self.pending[-LEAST_STILL:], axis=0), np.float32)
        if are_two_scenes(self.last_still, incoming):
            first = self.number - len(self.pending)
            frames = np.stack(self.pending)
            found = transition_between(self.last_still, incoming, frames, first)
            if found is not None:
                self.found.append(found)

    def state(self) -> dict[str, Any]:
        """Return all that the search consists of, made of values that a checkpoint can hold."""
        pictures = [picture for picture in (self.last_still, self.run_sum) if picture is not None]
        frames = np.stack([*pictures, *self.pending]) if self.number else np.zeros((0, 0, 0, 3))
        return {
            "number": self.number,
            "count": self.run_length,
            "has": [self.last_still is not None, self.run_sum is not None],
            "frames": torch.from_numpy(np.ascontiguousarray(frames, np.float32)),
            "found": [asdict(found) for found in self.found],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search."""
        self.number, self.run_length = state["number"], state["count"]
        frames = list(state["frames"].numpy())
        has_last_still, has_run = state["has"]
        self.last_still = frames.pop(0) if has_last_still else None
        self.run_sum = frames.pop(0) if has_run else None
        self.pending = frames
        self.found = [
            StillTransition(**{**found, "mix": tuple(found["mix"])}) for found in state["found"]
        ]


def are_two_scenes(one: Array, other: Array) -> bool:
    """Return whether two pictures ``(H, W, 3)`` show two scenes, none of them a plain colour."""
    change = np.abs(cv2.blur(other - one, (3, 3))).max(-1)
    if float((change > CHANGED).mean()) < LEAST_CHANGED:
        return False
    first, second = (picture.mean(-1) - picture.mean() for picture in (one, other))
    deviations = float(first.std()), float(second.std())
    if min(deviations) < LEAST_STRUCTURE:
        return False
    return float((first * second).mean()) < SAME_SCENE * deviations[0] * deviations[1]


def transition_between(
    outgoing: Array, incoming: Array, frames: Array, first: int
) -> StillTransition | None:
    """Return the transition between two still pictures that frames show, or None.

    outgoing, incoming: ``(H, W, 3)``. frames: ``(T, H, W, 3)``; the first ones may be clean frames
    of the outgoing scene, the last ones of the incoming scene. first: the number of the first one.
    """
    best: tuple[float, StillTransition] | None = None
    for space in SPACES:
        mixture, a, b = (_in_space(part, space) for part in (frames, outgoing, incoming))
        weights, contrast = _weights(mixture, a, b)
        means = (weights * contrast).sum((1, 2)) / contrast.sum()
        mixed = np.flatnonzero(
            _shows_another(mixture, a, means) & _shows_another(mixture, b, 1 - means)
        )
        # The first frame has to be clean.
        if not len(mixed) or mixed[0] == 0:
            return None
        span = slice(int(mixed[0]), int(mixed[-1]) + 1)
        kind = _kind(weights[span], means[span], contrast)
        # A matte's pixels are mixed at its edge alone, which does not tell the space.
        if kind is None or (space == "linear" and kind != DISSOLVE):
            continue
        weight = means[span, None, None, None] if kind == DISSOLVE else weights[span, ..., None]
        residual = frames[span] - _from_space(blend(a, b, weight), space)
        if not _is_noise(residual):
            continue
        error = float(np.square(residual).mean())
        mix = tuple(float(value) for value in means[span])
        found = StillTransition(first + span.start, first + span.stop - 1, kind, space, mix)
        if best is None or error < best[0]:
            best = error, found
    return None if best is None else best[1]


def _is_still(mean: Array, frame: Array) -> bool:
    """Return whether a frame shows the mean picture of a still run; both ``(H, W, 3)``."""
    change = np.abs(cv2.blur(frame - mean, (3, 3))).max(-1)
    return float((change > STEADY).mean()) <= MOST_UNSTEADY


def _shows_another(frames: Array, alone: Array, weight: Array) -> NDArray[np.bool_]:
    """Return in which frames another scene than ``alone`` can be seen, at least in one spot.

    weight: mean weight of the other scene in each frame, ``(T,)``.
    """
    change = [np.abs(cv2.blur(frame - alone, (3, 3))).max(-1) for frame in frames]
    spots = np.array([np.partition(each.ravel(), -SPOT_PIXELS)[-SPOT_PIXELS] for each in change])
    return (weight > LEAST_SHOWN) | (spots > SEEN_CHANGE)


def _weights(frames: Array, outgoing: Array, incoming: Array) -> tuple[Array, Array]:
    """Return the weight of each pixel, ``(T, H, W)`` in [0, 1], and the contrast ``(H, W)``."""
    across = incoming - outgoing
    contrast = np.square(across).sum(-1)
    along = ((frames - outgoing) * across).sum(-1)
    wide = np.stack([cv2.blur(each, (3, 3)) for each in along])
    # A pixel with contrast tells its own weight; others ask their neighbours.
    least = LEAST_CONTRAST**2
    around = cv2.blur(contrast, (3, 3))
    weights = (along + least * wide / np.maximum(around, least)) / (contrast + least)
    return weights.clip(0, 1).astype(np.float32), contrast


def _kind(weights: Array, means: Array, contrast: Array) -> str | None:
    """Return the kind: one weight a frame, or a matte that only opens; None for anything else."""
    share = contrast / contrast.sum()
    spread = np.sqrt((np.square(weights - means[:, None, None]) * share).sum((1, 2)))
    if float(spread.max()) <= MOST_UNEVEN:
        return DISSOLVE
    falling = (np.diff(weights, axis=0) < -LEAST_FALL).any(0)
    return WIPE if float((share * ~falling).sum()) >= LEAST_RISING else None


def _is_noise(residual: Array) -> bool:
    """Return whether a residual ``(T, H, W, 3)`` is no more than coding noise."""
    for frame in residual:
        energy = cv2.blur(np.square(frame).mean(-1), (3, 3))
        noise = float(np.clip(np.median(energy), LEAST_NOISE**2, MOST_NOISE**2))
        if float((energy > AGREES**2 * noise).mean()) > OFF_LINE:
            return False
    return True


def _in_space(picture: Array, space: Space) -> Array:
    """Return encoded values in the space in which a mixture is linear."""
    if space == "gamma":
        return picture
    return np.asarray(np.maximum(picture, 0) ** GAMMA, np.float32)


def _from_space(picture: Array, space: Space) -> Array:
    """Return values of a space as encoded values."""
    if space == "gamma":
        return picture
    return np.asarray(np.maximum(picture, 0) ** (1 / GAMMA), np.float32)
