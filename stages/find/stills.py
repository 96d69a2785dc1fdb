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

FEWEST = 5
"""Equal frames in a row that make a still scene."""
SETTLED = 12
"""Frames of a still scene after which it is compared with the last one; coding has settled then."""
TAIL = 12
"""Last frames of a still scene that may already show a little of the next one."""
LONGEST = 250
"""Frames between two still scenes up to which one transition is looked for (ten seconds)."""
STEADY = 4 / 255
"""Largest change of a 3x3 mean in a scene that stands still; coding noise stays below it."""
FEW = 2e-3
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
SHOWN = 0.006
"""Mean weight from which a scene can be seen in a frame."""
SPOT = 4
"""Pixels of the smallest part of a scene that counts as seen."""
CLEAR = 12 / 255
"""Change of a 3x3 mean from which another scene is seen there."""
CONTRAST = 4 / 255
"""Difference between the pictures from which a pixel tells its own weight."""
EVEN = 0.12
"""Deviation of a frame's weights (root mean square) up to which they are one number: a dissolve."""
RISES = 0.97
"""Part of the contrast whose weight must not fall with time in a wipe."""
FALLS = 0.1
"""By how much a weight may fall from one frame to the next before it counts as falling."""
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
    """Follow a clip frame by frame, and find transitions between still scenes.

    number: of the next frame.
    before: the last picture that stood still, ``(H, W, 3)``, or None.
    count, total: number of frames in the current still run, and their sum.
    pending: the last frames of the picture ``before``, and all frames since.
    found: the transitions so far.
    """

    number: int = 0
    before: Array | None = None
    count: int = 0
    total: Array | None = None
    pending: list[Array] = field(default_factory=list)
    found: list[StillTransition] = field(default_factory=list)

    def add(self, frame: Array) -> None:
        """Take the next frame."""
        if self.total is not None and _is_still(_mean(self.total, self.count), frame):
            self.total = self.total + frame
            self.count += 1
        else:
            self.end_run()
            self.total, self.count = frame, 1
        self.pending.append(frame)
        self.number += 1
        if self.count == SETTLED:
            self._compare()
        if self.count >= SETTLED:
            del self.pending[:-TAIL]

    def end_run(self) -> None:
        """End the current still run; call it after the clip's last frame, too."""
        if self.total is not None and self.count >= FEWEST:
            if self.count < SETTLED:
                self._compare()
            self.before = _mean(self.total, self.count)
            del self.pending[: -min(self.count, TAIL)]
        elif self.before is None or len(self.pending) > LONGEST:
            self.before = None
            self.pending.clear()
        self.total, self.count = None, 0

    def _compare(self) -> None:
        """Judge what lies between the last still picture and the run that stands now."""
        if self.before is None or len(self.pending) > LONGEST:
            return
        after = np.asarray(np.mean(self.pending[-FEWEST:], axis=0), np.float32)
        if are_two_scenes(self.before, after):
            first = self.number - len(self.pending)
            made = judge(np.stack(self.pending), first, self.before, after)
            if made is not None:
                self.found.append(made)

    def state(self) -> dict[str, Any]:
        """Return all that the search consists of, made of values that a checkpoint can hold."""
        shape = (0, 0, 0, 3)
        pictures = [picture for picture in (self.before, self.total) if picture is not None]
        frames = np.stack([*pictures, *self.pending]) if self.number else np.zeros(shape)
        return {
            "number": self.number,
            "count": self.count,
            "has": [self.before is not None, self.total is not None],
            "frames": torch.from_numpy(np.ascontiguousarray(frames, np.float32)),
            "found": [asdict(found) for found in self.found],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search."""
        self.number, self.count = state["number"], state["count"]
        frames = list(state["frames"].numpy())
        has_before, has_total = state["has"]
        self.before = frames.pop(0) if has_before else None
        self.total = frames.pop(0) if has_total else None
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


def judge(frames: Array, first: int, outgoing: Array, incoming: Array) -> StillTransition | None:
    """Return the transition that ``frames`` ``(T, H, W, 3)`` show, or None.

    first: the number of the first of these frames. The first frames may be clean ones of the
    outgoing scene, the last ones of the incoming scene.
    """
    best: tuple[float, StillTransition] | None = None
    for space in SPACES:
        part, a, b = (_in_space(each, space) for each in (frames, outgoing, incoming))
        weights, contrast = _weights(part, a, b)
        means = (weights * contrast).sum((1, 2)) / contrast.sum()
        mixed = np.flatnonzero(_shows(part, a, means) & _shows(part, b, 1 - means))
        if not len(mixed):
            return None
        low, high = int(mixed[0]), int(mixed[-1])
        if low == 0:
            return None
        span = slice(low, high + 1)
        kind = _kind(weights[span], means[span], contrast)
        # A matte's pixels are mixed at its edge alone, which does not tell the space.
        if kind is None or (space == "linear" and kind != DISSOLVE):
            continue
        weight = means[span, None, None, None] if kind == DISSOLVE else weights[span, ..., None]
        again = _from_space(blend(a, b, weight), space)
        rest = frames[span] - again
        if not _agrees(rest):
            continue
        error = float(np.square(rest).mean())
        mix = tuple(float(value) for value in means[span])
        found = StillTransition(first + low, first + high, kind, space, mix)
        if best is None or error < best[0]:
            best = error, found
    return None if best is None else best[1]


def _mean(total: Array, count: int) -> Array:
    return np.asarray(total / count, np.float32)


def _is_still(mean: Array, frame: Array) -> bool:
    change = np.abs(cv2.blur(frame - mean, (3, 3))).max(-1)
    return float((change > STEADY).mean()) <= FEW


def _shows(frames: Array, alone: Array, weight: Array) -> NDArray[np.bool_]:
    """Return in which frames another scene than ``alone`` can be seen, at least in one spot."""
    change = [np.abs(cv2.blur(frame - alone, (3, 3))).max(-1) for frame in frames]
    spots = np.array([np.partition(each.ravel(), -SPOT)[-SPOT] for each in change])
    return (weight > SHOWN) | (spots > CLEAR)


def _weights(frames: Array, outgoing: Array, incoming: Array) -> tuple[Array, Array]:
    """Return the weight of each pixel, ``(T, H, W)`` in [0, 1], and the contrast ``(H, W)``."""
    across = incoming - outgoing
    contrast = np.square(across).sum(-1)
    along = ((frames - outgoing) * across).sum(-1)
    wide = np.stack([cv2.blur(each, (3, 3)) for each in along])
    # A pixel with contrast tells its own weight; others ask their neighbours.
    own = CONTRAST**2
    around = cv2.blur(contrast, (3, 3))
    weights = (along + own * wide / np.maximum(around, own)) / (contrast + own)
    return weights.clip(0, 1).astype(np.float32), contrast


def _kind(weights: Array, means: Array, contrast: Array) -> str | None:
    """Return the kind: one weight a frame, or a matte that only opens; None for anything else."""
    share = contrast / contrast.sum()
    spread = np.sqrt((np.square(weights - means[:, None, None]) * share).sum((1, 2)))
    if float(spread.max()) <= EVEN:
        return DISSOLVE
    falling = (np.diff(weights, axis=0) < -FALLS).any(0)
    return WIPE if float((share * ~falling).sum()) >= RISES else None


def _agrees(rest: Array) -> bool:
    """Return whether a residual ``(T, H, W, 3)`` is no more than coding noise."""
    for frame in rest:
        energy = cv2.blur(np.square(frame).mean(-1), (3, 3))
        noise = float(np.clip(np.median(energy), LEAST_NOISE**2, MOST_NOISE**2))
        if float((energy > AGREES**2 * noise).mean()) > OFF_LINE:
            return False
    return True


def _in_space(picture: Array, space: Space) -> Array:
    if space == "gamma":
        return picture
    return np.asarray(np.maximum(picture, 0) ** GAMMA, np.float32)


def _from_space(picture: Array, space: Space) -> Array:
    if space == "gamma":
        return picture
    return np.asarray(np.maximum(picture, 0) ** (1 / GAMMA), np.float32)
