"""Find hard cuts: steps between two frames that motion does not explain and that do not lead back.

Most cuts are far larger than every other step nearby. Where shots last a few frames only, the large
steps nearby are cuts themselves. Such a step is a cut if the frames on both sides of every large
step nearby have nothing in common, and if the picture before it does not return. If it returns,
the step belongs to a flash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from stages.find.brighten import MOST_GAIN, gain_around
from stages.find.correlation import NccCache
from stages.find.features import Array, plain_color
from stages.find.given import GivenSpans
from stages.find.recent_frames import RecentFrames
from stages.mixing.light_dissolve import GAMMA

StepKind = Literal["cut", "flash", ""]
"""A new shot begins with the frame behind a step, a flash begins or ends there, or neither."""

# Frames on each side that a cut has to stand out from. A flash does not stand out: its end is as
# large a step as its start.
NEAR = 4
STANDS_OUT = 1.7  # how many times as large as the steps nearby
FLOOR = 0.008  # steps below this are noise
LEAST_STEP = 0.05  # root mean square of the change of block contents, in [0, 1]
LEAST_RESIDUAL = 0.03  # mean absolute difference after motion compensation, in [0, 1]
# NCC from which two frames show one scene. In single shots of real footage neighbouring frames are
# above it, except with fast cameras.
SAME_SCENE_NCC = 0.55
# NCC below which two frames have nothing in common: pairs of unrelated real frames were at most
# 0.26, pairs of synthetic textures 0.33.
UNRELATED_NCC = 0.35
REPEATED = 0.02  # part of a step below which the steps beside it are those of repeated frames
# Cosine between two steps of one gradual change, in linear light; between the steps of unrelated
# pictures it is 0.5 and less.
PARALLEL = 0.75
CONTINUED = 0.4  # part of a step that the one before or behind it repeats, in linear light


@dataclass
class CutSearch:
    """The search for cuts and flashes, step after step.

    judged: the first frame of which it is not known yet whether a cut is before it.
    cuts: first frames of shots, as far as these frames lie behind a cut.
    flashes: first frames of flashes and of what follows them; nothing is mixed across these.
    """

    judged: int = 1
    cuts: list[int] = field(default_factory=list)
    flashes: list[int] = field(default_factory=list)

    def find(self, recent: RecentFrames, known: int, ncc: NccCache, given: GivenSpans) -> list[int]:
        """Return the first frames of the shots behind the cuts that were not known before.

        known: places of ``recent`` that are judged. ncc: of the recent frames. given: the user's
        spans, in which nothing is looked for.

        Every step is judged once, when all that may decide it has come. So what is found does not
        depend on when it is looked for.
        """
        steps = FrameSteps(recent.steps, recent.residuals, recent.contents, ncc)
        found = []
        for place in range(max(1, self.judged - recent.first), known):
            number = recent.first + place
            if given.has_any_in(number - 1, number):
                continue
            kind = self._kind_of_step(recent.frames, steps, place)
            if kind == "cut":
                found.append(number)
            elif kind == "flash":
                self.flashes.append(number)
        self.cuts += found
        self.judged = max(self.judged, recent.first + known)
        return found

    def _kind_of_step(self, frames: Sequence[Array], steps: FrameSteps, place: int) -> StepKind:
        """Return what the step to frame ``place`` is. Steps between dark pictures count more."""
        size = steps.sizes[place]
        # No gain makes a smaller step large enough.
        if size * MOST_GAIN < LEAST_STEP:
            return ""
        gain = gain_around(frames, place, NEAR + 1)
        if gain > 1 and gain * size >= LEAST_STEP:
            bright = list(frames)
            for near in range(max(0, place - NEAR - 1), min(len(bright), place + NEAR + 1)):
                bright[near] = np.minimum(gain * bright[near], 1).astype(np.float32)
            # Frames of one colour have no structure that tells a cut from a fade.
            if not any(plain_color(bright[side]) for side in (place - 1, place)):
                steps = steps.brightened(gain, NccCache(bright))
        return steps.kind(place)

    def drop_between(self, first: int, last: int) -> None:
        """Drop the cuts before the frames ``first..last``, which are no cuts after all."""
        self.cuts = [cut for cut in self.cuts if not first <= cut <= last]

    def forget(self, first: int) -> None:
        """Drop what lies before frame ``first``, the first one that is kept."""
        self.cuts = [cut for cut in self.cuts if cut > first]
        self.flashes = [flash for flash in self.flashes if flash > first]

    def state(self) -> dict[str, Any]:
        """Return what was found so far, made of values that a checkpoint can hold."""
        return {"judged": self.judged, "cuts": self.cuts, "flashes": self.flashes}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search."""
        self.judged, self.cuts, self.flashes = (
            state[name] for name in ("judged", "cuts", "flashes")
        )


