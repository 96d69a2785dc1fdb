"""Read a transition's frames when they are needed.

All frames are decoded in full and shrunk to the working size. To finish the layers, they are read
once more, one after another at full size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.errors import UsageError
from stages.media.clip import Frames
from stages.mixing.forward_model import Pair
from stages.motion.flow import shrunk
from stages.optim.threads import read_ahead
from stages.plain_colors import rgb_of
from stages.shots import Transition


@dataclass(frozen=True)
class Window:
    """Frames ``first`` to ``last`` (inclusive) of a clip: a transition with clean frames around it.

    blocks: streams the frames between two indices, as :meth:`stages.media.read.Clip.blocks` does.
    size: ``(H, W)`` of a frame. name: the clip's name, for messages.
    """

    blocks: Callable[[int, int], Iterable[Frames]]
    first: int
    last: int
    size: tuple[int, int]
    name: str = "the clip"

    @classmethod
    def of(cls, frames: Frames) -> Window:
        """Return a window of frames that are already in memory."""

        def blocks(first: int, last: int) -> Iterator[Frames]:
            part = slice(first - frames.first, last - frames.first + 1)
            yield Frames(frames.pixels[part], frames.times[part], first)

        height, width = frames.pixels.shape[-2:]
        return cls(blocks, frames.first, frames.last, (height, width))

    def shrunk(self, pixels: int) -> Tensor:
        """Return all frames ``(N, 3, h, w)`` at the working size, by area averages.

        pixels: the most pixels of a frame. Frames that have no more keep their own size.

        The frames are read in full, a block at a time, and averaged here in float32. The reader
        could scale them itself, but it rounds scaled frames to 8 bits before the fit sees them,
        which changes the layers.

        Raises UsageError where the clip does not hold all of the frames.
        """
        read = read_ahead(self.blocks(self.first, self.last))
        blocks = [shrunk(block.pixels, pixels) for block in read]
        small = torch.cat(blocks or [torch.empty(0)])
        if len(small) != self.last - self.first + 1:
            raise UsageError(
                f"{self.name}: frames {self.first} to {self.last} were asked for, "
                f"but it has {len(small)} of them"
            )
        return small

    def frame(self, index: int) -> Tensor:
        """Return frame number ``index`` of the clip in full, ``(1, 3, H, W)``."""
        (block,) = self.blocks(index, index)
        return block.pixels

    def frames(self, indices: Sequence[int]) -> Tensor:
        """Return these frames of the clip in full, ``(N, 3, H, W)``. Each is read only once."""
        read = {index: self.frame(index) for index in dict.fromkeys(indices)}
        return torch.cat([read[index] for index in indices])


def plain_color(transition: Transition) -> Tensor | None:
    """Return the colour ``(3,)`` in [0, 1] of a fade's plain side, or None."""
    if transition.color is None:
        return None
    return torch.tensor([level / 255 for level in rgb_of(transition.color)])


def clean_beside(window: Window, transition: Transition) -> Pair:
    """Return the clean frames ``(3, H, W)`` beside a transition, or the plain colour of a side.

    A side without a clean frame has to do with the transition's own first or last frame.
    """
    before = max(window.first, transition.first_frame - 1)
    after = min(window.last, transition.last_frame + 1)
    return with_color((window.frame(before)[0], window.frame(after)[0]), transition)


def with_color(scenes: Pair, transition: Transition) -> Pair:
    """Return two clean frames ``(3, H, W)`` with the plain colour in place of a plain side."""
    frames = list(scenes)
    color = plain_color(transition)
    if color is not None:
        side = 0 if transition.outgoing is None else 1
        frames[side] = color.view(3, 1, 1).expand_as(frames[side]).contiguous()
    return frames[0], frames[1]
