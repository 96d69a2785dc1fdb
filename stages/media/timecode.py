"""Time code: the label of a frame, counted on from the label of a clip's first one (SMPTE ST 12-1)."""

from __future__ import annotations

import re
from fractions import Fraction

_LABEL = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)", re.ASCII)


def is_timecode(label: str, rate: Fraction) -> bool:
    """Return whether a label is possible at a rate in frames per second."""
    match = _LABEL.fullmatch(label)
    if match is None:
        return False
    hours, minutes, seconds, frames = (int(match[part]) for part in (1, 2, 3, 5))
    return (
        hours < 24
        and minutes < 60
        and seconds < 60
        and frames < round(rate)
        and _counts(label, rate)
    )


def _counts(label: str, rate: Fraction) -> bool:
    """Drop frame is defined at 30000/1001 and its multiples alone."""
    return label[8] == ":" or round(rate) % 30 == 0


def advance(label: str, frames: int, rate: Fraction) -> str:
    """Return the label ``frames`` after ``label``, which ``:`` or, where labels are dropped, ``;`` divides.

    Drop frame leaves out the labels 00 and 01 (at 60: 00 to 03) of every minute but each tenth, so that labels keep
    to the clock at 30000/1001. Labels begin again after 24 hours. Raises ValueError for what is no label at this rate.
    """
    match = _LABEL.fullmatch(label)
    if match is None or not is_timecode(label, rate):
        raise ValueError(f"{label!r} is no time code at {rate} frames per second")
    hours, minutes, seconds, count = (int(match[part]) for part in (1, 2, 3, 5))
    each = round(rate)
    dropped = each // 15 if label[8] != ":" else 0
    whole = hours * 60 + minutes
    number = (60 * whole + seconds) * each + count - dropped * (whole - whole // 10)
    ten = 600 * each - 9 * dropped
    number = (number + frames) % (144 * ten)
    tens, rest = divmod(number, ten)
    number += 9 * dropped * tens
    if dropped and rest >= dropped:
        number += dropped * ((rest - dropped) // (60 * each - dropped))
    frame, clock = number % each, number // each
    return f"{clock // 3600 % 24:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}{label[8]}{frame:02d}"
