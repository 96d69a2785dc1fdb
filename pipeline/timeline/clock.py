"""Turn a clip's time codes into frame numbers, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.values import Span, TimeCode, TimedSpan
from stages.errors import UsageError
from stages.media.clip import ClipInfo
from stages.media.timecode import is_timecode, label_of, number_of

TOLERANCE = 2
"""Intervals between frames by which a frame may be off the time that was given for it."""


@dataclass(frozen=True)
class ListClock:
    """How a clip's time codes count: its rate, the number of frame 0, and the separator."""

    rate: Fraction
    start: int
    separator: str

    def frame(self, label: str) -> int | None:
        """Return the frame with a time code, or ``None`` where it is none of this clip."""
        if not is_timecode(label, self.rate):
            return None
        frame = number_of(label, self.rate) - self.start
        if frame < 0:
            # Time codes begin again at midnight.
            frame += number_of(f"23:59:59{label[8]}{round(self.rate) - 1:02d}", self.rate) + 1
        return frame

    def label(self, frame: int) -> str:
        """Return the time code of a frame."""
        return label_of(self.start + frame, self.rate, self.separator)


def time_code_of(info: ClipInfo) -> tuple[int, str]:
    """Return the number of frame 0 in time code, and the character before the frames."""
    if not info.timecode:
        return 0, ":"
    separator = ":" if info.timecode[8] == ":" else ";"
    return number_of(info.timecode, info.rate), separator


def frames_of(span: Span, info: ClipInfo) -> tuple[int, int]:
    """Return the first and last frame of a span, both inclusive, at the clip's average rate.

    Seconds count from the clip's beginning, and are rounded to frames: the frames from the first
    time until before the last one. A time code is that of a frame.

    Raises UsageError where the clip has no such time code, or no frame lies between two times.
    """
    if not isinstance(span, TimedSpan):
        return span
    first, last = _frame_at(span.first, info), _frame_at(span.last, info)
    if isinstance(span.last, Fraction):
        last -= 1
    if first > last:
        raise UsageError(
            f"--transition {span} holds no frame at {float(info.rate):g} frames a second; give an "
            "earlier FIRST or a later LAST"
        )
    return first, last


def _frame_at(end: int | Fraction | TimeCode, info: ClipInfo) -> int:
    """Return the frame with a number or a time code, or the one that begins nearest to a time."""
    if isinstance(end, int):
        return end
    if isinstance(end, Fraction):
        return math.ceil(end * info.rate - Fraction(1, 2))
    frame = ListClock(info.rate, *time_code_of(info)).frame(end.label)
    if frame is None:
        raise UsageError(
            f"--transition: {end} is no time code at {float(info.rate):g} frames a second; give "
            "frame numbers, or another time code"
        )
    return frame


def check_times(spans: Iterable[Span], info: ClipInfo, times: Sequence[Fraction]) -> None:
    """Raise UsageError where frames do not have the times in seconds that a span gives.

    The rate of a clip may vary, and is known to do so only when all frames were read.
    times: of the frames from the beginning of the clip, in seconds.
    """
    for span in spans:
        if not isinstance(span, TimedSpan):
            continue
        for end in (span.first, span.last):
            if not isinstance(end, Fraction):
                continue
            frame = min(_frame_at(end, info), len(times) - 1)
            if abs(times[frame] - times[0] - end) > TOLERANCE / info.rate and frame >= 0:
                raise UsageError(
                    f"--transition {span}: the clip's frames are not evenly spaced, so seconds do "
                    "not say which they are; give frame numbers, as probe lists them"
                )
