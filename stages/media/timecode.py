"""Compute time codes: labels from frame numbers, and frame numbers from labels (SMPTE ST 12-1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

_LABEL = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)", re.ASCII)


def is_timecode(label: str, rate: Fraction) -> bool:
    """Return whether a label is a valid time code at ``rate`` frames per second."""
    match = _LABEL.fullmatch(label)
    if match is None:
        return False
    hours, minutes, seconds, frames = (int(match[part]) for part in (1, 2, 3, 5))
    return (
        hours < 24
        and minutes < 60
        and seconds < 60
        and frames < round(rate)
        and (label[8] == ":" or _has_drop_frame(rate))
    )


def _has_drop_frame(rate: Fraction) -> bool:
    """Return whether drop-frame time code is defined: only for 30000/1001 and its multiples."""
    return round(rate) % 30 == 0


def advance(label: str, frames: int, rate: Fraction) -> str:
    """Return the time code ``frames`` frames after ``label``.

    label: ``hh:mm:ss:ff``, or with ``;`` or ``.`` before the frames for drop-frame time code. Drop
        frame skips the labels 00 and 01 (at 60: 00 to 03) of every minute except each tenth, so
        that labels match the clock at 30000/1001. Labels start again after 24 hours.
    rate: in frames per second.

    Raises ValueError where ``label`` is not a time code at this rate.
    """
    return label_of(number_of(label, rate) + frames, rate, label[8])


def number_of(label: str, rate: Fraction) -> int:
    """Return how many frames after midnight a time code is.

    label, rate: as of :func:`advance`. Raises ValueError where ``label`` is not a time code at
    this rate.
    """
    match = _LABEL.fullmatch(label)
    if match is None or not is_timecode(label, rate):
        raise ValueError(f"{label!r} is not a time code at {rate} frames per second")
    hours, minutes, seconds, count = (int(match[part]) for part in (1, 2, 3, 5))
    each = round(rate)
    total_minutes = hours * 60 + minutes
    skipped = _dropped(each, label[8]) * (total_minutes - total_minutes // 10)
    return (60 * total_minutes + seconds) * each + count - skipped


def label_of(number: int, rate: Fraction, separator: str = ":") -> str:
    """Return the time code of the frame that is ``number`` frames after midnight.

    rate: in frames per second, 0.5 or more. separator: the character before the frames; anything
    but ``:`` means drop-frame time code.
    """
    each = round(rate)
    dropped = _dropped(each, separator)
    ten_minutes = 600 * each - 9 * dropped
    # Count the labels that were skipped before this frame.
    tens, rest = divmod(number % (144 * ten_minutes), ten_minutes)
    number = tens * ten_minutes + rest + 9 * dropped * tens
    if dropped and rest >= dropped:
        number += dropped * ((rest - dropped) // (60 * each - dropped))
    frame = number % each
    clock = number // each
    return f"{clock // 3600 % 24:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}{separator}{frame:02d}"


def is_variable_rate(times: Sequence[Fraction], rate: Fraction) -> bool:
    """Return whether frames lie half a frame or more from where a constant rate puts them.

    times: presentation times in seconds. rate: in frames per second.
    """
    return any(
        abs(time - times[0] - place / rate) >= 1 / (2 * rate) for place, time in enumerate(times)
    )


def _dropped(each: int, separator: str) -> int:
    """Return how many labels drop frame skips a minute; 0 for time code that skips none."""
    return 0 if separator == ":" else each // 15
