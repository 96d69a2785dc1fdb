"""What takes the frames of a layer, and how long each of them is shown."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

from av.video.frame import VideoFrame

from stages.media.clip import SourceSpan

# Seconds by which intervals may differ before a sequence, which keeps no times, has a warning:
# some containers round times to milliseconds.
_UNEVEN = Fraction(2, 1000)


class LayerSink(Protocol):
    """What takes the frames of a layer, in order: a video, a picture, or a folder of pictures.

    is_single: whether it takes one frame only.
    """

    is_single: bool

    def begin(self, source: SourceSpan | None) -> None:
        """Open it. source: the part of the input that goes beside the frames."""

    def add(self, frame: VideoFrame, time: int, duration: int) -> None:
        """Add the next frame. time, duration: in units of the layer's time base."""

    def finish(self) -> list[str]:
        """Complete it; return what could not be written."""

    def close(self) -> None:
        """Close all files, in whatever state they are."""


class TimedFrames:
    """Hand frames to a sink, each with its duration, which only the time of the next one tells.

    time_base: the unit of the layer's times, in seconds. rate: the usual frames per second.
    is_even: whether all intervals so far are those of this rate.
    """

    def __init__(self, sink: LayerSink, time_base: Fraction, rate: Fraction) -> None:
        self.is_even = True
        self._sink = sink
        self._time_base = time_base
        self._usual_interval = self._interval = 1 / rate
        self._first_time: Fraction | None = None
        self._held: tuple[VideoFrame, Fraction] | None = None

    def add(self, frame: VideoFrame, time: Fraction) -> None:
        """Hold a frame back and pass on the one before, whose duration is now known."""
        if self._first_time is None:
            self._first_time = time
        if self._held is not None:
            self._interval = time - self._held[1]
            self.is_even &= abs(self._interval - self._usual_interval) <= _UNEVEN
            self._pass_on(*self._held)
        self._held = (frame, time)

    def finish(self) -> None:
        """Pass on the last frame, for as long as the one before. Raises ValueError without any."""
        if self._held is None:
            raise ValueError("no frame was written")
        self._pass_on(*self._held)

    def _pass_on(self, frame: VideoFrame, time: Fraction) -> None:
        assert self._first_time is not None
        begin = round((time - self._first_time) / self._time_base)
        end = round((time + self._interval - self._first_time) / self._time_base)
        self._sink.add(frame, begin, max(1, end - begin))
