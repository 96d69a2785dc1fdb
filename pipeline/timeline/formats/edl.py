"""Write CMX 3600 edit decision lists, which nearly all editing software reads.

The format knows cuts, dissolves, numbered wipes and black, one video track, and names of eight
characters. Comments say what it cannot hold.
"""

from __future__ import annotations

import re
from fractions import Fraction

from pipeline.timeline.model import (
    EditTimeline,
    TimelineClip,
    TimelineFormat,
    TimelineTransition,
)

MAX_RATE = 99
"""Frames per second above which two digits cannot number the frames of a second."""
MAX_LENGTH = 999
"""Frames of the longest transition: its field has three digits."""
_REEL_LENGTH = 8
_BLACK = "BL"
_WIPES = {
    "wiperight": 1,
    "wipeleft": 1,
    "wipedown": 2,
    "wipeup": 2,
    "vertopen": 21,
    "vertclose": 21,
    "horzopen": 22,
    "horzclose": 22,
    "diagtl": 41,
    "diagbr": 41,
    "diagtr": 42,
    "diagbl": 42,
    "rectcrop": 101,
    "circleopen": 119,
    "circleclose": 119,
    "circlecrop": 119,
    "radial": 201,
}
"""Numbers of SMPTE 258M (as SMIL 2.0 lists them), by FFmpeg's names. Directions are not in it."""
_USUAL_WIPE = {"wipe": 1, "iris": 119}


def render(timeline: EditTimeline) -> str:
    """Return the text of an ``.edl`` file."""
    mode = "DROP FRAME" if timeline.drops_frames else "NON-DROP FRAME"
    lines = [f"TITLE: {_one_line(timeline.name)}", f"FCM: {mode}"]
    events = _Events(timeline)
    for number in range(len(timeline.clips)):
        lines += ["", *events.lines(number)]
    return "\n".join(lines) + "\n"


def fits(rate: Fraction) -> str | None:
    """Return why a clip at this rate cannot be written, or ``None`` where it can."""
    if round(rate) > MAX_RATE:
        return f"an EDL counts at most {MAX_RATE} frames a second, and the clip has {float(rate):g}"
    return None


FORMAT = TimelineFormat("edl", "timeline.edl", render, fits)


class _Events:
    """The events of a timeline.

    An event begins where its transition does, not at the edit point.
    """

    def __init__(self, timeline: EditTimeline) -> None:
        self.timeline = timeline

    def lines(self, number: int) -> list[str]:
        """Return the lines of clip ``number``, counted from 0."""
        timeline = self.timeline
        clip = timeline.clips[number]
        transition = self._into(number)
        first, end = clip.first, clip.last + 1
        following = self._into(number + 1)
        if following is not None:
            end = following.first
        lines, names = [], []
        edit = "C"
        if transition is not None:
            before = timeline.clips[number - 1]
            first = transition.first
            edit = f"{_code(transition):<4} {len(transition):03d}"
            lines.append(self._line(number, before, "C", first, first))
            names.append(f"* FROM CLIP NAME: {_name(before)}")
            names.append(f"* TO CLIP NAME: {_name(clip)}")
            names.append(f"* EFFECT NAME: {transition.name.upper()}")
        else:
            names.append(f"* FROM CLIP NAME: {_name(clip)}")
        lines.append(self._line(number, clip, edit, first, end))
        if clip.media is not None:
            names.append(f"* SOURCE FILE: {_one_line(clip.media.name)}")
        return [*lines, *names, *self._markers(clip)]

    def _into(self, number: int) -> TimelineTransition | None:
        """Return the transition into clip ``number``, where the format can hold it."""
        if not 0 < number < len(self.timeline.clips):
            return None
        transition = self.timeline.transitions[number - 1]
        return transition if transition is not None and len(transition) <= MAX_LENGTH else None

    def _line(self, number: int, clip: TimelineClip, edit: str, first: int, end: int) -> str:
        """Return one line: the source's and the record's time codes of ``first`` to ``end``."""
        timeline = self.timeline
        source = [0, end - first]
        if clip.media is not None:
            source = [clip.source(first), clip.source(end)]
        labels = [timeline.source_label(frame) for frame in source]
        labels += [timeline.label(first), timeline.label(end)]
        return f"{number + 1:03d}  {_reel(clip):<8} V     {edit:<8} {' '.join(labels)}"

    def _markers(self, clip: TimelineClip) -> list[str]:
        """Return the markers that begin in a clip, as locators."""
        return [
            f"* LOC: {self.timeline.label(marker.first)} "
            f"{'RED' if marker.is_warning else 'GREEN'} {_one_line(marker.text)}"
            for marker in self.timeline.markers
            if clip.first <= marker.first <= clip.last
        ]


def _code(transition: TimelineTransition) -> str:
    """Return the code of a transition: ``D``, or ``W`` with a number for wipes and irises."""
    kind, effect = transition.entry.kind, transition.entry.effect
    if kind not in _USUAL_WIPE:
        return "D"
    return f"W{_WIPES.get(effect, _USUAL_WIPE[kind]):03d}"


def _reel(clip: TimelineClip) -> str:
    """Return a name of at most eight letters and digits: ``SCENE001`` for ``scene-001``."""
    if clip.media is None:
        return _BLACK
    stem = clip.media.name.rpartition(".")[0] or clip.media.name
    plain = re.sub(r"[^A-Z0-9]", "", stem.upper())
    if len(plain) > _REEL_LENGTH:
        digits = re.sub(r"[^0-9]", "", plain)[-_REEL_LENGTH + 1 :]
        plain = plain[: _REEL_LENGTH - len(digits)] + digits
    return plain or "AX"


def _name(clip: TimelineClip) -> str:
    """Return what a comment calls a clip: its media's file, or its colour."""
    if clip.media is None:
        return f"COLOR {clip.color}"
    return _one_line(clip.media.name)


def _one_line(text: str) -> str:
    """Return the text without line breaks and control characters, as ASCII where it is not."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain.encode("utf-8", "backslashreplace").decode("utf-8")
