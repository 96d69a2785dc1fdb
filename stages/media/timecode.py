"""Compute a frame's time code from that of the clip's first frame (SMPTE ST 12-1)."""

from __future__ import annotations

import re
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
    match = _LABEL.fullmatch(label)
    if match is None or not is_timecode(label, rate):
        raise ValueError(f"{label!r} is not a time code at {rate} frames per second")
    hours, minutes, seconds, count = (int(match[part]) for part in (1, 2, 3, 5))
    each = round(rate)
    dropped = each // 15 if label[8] != ":" else 0
    # From the label to the number of the frame since midnight.
    total_minutes = hours * 60 + minutes
    skipped = dropped * (total_minutes - total_minutes // 10)
    number = (60 * total_minutes + seconds) * each + count - skipped
    ten_minutes = 600 * each - 9 * dropped
    number = (number + frames) % (144 * ten_minutes)
    # And back: count the labels that were skipped before this frame.
    tens, rest = divmod(number, ten_minutes)
    number += 9 * dropped * tens
    if dropped and rest >= dropped:
        number += dropped * ((rest - dropped) // (60 * each - dropped))
    frame = number % each
    clock = number // each
    return f"{clock // 3600 % 24:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}{label[8]}{frame:02d}"
