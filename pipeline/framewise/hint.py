"""Read the hints: pictures, clips, boxes and points with which the user marks a region.

They come from the options ``--hint`` and ``--hint-background``. Hints add up. A hint of a clip
belongs to the frame that it was drawn for, which is the first one unless the user says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from pipeline.framewise.hint_contradictions import check_contradictions
from pipeline.hint_arguments import HintArgument
from pipeline.runtime.earlier_run import EarlierRun
from pipeline.settings import HINTS
from pipeline.task import Job
from stages.dark_bars import Border
from stages.errors import UsageError
from stages.hint_regions import HintRegion
from stages.media.read import Clip, open_clip
from stages.media.sniff import printable

WHITE = 0.5
"""Level, from 0 to 1, above which a pixel of a hint counts as marked: the middle of the range."""


@dataclass(frozen=True)
class HintSource:
    """One opened hint of the user.

    argument: as the user gave it. name: the option and the hint, as messages show them.
    foreground: whether it marks the foreground; otherwise it marks the background.
    size: height and width of the input. clip: the open file; ``None`` for a box or point.
    earlier: whether the run that is refined had it, too.
    """

    argument: HintArgument
    name: str
    foreground: bool
    size: tuple[int, int]
    clip: Clip | None = None
    earlier: bool = False

    @property
    def is_picture(self) -> bool:
        """Whether the hint is one picture, and not a clip with a mask for each frame."""
        return self.clip is None or self.clip.info.is_picture

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, Tensor]]:
        """Yield frame numbers and levels ``(1, H, W)`` in [0, 1] of the file, or of the box."""
        if self.argument.area is not None:
            left, top, width, height = self.argument.area
            levels = torch.zeros(1, *self.size)
            levels[:, top : top + height, left : left + width] = 1
            yield 0, levels
        if self.clip is not None:
            for block in self.clip.blocks(first, last):
                for index, pixels in enumerate(block.pixels, block.first):
                    yield index, pixels.mean(0, keepdim=True)

    def picture(self) -> Tensor:
        """Return the levels ``(1, H, W)`` in [0, 1] of a hint that is one picture."""
        return next(self.frames(0, 0))[1]

    def region(self, levels: Tensor, window_index: int | None) -> HintRegion:
        """Return a region from the levels.

        levels: ``(1, H, W)`` in [0, 1]. window_index: its frame, or None for every frame.
        """
        boxed = self.argument.box is not None
        return HintRegion(levels[0] > WHITE, self.foreground, window_index, boxed, self.earlier)

    def check(self, first: int, count: int, *, pictures: bool) -> None:
        """Raise UsageError where the hint marks nothing, or belongs to no frame of the input.

        first, count: the input's frames. pictures: whether they are pictures, numbered in order.
        """
        mask_count, brightest = 0, 0.0
        for _, levels in self.frames():
            mask_count += 1
            brightest = max(brightest, float(levels.max()))
        if brightest <= WHITE:
            raise UsageError(
                f"{self.name}: has nothing white in it; mark the place in white on black"
            )
        if not self.is_picture:
            self._check_clip(first, count, mask_count)
        frame = self.argument.frame
        if frame is not None and not first <= frame < first + count:
            what = "pictures" if pictures else "frames"
            raise UsageError(
                f"{self.name}: is for frame {frame}, but the input's {what} are {first} to "
                f"{first + count - 1}; give one of these numbers, or leave out {frame}:"
            )

    def _check_clip(self, first: int, count: int, own_count: int) -> None:
        """Raise UsageError where a hint that is a clip is not a mask of every frame of the input.

        first, count: the input's frames. own_count: how many frames the hint has.
        """
        if not self.foreground:
            raise UsageError(
                f"{self.name}: is a clip; mark the background of single frames "
                f"({first}:picture.png)"
            )
        frame = self.argument.frame
        if frame is not None:
            raise UsageError(f"{self.name}: is a clip, which marks every frame; leave out {frame}:")
        if own_count < first + count:
            raise UsageError(
                f"{self.name}: has {own_count} frames, but the input has {first + count}; "
                "give a picture, or a clip with as many frames"
            )


@dataclass(frozen=True)
class Hints:
    """All hints of a run.

    sources: in the order in which they were given, those of the foreground first.
    every_frame: whether a hint without a frame's number belongs to every frame, as with several
        pictures; otherwise it belongs to the first one.
    first: number of the first frame that is read.
    """

    sources: Sequence[HintSource]
    every_frame: bool = False
    first: int = 0

    @classmethod
    def open(cls, job: Job, earlier: EarlierRun | None = None) -> Hints:
        """Open the job's hints, if there are any.

        earlier: the run that is refined.
        Raises UsageError where one lies outside the input's picture.
        """
        sources = []
        for option in HINTS:
            had = [] if earlier is None else earlier.unchanged_hints(option)
            for argument in getattr(job.settings, option):
                source = _open_hint(job, argument, option)
                sources.append(replace(source, earlier=argument in had))
        several = job.clip.info.is_picture and len(job.clip.paths) > 1
        return cls(sources, several)

    def for_frames(self, first: int, count: int) -> Hints:
        """Return the hints for an input that is read from frame ``first`` on.

        count: how many frames are read.
        Raises UsageError where a hint cannot be used, or two contradict each other.
        """
        for source in self.sources:
            source.check(first, count, pictures=self.every_frame)
        hints = replace(self, first=first)
        check_contradictions(hints)
        return hints

    def any_in(self, border: Border) -> bool:
        """Return whether a hint of the foreground marks something in a border of the frames.

        Hints that are clips are not looked at.
        """
        pictures = (
            each.picture() > WHITE for each in self.sources if each.is_picture and each.foreground
        )
        return any(bool(each.sum() > border.cropped(each).sum()) for each in pictures)

    def foreground_mask(self, indices: Sequence[int]) -> Tensor | None:
        """Return what is marked as foreground by hints without a frame's number.

        indices: frame numbers in ascending order, for hints that are clips.
        Returns ``(T, 1, H, W)`` in [0, 1], or ``(1, 1, H, W)`` where all hints are pictures;
        ``None`` where there is no such hint.
        """
        union: Tensor | None = None
        for source in self.sources:
            if source.foreground and source.argument.frame is None:
                levels = self._levels(source, indices)
                union = levels if union is None else torch.maximum(union, levels)
        return union

    def regions(self, indices: Sequence[int], *, clips: bool = False) -> tuple[HintRegion, ...]:
        """Return the regions that were drawn for the frames ``indices``, in ascending order.

        Clips are rough masks of all frames, which :meth:`foreground_mask` returns.
        clips: whether to return the frames of new clips, too.
        """
        regions = []
        window_indices = {frame: position for position, frame in enumerate(indices)}
        for source in self.sources:
            if not source.is_picture and (source.earlier or not clips):
                continue
            for frame, levels in self._drawn_levels(source, indices):
                is_drawn = float(levels.max()) > WHITE
                if is_drawn and (frame is None or frame in window_indices):
                    window_index = None if frame is None else window_indices[frame]
                    regions.append(source.region(levels, window_index))
        return tuple(regions)

    def _levels(self, source: HintSource, indices: Sequence[int]) -> Tensor:
        """Return the levels of one hint in [0, 1].

        Returns ``(1, 1, H, W)`` of a picture, ``(T, 1, H, W)`` of a clip's frames ``indices``.
        """
        if source.is_picture:
            return source.picture()[None]
        return torch.stack([levels for _, levels in self._drawn_levels(source, indices)])

    def frame_of(self, source: HintSource) -> int | None:
        """Return the frame that a picture was drawn for; ``None`` for every frame."""
        frame = source.argument.frame
        return self.first if frame is None and not self.every_frame else frame

    def _drawn_levels(
        self, source: HintSource, indices: Sequence[int]
    ) -> Iterator[tuple[int | None, Tensor]]:
        """Yield the frames that a hint was drawn for, and its levels ``(1, H, W)`` in [0, 1].

        The frame is ``None`` where the hint belongs to every frame.
        indices: the frames to read from a clip, in ascending order; not used for a picture.
        """
        if not source.is_picture:
            wanted = set(indices)
            frames = source.frames(indices[0], indices[-1])
            yield from ((index, levels) for index, levels in frames if index in wanted)
            return
        yield self.frame_of(source), source.picture()


def _open_hint(job: Job, argument: HintArgument, option: str) -> HintSource:
    """Open one hint. option: ``hint`` or ``hint_background``.

    Raises UsageError where it lies outside the input's picture or has another size.
    """
    settings, info = job.settings, job.clip.info
    # Arrays from Python lie in a temporary folder, whose path means nothing to the user.
    known_as = printable(Path(settings.hint_known_as(argument)))
    name, foreground = f"--{option.replace('_', '-')} {known_as}", option == "hint"
    input_name = printable(Path(settings.known_as(info.path)))
    size = info.height, info.width
    if argument.area is not None:
        left, top, width, height = argument.area
        if left + width > info.width or top + height > info.height:
            raise UsageError(
                f"{name}: lies outside {input_name}, which is {info.width}x{info.height}"
            )
        return HintSource(argument, name, foreground, size)
    assert argument.file is not None, "a hint is a box, a point or a file"
    clip = open_clip([argument.file], max_pixels=settings.max_pixels, interlaced="keep")
    if (clip.info.width, clip.info.height) != (info.width, info.height):
        raise UsageError(
            f"{name}: is {clip.info.width}x{clip.info.height}, but {input_name} is "
            f"{info.width}x{info.height}; draw it at the input's size"
        )
    return HintSource(argument, name, foreground, size, clip)
