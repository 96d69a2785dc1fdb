"""Keep the last frames of a clip, without the bars around them, and what the search measures there.

Bars say nothing about what a frame shows. Where all of the kept frames have the same dark bars, the
search works on the picture between them, as if there were none. Where only some frames have them,
they stay, and :mod:`stages.find.borders` leaves out what two frames share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.dark_bars import DARK, Border, dark_lines, even_border
from stages.find.borders import SOFT_EDGE
from stages.find.features import Array, contents, distances
from stages.find.optical_flow import motion_residual

LEAST_PICTURE = 0.5
"""Part of each side of a frame that the picture between bars takes at least."""
SOFT = 0.85
"""Brightness of a picture's first line, as part of that of its second one, below which it is mixed
with the bar beside it."""
BAR_SAMPLE = 24
"""Frames, at most, in which the lines of bars are compared with each other."""


def shared_bars(frames: Sequence[Array], dark: Sequence[Border] = ()) -> Border:
    """Return the dark bars that all frames ``(H, W, 3)`` have, with their soft edges.

    A frame that is dark all over, as in a fade, has any bars. dark: the dark lines of each frame,
    where they are known.
    """
    of_all = reduce(Border.within, dark or map(_dark_lines, frames))
    if not of_all.paired():
        return Border()
    step = -(-len(frames) // BAR_SAMPLE)
    sample = torch.stack([_planes(frame) for frame in frames[::step]])
    bars = even_border(sample, of_all, ringing=SOFT_EDGE)
    if not bars:
        return bars
    bars = _with_soft_lines(bars, sample.mean((0, 1)))
    height, width = frames[0].shape[:2]
    picture = height - bars.top - bars.bottom, width - bars.left - bars.right
    if picture[0] < LEAST_PICTURE * height or picture[1] < LEAST_PICTURE * width:
        return Border()
    return bars


def _with_soft_lines(bars: Border, mean: Tensor) -> Border:
    """Return bars together with the lines beside them that shrinking mixed with them.

    mean: of all frames and channels, ``(H, W)``.
    """
    picture = bars.cropped(mean)
    rows, columns = picture.mean(1), picture.mean(0)
    edges = (rows[:2], rows[-2:].flip(0), columns[:2], columns[-2:].flip(0))
    sides = (bars.top, bars.bottom, bars.left, bars.right)
    return Border(
        *(
            side + 1 if side and bool(edge[0] < SOFT * edge[-1]) else side
            for side, edge in zip(sides, edges, strict=True)
        )
    )


def _dark_lines(frame: Array) -> Border:
    """Return the dark lines at the sides of a frame ``(H, W, 3)``; hardly any cost where none."""
    if all(float(edge.max(-1).mean()) > DARK for edge in (frame[0], frame[:, 0])):
        return Border()
    return dark_lines(_planes(frame)).paired()


def _planes(frame: Array) -> Tensor:
    """Return a frame ``(H, W, 3)`` as ``(3, H, W)``."""
    return torch.from_numpy(frame).permute(2, 0, 1)


def between_bars(frames: Array, bars: Border) -> Array:
    """Return the pictures of frames ``(T, H, W, 3)`` between their bars."""
    height, width = frames.shape[1:3]
    inside = frames[:, bars.top : height - bars.bottom, bars.left : width - bars.right]
    return np.ascontiguousarray(inside)


@dataclass
class RecentFrames:
    """The last frames of a clip and what is known of each.

    first: the clip's number of the first frame.
    whole: the frames as they came, ``(H, W, 3)`` each. dark: the dark lines at their sides.
    bars: around the pictures of all of them.

    The rest is of the frames that :meth:`measure` has seen, by their places in the list.
    frames: their pictures between the bars. contents: of their blocks. steps, residuals: change
    from the frame before, see :mod:`stages.find.cuts`; entry 0 means nothing. pairs: squared
    distances of all frames' blocks, ``(T, T, K)``.
    """

    first: int = 0
    whole: list[Array] = field(default_factory=list)
    dark: list[Border] = field(default_factory=list)
    bars: Border = field(default_factory=Border)
    frames: list[Array] = field(default_factory=list)
    contents: list[Array] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    pairs: Array = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.whole)

    @property
    def count(self) -> int:
        """The number of frames of the clip that have come so far."""
        return self.first + len(self.whole)

    def add(self, frame: Array) -> None:
        """Take the next frame ``(H, W, 3)``."""
        self.whole.append(frame)
        self.dark.append(_dark_lines(frame))

    def measure(self) -> None:
        """Measure all frames that have come, in the picture that they all have between bars."""
        bars = shared_bars(self.whole, self.dark)
        if bars != self.bars:
            # Pictures of two sizes cannot be compared.
            self.bars = bars
            for known in (self.frames, self.contents, self.steps, self.residuals):
                known.clear()
            self.pairs = np.zeros((0, 0, 0), np.float32)
        unmeasured = self.whole[len(self.frames) :]
        if unmeasured:
            pictures = between_bars(np.stack(unmeasured), bars)
            for picture, content in zip(pictures, contents(pictures), strict=True):
                self._append(picture, content)
            self._grow_pairs()

    def _append(self, picture: Array, content: Array) -> None:
        """Add a frame's picture, its content, and the step from the frame before."""
        step = residual = 0.0
        if self.frames:
            step = float(np.sqrt(((content - self.contents[-1]) ** 2).mean()))
            residual = motion_residual(self.frames[-1], picture)
        self.steps.append(step)
        self.residuals.append(residual)
        self.frames.append(picture)
        self.contents.append(content)

    def _grow_pairs(self) -> None:
        """Add the distances of the frames that have come since the last time."""
        old, new = len(self.pairs), len(self.frames)
        stack = np.stack(self.contents)
        grown = np.zeros((new, new, stack.shape[1]), np.float32)
        if old:
            grown[:old, :old] = self.pairs
        for place in range(old, new):
            grown[place, : place + 1] = distances(stack[place], stack[: place + 1])
            grown[: place + 1, place] = grown[place, : place + 1]
        self.pairs = grown

    def forget(self, drop: int) -> None:
        """Drop the first frames and what was known of them."""
        if not drop:
            return
        self.first += drop
        for part in (self.whole, self.dark, self.frames, self.contents, self.steps, self.residuals):
            del part[:drop]
        self.pairs = self.pairs[drop:, drop:].copy()

    def state(self) -> dict[str, Any]:
        """Return what the frames and their measurements consist of, for a checkpoint."""
        return {
            "first": self.first,
            "frames": torch.from_numpy(np.stack(self.whole)),
            "bars": [self.bars.top, self.bars.bottom, self.bars.left, self.bars.right],
            "steps": list(self.steps),
            "residuals": list(self.residuals),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of other frames."""
        self.first = state["first"]
        for frame in state["frames"].numpy():
            self.add(frame)
        self.bars = Border(*state["bars"])
        self.steps, self.residuals = list(state["steps"]), list(state["residuals"])
        if not self.steps:
            return
        pictures = between_bars(np.stack(self.whole[: len(self.steps)]), self.bars)
        self.frames, self.contents = list(pictures), list(contents(pictures))
        self._grow_pairs()
