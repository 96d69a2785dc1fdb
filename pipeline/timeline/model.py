"""The neutral description of an edit, which every format of timelines writes.

Frames are counted from 0 in the input as decoded; first and last frames are inclusive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from pipeline.timeline.entries import TransitionEntry
from stages.media.timecode import label_of
from stages.plain_colors import rgb_of

BLACK = 24
"""The largest level, of 255, of a colour that editors show as empty (black)."""


@dataclass(frozen=True)
class TimelineMedia:
    """A media file.

    name: its file name. url: its address, relative to the timeline's file. first, last: the frames
    of the input that it holds. start: the number of its first frame in time code, 0 where it has
    none. has_audio: whether it has an audio track.
    """

    name: str
    url: str
    first: int
    last: int
    start: int = 0
    has_audio: bool = False


@dataclass(frozen=True)
class TimelineClip:
    """What is shown from one edit point to the next.

    first, last: its frames. media: where they come from; ``None`` for a plain colour. color:
    ``#rrggbb`` of that colour.
    """

    name: str
    first: int
    last: int
    media: TimelineMedia | None = None
    color: str = ""

    def __len__(self) -> int:
        return self.last - self.first + 1

    @property
    def is_black(self) -> bool:
        """Whether this is a plain colour that is nearly black."""
        return self.media is None and max(rgb_of(self.color)) <= BLACK

    def source(self, frame: int) -> int:
        """Return the number, in its media's time code, of the frame shown at ``frame``."""
        return frame if self.media is None else self.media.start + frame - self.media.first


@dataclass(frozen=True)
class TimelineTransition:
    """A transition that the timeline makes between two neighbouring clips.

    first, last: its mixed frames. before, after: how many of them lie before and after the
    edit point.
    entry: the transition as the manifest lists it.
    """

    first: int
    last: int
    before: int
    after: int
    entry: TransitionEntry

    def __len__(self) -> int:
        return self.last - self.first + 1

    @property
    def name(self) -> str:
        """The kind, with FFmpeg's name of an effect if it has one: ``wipe (wipeleft)``."""
        kind, effect = self.entry.kind, self.entry.effect
        return f"{kind} ({effect})" if effect else kind


@dataclass(frozen=True)
class TimelineMarker:
    """A remark on some frames. is_warning: whether it is a warning of the run or of ``probe``."""

    first: int
    last: int
    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class TimelineRow:
    """A row of the shot list: a shot (``kind`` is ``shot``), a plain colour or a transition.

    first, last: its frames; a cut has none, so ``last`` is one less than ``first``. file: of the
    layer that shows the shot, if there is one. file_first, file_last: the frames that it holds.
    """

    kind: str
    name: str
    first: int
    last: int
    effect: str = ""
    color: str = ""
    file: str = ""
    file_first: int | None = None
    file_last: int | None = None


@dataclass(frozen=True)
class EditTimeline:
    """The edit of one clip: what is shown when.

    rate: frames per second. start: the number of input frame 0 in time code. separator: the
    character before the frames of a time code; ``:`` unless it drops frames. width, height: in
    pixels. clips: in order, without gaps. transitions: one for each edit point between two
    clips; ``None`` for a cut. markers, rows: in order of time.
    """

    name: str
    rate: Fraction
    start: int
    separator: str
    width: int
    height: int
    pixel_aspect: Fraction
    clips: tuple[TimelineClip, ...]
    transitions: tuple[TimelineTransition | None, ...]
    markers: tuple[TimelineMarker, ...]
    rows: tuple[TimelineRow, ...] = ()

    @property
    def first(self) -> int:
        """The first frame."""
        return self.clips[0].first

    @property
    def last(self) -> int:
        """The last frame."""
        return self.clips[-1].last

    @property
    def drops_frames(self) -> bool:
        """Whether its time code is drop-frame."""
        return self.separator != ":"

    def label(self, frame: int) -> str:
        """Return the time code of an input frame."""
        return label_of(self.start + frame, self.rate, self.separator)

    def source_label(self, number: int) -> str:
        """Return the time code with this number, as :meth:`TimelineClip.source` gives it."""
        return label_of(number, self.rate, self.separator)


@dataclass(frozen=True)
class TimelineFormat:
    """A file format for timelines.

    name: the word for ``--timeline``. file_name: of the file in a run's folder. render: returns the
    file's text. fits: returns why a clip at this rate cannot be written, or ``None``.
    """

    name: str
    file_name: str
    render: Callable[[EditTimeline], str]
    fits: Callable[[Fraction], str | None] = field(default=lambda rate: None)
