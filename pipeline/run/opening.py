"""Open the input of a run, and check that the settings can fit it."""

from __future__ import annotations

from fractions import Fraction

from pipeline.run.inputs import check_fit, check_inputs
from pipeline.settings import Settings
from pipeline.timeline.clock import ListClock, frames_of, time_code_of
from pipeline.values import TimeCode, check_order, check_spans
from stages.errors import UsageError
from stages.media.clip import ClipInfo
from stages.media.read import Clip, open_clip
from stages.media.sniff import printable
from stages.media.trial import try_files

HEADER_SECONDS = 1.0
"""Seconds by which a header may understate a clip's length."""
HEADER_FRAMES = 2
"""Frames by which a header may understate the number of frames, on top of the factors below."""
COUNTED_FACTOR = 1.02
"""Factor by which the number of frames in a header may be too low."""
GUESSED_FACTOR = 1.5
"""Factor by which a number of frames may be too low that comes from length and rate alone."""


def open_checked(settings: Settings) -> Clip:
    """Return the open clip.

    Raises UsageError where the settings cannot fit it, as far as its header tells, and UnlayerError
    where it cannot be read. Nothing heavy is done before that.
    """
    check_inputs(settings.inputs)
    try_files(settings.inputs, stream=settings.stream, max_pixels=settings.max_pixels)
    try_files(settings.hint_files, max_pixels=settings.max_pixels)
    start = _seconds_at(settings.start, settings)
    end = _seconds_at(settings.end, settings, may_be_later=True)
    check_order(start, end)
    clip = open_clip(
        settings.inputs,
        stream=settings.stream,
        salvage=settings.salvage,
        start=start,
        end=end,
        max_pixels=settings.max_pixels,
        interlaced=settings.interlaced,
    )
    check_fit(settings, clip.info)
    _check_ranges(settings, start, clip.info)
    return clip


def _seconds_at(
    time: Fraction | TimeCode | None, settings: Settings, *, may_be_later: bool = False
) -> Fraction | None:
    """Return a time in seconds of the clip; ``None`` stays ``None``.

    A time code becomes the time of the frame that the clip labels with it. Where the clip has no
    time codes, they count from 0.

    may_be_later: whether a time code after the clip's last one is taken, too.
    Raises UsageError for a time code that the clip cannot have, and UnlayerError where the clip
    cannot be read.
    """
    if not isinstance(time, TimeCode):
        return time
    info = open_clip(
        settings.inputs,
        stream=settings.stream,
        salvage=settings.salvage,
        max_pixels=settings.max_pixels,
        interlaced="keep",
    ).info
    clock = ListClock(info.rate, *time_code_of(info))
    frame = clock.frame(time.label)
    if frame is None:
        raise UsageError(
            f"{printable(info.path)}: {time} is no time code at {float(info.rate):g} frames a "
            "second; give seconds, or another time code"
        )
    seconds = _seconds(info)
    if seconds is not None:
        count = round(Fraction(seconds) * info.rate)
        is_later = frame > count + (HEADER_SECONDS * info.rate)
        # A time code before the first one counts as one of the next day.
        is_earlier = is_later and time.label < clock.label(0)
        if is_earlier or (is_later and not may_be_later):
            raise UsageError(
                f"{printable(info.path)}: has no frame with the time code {time}; its time codes "
                f"are {clock.label(0)} to {clock.label(count - 1)}"
            )
    # Half a frame earlier, because containers round the times of frames.
    return max(Fraction(0), (frame - Fraction(1, 2)) / info.rate)


def _check_ranges(settings: Settings, start: Fraction | None, info: ClipInfo) -> None:
    """Raise UsageError for times and frames that lie far outside the clip.

    Headers are not exact, so there is some tolerance; the number of decoded frames decides later.
    """
    name = printable(info.path)
    seconds = _seconds(info)
    if seconds is not None and start is not None and start > seconds + HEADER_SECONDS:
        raise UsageError(
            f"--start {float(start):g} is after the end of {name}, which lasts {seconds:.3g} s"
        )
    spans = [frames_of(span, info) for span in settings.transition]
    check_spans(spans)
    for first, last in spans:
        outside = f"--transition {first}:{last} is not inside {name}"
        if info.frames:
            if last > COUNTED_FACTOR * info.frames + HEADER_FRAMES:
                frames = f"{info.frames} frames (0 to {info.frames - 1})"
                raise UsageError(f"{outside}, which has {frames}")
        elif seconds is not None:
            # Matroska does not count its frames, and its rate may vary.
            frames_about = seconds * float(info.rate)
            if last > GUESSED_FACTOR * frames_about + HEADER_FRAMES:
                raise UsageError(
                    f"{outside}, which lasts {seconds:.3g} s, about {frames_about:.0f} frames"
                )


def _seconds(info: ClipInfo) -> float | None:
    """Return the clip's length in seconds according to its header, or ``None``."""
    if info.frames:
        return float(info.frames / info.rate)
    return float(info.seconds) if info.seconds else None
