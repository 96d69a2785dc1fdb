"""Make the videos of a report: small copies of what browsers cannot play, and of the input."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import torch

from pipeline.report.tracks import LEAST_SIDE, Span
from stages.media.clip import Frames, SourceSpan
from stages.media.formats import PREVIEW
from stages.media.read import Clip
from stages.media.stored_frame import StoredFrame
from stages.media.write import LayerWriter
from stages.mixing.blend import blend
from stages.optim.threads import read_ahead

SMALLEST = (LEAST_SIDE, LEAST_SIDE)
"""Height and width in which a frame is read of which only the time is wanted."""

CHECK_SIZE = 8
"""Pixels of a square of the checkerboard behind transparent layers."""

DARK_CHECK, CHECK_CONTRAST = 0.8, 0.15
"""Level of the checkerboard's darker squares, and how much lighter the others are, 0 to 1."""


def preview_name(slug: str) -> str:
    """Return the name of a track's preview in the report's folder, without suffix."""
    return f"preview-{slug}"


@dataclass(frozen=True)
class MadePreview:
    """A preview that is there. spans: the frames that it holds. times: of these, in seconds."""

    spans: Sequence[Span]
    times: Sequence[float]


class PreviewFile:
    """A preview that is being written: frames of some spans, one behind the other.

    Use it as a context manager. Spans follow each other as if nothing lay between them.

    clip: where the frames come from. stem: the file's path without suffix.
    size: its height and width. sound: the audio that goes with it.
    spans: the spans that it holds so far. times: of its frames, in seconds.
    """

    def __init__(
        self, clip: Clip, stem: Path, size: tuple[int, int], sound: SourceSpan | None
    ) -> None:
        self._info = replace(
            clip.info,
            height=size[0],
            width=size[1],
            pixel_aspect=Fraction(1),
            bit_depth=8,
            is_picture=False,
        )
        self.size = size
        self.spans: list[Span] = []
        self.times: list[Fraction] = []
        self._shift = Fraction(0)
        self._writer = LayerWriter(
            stem,
            self._info,
            encoding=PREVIEW,
            source=sound,
            stored_size=(clip.info.height, clip.info.width),
        )

    def __enter__(self) -> PreviewFile:
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def made(self) -> MadePreview:
        """Return what it holds so far."""
        return MadePreview(self.spans, [float(each) for each in self.times])

    def abort(self) -> None:
        """Remove the unfinished preview."""
        self._writer.abort()

    def add(self, number: int, frame: StoredFrame | Frames) -> None:
        """Write the next frame. number: of the frame, as the spans count."""
        own_time = frame.time if isinstance(frame, StoredFrame) else frame.times[0]
        if self.spans and number == self.spans[-1][1] + 1:
            self.spans[-1] = self.spans[-1][0], number
        else:
            begin = self.times[-1] + 1 / self._info.rate if self.times else Fraction(0)
            self._shift = begin - own_time
            self.spans.append((number, number))
        self.times.append(own_time + self._shift)
        if isinstance(frame, StoredFrame):
            self._writer.write_stored(frame, self.times[-1])
        else:
            self._writer.write(replace(frame, times=(self.times[-1],)))


def encode_preview(
    clip: Clip,
    spans: Sequence[Span],
    stem: Path,
    size: tuple[int, int],
    *,
    first_number: int = 0,
    alpha: Clip | None = None,
    deadline: float,
) -> MadePreview:
    """Write the frames of ``spans`` as ``<stem>.mp4`` and return what it holds in the end.

    size: height and width of the preview.
    first_number: the number that the clip's first frame has in ``spans``.
    alpha: alpha of the clip's frames, which are then laid over a checkerboard.
    deadline: the time, by ``time.monotonic``, at which the preview ends early.

    The clip's audio goes with it where the frames are all of one span.
    """
    in_clip = [(first - first_number, last - first_number) for first, last in spans]
    numbered = (
        (number, frame)
        for (first, _), span in zip(spans, in_clip, strict=True)
        for number, frame in enumerate(_frames(clip, *span, size, alpha), first)
    )
    with PreviewFile(clip, stem, size, _sound_of(clip, in_clip)) as preview, closing(numbered):
        for number, frame in numbered:
            preview.add(number, frame)
            if time.monotonic() > deadline:
                break
    return preview.made()


def _sound_of(clip: Clip, spans: Sequence[Span]) -> SourceSpan | None:
    """Return the audio that goes with the frames of a clip, or None.

    There is none where the frames are not in one piece, or the clip ends before them.
    spans: frames of the clip, at most :data:`pipeline.report.tracks.LONGEST_PREVIEW`.
    """
    if len(spans) != 1 or not clip.info.audio_streams:
        return None
    ((first, last),) = spans
    block = next(iter(clip.blocks(first, first, SMALLEST)), None)
    return None if block is None else sound_of_span(clip, spans, block.times[0])


def sound_of_span(clip: Clip, spans: Sequence[Span], begin: Fraction) -> SourceSpan | None:
    """Return the audio that goes with some frames, or None; begin: the first one's time."""
    if len(spans) != 1 or not clip.info.audio_streams:
        return None
    ((first, last),) = spans
    return SourceSpan(clip.info.path, begin, begin + (last - first + 1) / clip.info.rate)


def _frames(
    clip: Clip, first: int, last: int, size: tuple[int, int], alpha: Clip | None
) -> Iterator[StoredFrame | Frames]:
    """Yield a clip's frames one by one, laid over a checkerboard where they have alpha."""
    if alpha is None:
        yield from read_ahead(clip.stored_frames(first, last))
        return
    board = checkerboard(size)
    frames = clip.blocks(first, last, size, length=1)
    for frame, alpha_frame in zip(frames, alpha.blocks(first, last, size, length=1), strict=False):
        opacity = alpha_frame.pixels.mean(1, keepdim=True)
        yield replace(frame, pixels=blend(board, frame.pixels, opacity))


def checkerboard(size: tuple[int, int]) -> torch.Tensor:
    """Return a board of light and lighter squares, ``(3, H, W)``, for ``size`` ``(H, W)``."""
    y, x = torch.arange(size[0])[:, None] // CHECK_SIZE, torch.arange(size[1]) // CHECK_SIZE
    return (DARK_CHECK + CHECK_CONTRAST * ((x + y) % 2).float()).expand(3, -1, -1)
