"""Mark frames of a timeline: warnings, frames of poor quality, and transitions of the source."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.timeline.entries import TransitionEntry
from pipeline.timeline.model import TimelineMarker
from stages.transition.confidence import USABLE

_NAMED_FRAMES = re.compile(r"\bframes? (\d+)(?: to (\d+))?")
"""How a warning names the frames that it is about."""


def in_order(markers: Iterable[TimelineMarker]) -> tuple[TimelineMarker, ...]:
    """Return markers in order of time."""
    return tuple(sorted(markers, key=lambda marker: (marker.first, marker.last)))


def warning_markers(warnings: Iterable[str], begin: int, end: int) -> tuple[TimelineMarker, ...]:
    """Return a marker for each warning, at the frames that it names.

    A warning that names no frames stands at the first one.

    begin, end: the first and the last frame of the timeline.
    """
    markers = []
    for text in warnings:
        match = _NAMED_FRAMES.search(text)
        first = int(match[1]) if match else begin
        last = int(match[2] or match[1]) if match else begin
        if not begin <= first <= last <= end:
            first = last = begin
        markers.append(TimelineMarker(first, last, " ".join(text.split()), is_warning=True))
    return in_order(markers)


def poor_quality_markers(transitions: Iterable[TransitionEntry]) -> list[TimelineMarker]:
    """Return a marker on the mixed frames in which a scene is expected to be too poor to use."""
    markers = []
    for entry in transitions:
        usable = entry.usable
        if usable is None:
            continue
        poor_from, poor_until = entry.first, entry.last
        if usable.outgoing_until is not None:
            poor_from = usable.outgoing_until + 1
        if usable.incoming_from is not None:
            poor_until = usable.incoming_from - 1
        poor = (
            (entry.outgoing, poor_from, entry.last),
            (entry.incoming, entry.first, poor_until),
        )
        markers += [
            TimelineMarker(first, last, f"{scene}: less than {USABLE:.0f} dB expected")
            for scene, first, last in poor
            if first <= last
        ]
    return markers


def transition_markers(transitions: Iterable[TransitionEntry]) -> list[TimelineMarker]:
    """Return a marker on the mixed frames of each transition of a known kind."""
    return [
        TimelineMarker(
            entry.first, entry.last, f"{entry.kind} from {entry.before} to {entry.after}"
        )
        for entry in transitions
        if entry.kind != "other" and not entry.is_cut
    ]
