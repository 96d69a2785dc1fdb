"""``--hint``: the picture or clip with which a user marks a place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pipeline.task import Job
from stages.errors import UsageError
from stages.media.read import Clip, open_clip
from stages.media.sniff import printable


class Hint:
    """The picture or clip that marks a place: white on black, of the input's size. ``name``: what messages call it."""

    def __init__(self, clip: Clip, name: str) -> None:
        self.clip, self.name = clip, name

    @classmethod
    def of(cls, job: Job) -> Hint | None:
        """The job's hint, where it has one. Raises UsageError where it does not fit the clip."""
        path, info = job.settings.hint, job.clip.info
        if path is None:
            return None
        clip = open_clip([path], max_pixels=job.settings.max_pixels, interlaced="keep")
        # Arrays from Python lie in a folder of ours, which means nothing to whoever gave them.
        name, mixed = (printable(Path(job.settings.known_as(one))) for one in (path, info.path))
        if (clip.info.width, clip.info.height) != (info.width, info.height):
            raise UsageError(
                f"--hint {name}: is {clip.info.width}x{clip.info.height}, but {mixed} is "
                f"{info.width}x{info.height}; draw it at the input's size"
            )
        return cls(clip, name)

    def check(self, count: int) -> None:
        """Raises UsageError where the hint marks nothing, or is a clip of fewer than ``count`` frames."""
        found, white = 0, 0.0
        for block in self.clip.blocks():
            found, white = found + len(block), max(white, float(block.pixels.max()))
        if white < 0.5:
            raise UsageError(
                f"--hint {self.name}: has nothing white in it; mark the place in white on black"
            )
        if not self.clip.info.is_picture and found < count:
            raise UsageError(
                f"--hint {self.name}: has {found} frames and the input {count}; give a picture, or a clip of as many"
            )

    def frames(self, indices: Sequence[int]) -> Tensor:
        """The hint in the clip's frames ``indices``, which rise: ``(T, 1, H, W)`` in [0, 1]; ``(1, 1, H, W)`` of a picture."""
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
