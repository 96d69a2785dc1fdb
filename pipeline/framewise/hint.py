"""Read the hint: a picture or clip in which the user marks a place (option ``--hint``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pipeline.task import Job
from stages.errors import UsageError
from stages.media.read import Clip, open_clip
from stages.media.sniff import printable

WHITE = 0.5
"""Level, from 0 to 1, at which a pixel of a hint counts as marked: the middle of the range."""


class Hint:
    """A picture or clip of the input's size that marks a place in white on black.

    clip: the open file.
    name: what messages call it.
    """

    def __init__(self, clip: Clip, name: str) -> None:
        self.clip = clip
        self.name = name

    @classmethod
    def of(cls, job: Job) -> Hint | None:
        """Open the job's hint; return ``None`` where the job has none.

        Raises UsageError where its size differs from the input's.
        """
        path, info = job.settings.hint, job.clip.info
        if path is None:
            return None
        clip = open_clip([path], max_pixels=job.settings.max_pixels, interlaced="keep")
        # Arrays from Python lie in a temporary folder, whose path means nothing to the user.
        name, input_name = (
            printable(Path(job.settings.known_as(file))) for file in (path, info.path)
        )
        if (clip.info.width, clip.info.height) != (info.width, info.height):
            raise UsageError(
                f"--hint {name}: is {clip.info.width}x{clip.info.height}, but {input_name} is "
                f"{info.width}x{info.height}; draw it at the input's size"
            )
        return cls(clip, name)

    def check(self, frame_count: int) -> None:
        """Raise UsageError where the hint marks nothing, or is a clip that is too short.

        frame_count: how many frames a hint that is a clip must have.
        """
        found, brightest = 0, 0.0
        for block in self.clip.blocks():
            found += len(block)
            brightest = max(brightest, float(block.pixels.max()))
        if brightest < WHITE:
            raise UsageError(
                f"--hint {self.name}: has nothing white in it; mark the place in white on black"
            )
        if not self.clip.info.is_picture and found < frame_count:
            raise UsageError(
                f"--hint {self.name}: has {found} frames, but the input has {frame_count}; "
                "give a picture, or a clip with as many frames"
            )

    def frames(self, indices: Sequence[int]) -> Tensor:
        """Return the hint for the given frames of the input.

        indices: frame numbers in rising order.
        Returns ``(T, 1, H, W)`` in [0, 1], or ``(1, 1, H, W)`` where the hint is a picture.
        """
        if self.clip.info.is_picture:
            return self.clip.frames(0, 0).pixels.mean(1, keepdim=True)
        wanted = set(indices)
        marks = [
            pixels.mean(0, keepdim=True)
            for block in self.clip.blocks(indices[0], indices[-1])
            for index, pixels in enumerate(block.pixels, block.first)
            if index in wanted
        ]
        return torch.stack(marks)
