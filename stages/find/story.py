"""From cuts and blends to shots and transitions: which sides are shots and which are a plain colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stages.shots import Analysis, Kind, Shot, Space, Transition


@dataclass(frozen=True)
class Event:
    """A transition before its sides are known. The colours are those of its neighbouring clean frames, where these are plain."""

    first_frame: int
    last_frame: int
    kind: Kind
    space: Space = "gamma"
    mix: tuple[float, ...] = ()
    out_colour: str | None = None
    in_colour: str | None = None


def brightness(colour: str) -> int:
    """Sum of the parts of a colour ``#rrggbb``."""
    return sum(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def gap_colours(events: Sequence[Event]) -> list[str | None]:
    """For each gap before, between and after the events the colour that it is, or None where it is a shot.

    A plain gap that a blend leads to or from is a colour, not a shot. But no transition leads from colour to colour: between two plain
    pictures the darker one is the colour, unless it was already a shot to the transition before.
    """
    gaps: list[str | None] = [None] * (len(events) + 1)
    for place, event in enumerate(events):
        gaps[place] = gaps[place] or event.out_colour
        gaps[place + 1] = event.in_colour
    for place in range(len(events)):
        left, right = gaps[place], gaps[place + 1]
        if left and right:
            darker_last = place == 0 and brightness(right) < brightness(left)
            gaps[place if darker_last else place + 1] = None
    return gaps


def story(frames: int, events: Sequence[Event]) -> Analysis:
    """Shots and transitions of a clip of ``frames`` frames in which ``events`` happen."""
    events = sorted(events, key=lambda event: (event.first_frame, event.last_frame))
    gaps = gap_colours(events)
    starts = [0, *(event.last_frame + 1 for event in events)]
    stops = [*(event.first_frame for event in events), frames]
    shots: list[Shot] = []
    numbers: list[int | None] = []
    for start, stop, colour in zip(starts, stops, gaps, strict=True):
        numbers.append(None if colour or not frames else len(shots))
        if numbers[-1] is not None:
            shots.append(Shot(start, stop - 1))
    transitions = []
    for place, event in enumerate(events):
        colour = gaps[place] or gaps[place + 1]
        kind: Kind = "fade" if colour and event.kind == "dissolve" else event.kind
        sides = numbers[place], numbers[place + 1]
        transitions.append(Transition(event.first_frame, event.last_frame, kind, event.mix, event.space, *sides, colour))
    return Analysis(frames, tuple(shots), tuple(transitions))
