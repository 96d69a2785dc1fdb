"""Read the hints: pictures, clips, boxes and points with which the user marks a place.

They come from the options ``--hint`` and ``--hint-background``. Hints add up. A hint of a clip
belongs to the frame that it was drawn for, which is the first one unless the user says otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.hint_words import HintWord
from pipeline.task import Job
from stages.errors import UsageError
from stages.marks import HintMark
from stages.media.read import Clip, open_clip
from stages.media.sniff import printable

WHITE = 0.5
"""Level, from 0 to 1, above which a pixel of a hint counts as marked: the middle of the range."""


@dataclass(frozen=True)
class HintSource:
    """One hint of the user, opened.

    word: as the user gave it. name: the option and the hint, as messages have them.
    foreground: whether it marks the foreground; otherwise it marks the background.
    size: height and width of the input. clip: the open file; ``None`` for a box or point.
    """

    word: HintWord
    name: str
    foreground: bool
    size: tuple[int, int]
    clip: Clip | None = None

    @property
    def is_picture(self) -> bool:
        """Return whether the hint is one picture, and not a clip with a mark for each frame."""
        return self.clip is None or self.clip.info.is_picture

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, Tensor]]:
        """Yield frame numbers and levels ``(1, H, W)`` in [0, 1] of the file, or of the box."""
        if self.word.area is not None:
            left, top, width, height = self.word.area
            drawn = torch.zeros(1, *self.size)
            drawn[:, top : top + height, left : left + width] = 1
            yield 0, drawn
        if self.clip is not None:
            for block in self.clip.blocks(first, last):
                for index, pixels in enumerate(block.pixels, block.first):
                    yield index, pixels.mean(0, keepdim=True)

    def picture(self) -> Tensor:
        """Return the levels ``(1, H, W)`` in [0, 1] of a hint that is one picture."""
        return next(self.blocks(0, 0))[1]

    def mark(self, levels: Tensor, place: int | None) -> HintMark:
        """Return the mark that ``levels`` ``(1, H, W)`` make, at a place in the window."""
        boxed = self.word.box is not None
        return HintMark(levels[0] > WHITE, self.foreground, place, boxed)

    def check(self, first: int, count: int, *, pictures: bool) -> None:
        """Raise UsageError where the hint marks nothing, or belongs to no frame of the input.

        first, count: the input's frames. pictures: they are pictures, numbered in their order.
        """
        found, brightest = 0, 0.0
        for _, levels in self.blocks():
            found += 1
            brightest = max(brightest, float(levels.max()))
        if brightest <= WHITE:
            raise UsageError(
                f"{self.name}: has nothing white in it; mark the place in white on black"
            )
        frame = self.word.frame
        if not self.is_picture:
            if frame is not None:
                raise UsageError(
                    f"{self.name}: is a clip, which marks every frame; leave out {frame}:"
                )
            if found < first + count:
                raise UsageError(
                    f"{self.name}: has {found} frames, but the input has {first + count}; "
                    "give a picture, or a clip with as many frames"
                )
        if frame is not None and not first <= frame < first + count:
            what = "pictures" if pictures else "frames"
            raise UsageError(
                f"{self.name}: is for frame {frame}, but the input's {what} are {first} to "
                f"{first + count - 1}; give one of these numbers, or leave out {frame}:"
            )


class Hints:
    """All hints of a run.

    sources: in the order in which they were given, those of the foreground first.
    every_frame: whether a hint without a frame's number belongs to every frame, as with several
        pictures; otherwise it belongs to the first one.
    """

    def __init__(self, sources: Sequence[HintSource], *, every_frame: bool = False) -> None:
        self.sources = sources
        self.every_frame = every_frame
        self.first = 0

    @classmethod
    def of(cls, job: Job) -> Hints:
        """Open the job's hints, if there are any.

        Raises UsageError where one lies outside the input's picture.
        """
        settings = job.settings
        sources = [_opened(job, word, "--hint", foreground=True) for word in settings.hint]
        sources += [
            _opened(job, word, "--hint-background", foreground=False)
            for word in settings.hint_background
        ]
        several = job.clip.info.is_picture and len(job.clip.paths) > 1
        return cls(sources, every_frame=several)

    def check(self, first: int, count: int) -> None:
        """Raise UsageError where a hint cannot be used, or two contradict each other.

        first, count: the frames of the input that are read.
        """
        self.first = first
        for source in self.sources:
            source.check(first, count, pictures=self.every_frame)
        self._check_contradictions()

    def frames(self, indices: Sequence[int]) -> Tensor | None:
        """Return what is marked as foreground by hints without a frame's number.

        indices: frame numbers in rising order, for hints that are clips.
        Returns ``(T, 1, H, W)`` in [0, 1], or ``(1, 1, H, W)`` where all hints are pictures;
        ``None`` where there is no such hint.
        """
        union: Tensor | None = None
        for source in self.sources:
            if source.foreground and source.word.frame is None:
                levels = self._levels(source, indices)
                union = levels if union is None else torch.maximum(union, levels)
        return union

    def marks(self, indices: Sequence[int]) -> tuple[HintMark, ...]:
        """Return the marks that were drawn for the frames ``indices``, in rising order.

        Clips are no marks of single frames: they are rough, and :meth:`frames` has them.
        """
        found = []
        places = {index: place for place, index in enumerate(indices)}
        for source in self.sources:
            for index, levels in self._drawn(source, indices):
                if source.is_picture and (index is None or index in places):
                    place = None if index is None else places[index]
                    found.append(source.mark(levels, place))
        return tuple(found)

    def _levels(self, source: HintSource, indices: Sequence[int]) -> Tensor:
        if source.is_picture:
            return source.picture()[None]
        return torch.stack([levels for _, levels in self._drawn(source, indices)])

    def _drawn(
        self, source: HintSource, indices: Sequence[int]
    ) -> Iterator[tuple[int | None, Tensor]]:
        """Yield the frames that a hint was drawn for, ``None`` for every one, and its levels."""
        if not source.is_picture:
            wanted = set(indices)
            blocks = source.blocks(indices[0], indices[-1])
            yield from ((index, levels) for index, levels in blocks if index in wanted)
            return
        frame = source.word.frame
        if frame is None and not self.every_frame:
            frame = self.first
        yield frame, source.picture()

    def _check_contradictions(self) -> None:
        """Raise UsageError where a pixel is marked as foreground and as background.

        A box only says that the foreground is somewhere inside, so background may lie in it.
        """
        by_frame: dict[int | None, list[tuple[HintSource, HintMark]]] = defaultdict(list)
        for source in self.sources:
            if source.is_picture:
                for frame, levels in self._drawn(source, ()):
                    by_frame[frame].append((source, source.mark(levels, None)))
        everywhere = by_frame.pop(None, [])
        for drawn in [everywhere, *([*there, *everywhere] for there in by_frame.values())]:
            for ours, mark in drawn:
                for theirs, other in drawn:
                    if mark.foreground and not other.foreground:
                        _check_pair(ours, mark, theirs, other)


def _check_pair(ours: HintSource, mark: HintMark, theirs: HintSource, other: HintMark) -> None:
    both = int((mark.pixels & other.pixels).sum())
    if both == 0 or (mark.is_box and both < int(mark.pixels.sum())):
        return
    pixels = "the same pixel" if both == 1 else f"the same {both} pixels"
    raise UsageError(
        f"{ours.name} and {theirs.name}: mark {pixels}; a pixel is foreground or background"
    )


def _opened(job: Job, word: HintWord, option: str, *, foreground: bool) -> HintSource:
    settings, info = job.settings, job.clip.info
    # Arrays from Python lie in a temporary folder, whose path means nothing to the user.
    name = f"{option} {printable(Path(settings.hint_known_as(word)))}"
    input_name = printable(Path(settings.known_as(info.path)))
    size = info.height, info.width
    if word.area is not None:
        left, top, width, height = word.area
        if left + width > info.width or top + height > info.height:
            raise UsageError(
                f"{name}: lies outside {input_name}, which is {info.width}x{info.height}"
            )
        return HintSource(word, name, foreground, size)
    assert word.file is not None, "a hint is a box, a point or a file"
    clip = open_clip([word.file], max_pixels=settings.max_pixels, interlaced="keep")
    if (clip.info.width, clip.info.height) != (info.width, info.height):
        raise UsageError(
            f"{name}: is {clip.info.width}x{clip.info.height}, but {input_name} is "
            f"{info.width}x{info.height}; draw it at the input's size"
        )
    return HintSource(word, name, foreground, size, clip)
