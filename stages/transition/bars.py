"""Separate the picture between a film's bars, and put the bars back around its layers.

Bars are in both scenes. A fit that sees them takes their edge for the picture's: it holds the flow
in place, and a matte seems to begin late and to end early.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from stages.dark_bars import Beyond, Border, BorderWatch
from stages.media.clip import Frames
from stages.shots import Transition
from stages.transition.separated_frame import PutFrame, SeparatedFrame
from stages.transition.window import Window

SAMPLE = 5
"""Frames of a window in which the lines of bars are compared with each other."""


def shared_bars(window: Window) -> Border:
    """Return the dark bars that all frames of a window have.

    Without bars, hardly more than one frame is read.
    """
    watch = BorderWatch()
    step = max(1, (window.last - window.first) // (SAMPLE - 1))
    sample: list[Tensor] = []
    for block in window.blocks(window.first, window.last):
        for number, frame in enumerate(block.pixels, block.first):
            watch.add(frame)
            if not watch.has_dark_lines:
                return Border()
            if (number - window.first) % step == 0:
                # The brightest channel alone tells what is dark.
                sample.append(frame.amax(0, keepdim=True))
    return watch.border(torch.stack(sample))


def between_bars(window: Window, bars: Border) -> Window:
    """Return the window on the pictures between the bars."""

    def blocks(first: int, last: int) -> Iterator[Frames]:
        for block in window.blocks(first, last):
            yield replace(block, pixels=bars.cropped(block.pixels).contiguous())

    height, width = window.size
    size = height - bars.top - bars.bottom, width - bars.left - bars.right
    return replace(window, blocks=blocks, size=size)


def put_with_bars(put: PutFrame, window: Window, transition: Transition, bars: Border) -> PutFrame:
    """Return a function that puts the input's bars around each layer and passes it on to ``put``.

    It has to get the mixed frames in order. window: of the whole frames. The matte goes on into the
    bars as it is at the picture's edge.
    """
    blocks = window.blocks(transition.first_frame, transition.last_frame)
    whole = (pixels for block in blocks for pixels in block.pixels)

    def put_whole(place: int, inner: SeparatedFrame) -> None:
        frame = next(whole).to(inner.frame.device)

        def added(layer: Tensor, beyond: Beyond = "input") -> Tensor:
            return bars.with_border(layer[None], beyond, frame[None])[0]

        matte = None if inner.matte is None else added(inner.matte, "nearest")
        put(place, SeparatedFrame(frame, added(inner.outgoing), added(inner.incoming), matte))

    return put_whole
