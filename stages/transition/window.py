"""A transition's frames, read when they are needed: all of them small, to be worked on; one after another in full, to be finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.errors import UsageError
from stages.media.clip import Frames
from stages.motion.flow import shrunk


@dataclass(frozen=True)
class Window:
    """The mixed frames of a transition with clean ones at both sides: frames ``first`` to ``last`` of a clip, inclusive.

    blocks: streams the frames between two indices, as :meth:`stages.media.read.Clip.blocks` does. size: ``(H, W)`` of a frame.
    name: of the clip, for messages.
    """

    blocks: Callable[[int, int], Iterable[Frames]]
    first: int
    last: int
    size: tuple[int, int]
    name: str = "the clip"

    @classmethod
    def of(cls, frames: Frames) -> Window:
        """A window of frames that are in memory already."""

        def blocks(first: int, last: int) -> Iterator[Frames]:
            part = slice(first - frames.first, last - frames.first + 1)
            yield Frames(frames.pixels[part], frames.times[part], first)

        return cls(
            blocks, frames.first, frames.last, (frames.pixels.shape[-2], frames.pixels.shape[-1])
        )

    def shrunk(self, pixels: int) -> Tensor:
        """All frames ``(N, 3, h, w)`` with at most ``pixels`` each, by area averages; in their own size where they have no more.

        Raises UsageError where the clip does not hold all of them.
        """
        small = torch.cat(
            [shrunk(block.pixels, pixels) for block in self.blocks(self.first, self.last)]
            or [torch.empty(0)]
        )
        if len(small) != self.last - self.first + 1:
            raise UsageError(
                f"{self.name}: frames {self.first} to {self.last} were asked for, but it has {len(small)} of them"
            )
        return small

    def frame(self, index: int) -> Tensor:
        """Frame number ``index`` of the clip in full, ``(1, 3, H, W)``."""
        (block,) = self.blocks(index, index)
        return block.pixels