@dataclass(frozen=True)
class FrameSteps:
    """The steps between the frames of a stretch, each with the place of the frame behind it.

    sizes: change of the block contents from the frame before; entry 0 is unused.
    residuals: the same for the difference that is left after motion compensation.
    contents: of each frame's blocks, ``(K, D)``.
    ncc: motion-compensated NCC of two frames, by their places. It costs more than all the rest.
    """

    sizes: Sequence[float]
    residuals: Sequence[float]
    contents: Sequence[Array]
    ncc: Callable[[int, int], float]

    def brightened(self, gain: float, ncc: Callable[[int, int], float]) -> FrameSteps:
        """Return the steps of frames that are brighter by a gain. ncc: of these frames."""
        sizes, residuals = (
            [gain * step for step in steps] for steps in (self.sizes, self.residuals)
        )
        return replace(self, sizes=sizes, residuals=residuals, ncc=ncc)

    def kind(self, place: int) -> StepKind:
        """Return what the step to frame ``place`` is."""
        if not self._is_large(place) or is_gradual(*self._contents_around(place)):
            return ""
        if self._stands_out(place):
            return "cut" if self.ncc(place - 1, place) < SAME_SCENE_NCC else ""
        rivals = self._rivals(place)
        for step in [place, *rivals]:
            if self.ncc(step - 1, step) >= UNRELATED_NCC:
                return ""
        # A shot that comes back after a few frames was not ended: a flash or a damaged frame
        # interrupted it.
        is_begin = any(
            self.ncc(place - 1, rival) >= SAME_SCENE_NCC for rival in rivals if rival > place
        )
        is_end = any(
            self.ncc(rival - 1, place) >= SAME_SCENE_NCC for rival in rivals if rival < place
        )
        return "flash" if is_begin or is_end else "cut"

    def _is_large(self, place: int) -> bool:
        """Return whether a step is more than noise and small motions."""
        if not 1 <= place < len(self.sizes):
            return False
        return self.sizes[place] >= LEAST_STEP and self.residuals[place] >= LEAST_RESIDUAL

    def _stands_out(self, place: int) -> bool:
        """Return whether a step is far larger than all near it.

        This needs two frames on each side.
        """
        if place < 2 or place > len(self.sizes) - 2:
            return False
        return (
            prominence(self.sizes[1:], place - 1) > STANDS_OUT
            and prominence(self.residuals[1:], place - 1) > STANDS_OUT
        )

    def _rivals(self, place: int) -> list[int]:
        """Return the steps near ``place`` that keep it from standing out."""
        near = range(max(1, place - NEAR), min(len(self.sizes), place + NEAR + 1))
        least_size = self.sizes[place] / STANDS_OUT - FLOOR
        least_residual = self.residuals[place] / STANDS_OUT - FLOOR
        return [
            other
            for other in near
            if other != place
            and (self.sizes[other] >= least_size or self.residuals[other] >= least_residual)
        ]

    def _contents_around(self, place: int) -> tuple[list[Array], int]:
        """Return the contents of up to four frames around the step to frame ``place``.

        The second value is the index of that frame among them. Repeated frames are passed over:
        film that is shown at a higher rate goes on behind them.
        """
        least = REPEATED * self.sizes[place]
        before = range(place - 1, max(0, place - NEAR), -1)
        behind = range(place + 1, min(len(self.sizes), place + NEAR + 1))
        earlier = next((time - 1 for time in before if self.sizes[time] > least), None)
        later = next((time for time in behind if self.sizes[time] > least), None)
        places = [time for time in (earlier, place - 1, place, later) if time is not None]
        return [self.contents[time] for time in places], places.index(place)


def prominence(values: Sequence[float], place: int) -> float:
    """Return ``values[place]`` divided by the largest other value within :data:`NEAR`."""
    around = [*values[max(0, place - NEAR) : place], *values[place + 1 : place + NEAR + 1]]
    return values[place] / (max(around, default=0.0) + FLOOR)


def is_gradual(contents: Sequence[Array], behind: int = 2) -> bool:
    """Return whether a step is part of a longer gradual change, so that it is no cut.

    contents: of up to four frames around the step, each ``(K, D)``. behind: the index of the frame
    behind the step. Mixed in linear light, a dark picture changes most in its first or its last
    mixed frame, as in a cut; measured in linear light, all steps have the same direction.
    """
    light = [content**GAMMA for content in contents]
    changes = [after - before for before, after in zip(light, light[1:], strict=False)]
    step = changes[behind - 1]
    length = float(np.sqrt(np.square(step).sum()))
    for place in (behind - 2, behind):
        if not 0 <= place < len(changes):
            continue
        along = float((step * changes[place]).sum())
        other = float(np.sqrt(np.square(changes[place]).sum()))
        if along > max(CONTINUED * length, PARALLEL * other) * length:
            return True
    return False
