"""List the shots of a run and the transitions between them, for the report's table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NotRequired, TypedDict

from pipeline.frame_ranges import range_text
from pipeline.report.facts import LayerFact, RunFacts, TransitionFact
from pipeline.report.tracks import link
from stages.media.timecode import is_timecode, label_of, number_of

MAX_SHOTS = 200
"""Shots that the table lists, at most."""

LEAST_TIMECODE_RATE = 0.5
"""Frames a second from which there are time codes."""


@dataclass(frozen=True)
class ShotFact:
    """One scene.

    first, last: the frames in which it is alone, inclusive; ``last`` is less than ``first`` where
        it is mixed all the time.
    held: first and last frame of each transition that was not taken apart.
    """

    layer: LayerFact
    first: int
    last: int
    held: tuple[tuple[int, int], ...] = ()

    @property
    def recovered(self) -> list[tuple[int, int]]:
        """The first and the last frame of each part that was taken out of a mixture."""
        parts = [(self.layer.first, self.first - 1), (self.last + 1, self.layer.last)]
        if self.last < self.first:
            parts = [(self.layer.first, self.layer.last)]
        for begin, end in self.held:
            sides = [
                ((first, min(last, begin - 1)), (max(first, end + 1), last))
                for first, last in parts
            ]
            parts = list(chain.from_iterable(sides))
        return [(first, last) for first, last in parts if first <= last]


class ShotListRow(TypedDict):
    """A row of the table: a shot or a transition.

    first: the first frame. name: the scene's, or the transition's kind. begin, end: time codes of
    the first and the last frame. frames: both numbers in words. count: how many there are. A cut
    has neither ``end`` nor ``frames``.

    Of a shot alone: picture: its address, if there is one. recovered: how many of its frames were
    mixed with another scene, and which; empty for none. file, href: of its layer. is_file: whether
    that can be downloaded as one file.
    """

    is_shot: bool
    first: int
    name: str
    begin: str
    end: str
    frames: str
    count: int
    picture: NotRequired[str | None]
    recovered: NotRequired[str]
    file: NotRequired[str]
    href: NotRequired[str]
    is_file: NotRequired[bool]


def shots_of(facts: RunFacts) -> list[ShotFact]:
    """Return the scenes of a run in their order."""
    return [_shot(layer, facts) for layer in facts.layers if layer.role == "scene"]


def _shot(layer: LayerFact, facts: RunFacts) -> ShotFact:
    first, last = layer.first, layer.last
    for transition in facts.transitions:
        if not transition.is_mixed:
            continue
        outgoing, incoming = transition.sides
        if incoming == layer.name:
            first = max(first, transition.last + 1)
        if outgoing == layer.name:
            last = min(last, transition.first - 1)
    held = tuple(
        (item.first, item.last)
        for item in facts.transitions
        if item.is_mixed and not item.is_separated
    )
    return ShotFact(layer, first, last, held)


def time_code(facts: RunFacts, frame: int) -> str:
    """Return a frame's time code; from zero where the input has none.

    Returns seconds where there are too few frames a second for time code.
    """
    rate = facts.exact_rate
    if rate <= LEAST_TIMECODE_RATE:
        return f"{frame / facts.rate:.2f} s"
    start, separator = 0, ":"
    if is_timecode(facts.timecode, rate):
        start, separator = number_of(facts.timecode, rate), facts.timecode[8]
    return label_of(start + frame, rate, separator)


def shot_rows(facts: RunFacts, pictures: Mapping[str, str]) -> list[ShotListRow]:
    """Return the rows of the table in order of time; none where there is one shot alone.

    pictures: addresses of the scenes' pictures, by slug.
    """
    shots = shots_of(facts)
    if len(shots) < 2 and not facts.transitions:
        return []
    rows = [_shot_row(shot, facts, pictures) for shot in shots[:MAX_SHOTS]]
    end = rows[-1]["first"] if len(shots) > MAX_SHOTS else facts.last + 1
    rows += [_transition_row(item, facts) for item in facts.transitions if item.first <= end]
    # A cut and the shot that begins with it have the same first frame.
    return sorted(rows, key=lambda row: (row["first"], row["is_shot"]))


def _shot_row(shot: ShotFact, facts: RunFacts, pictures: Mapping[str, str]) -> ShotListRow:
    layer = shot.layer
    is_alone = shot.first <= shot.last
    first, last = (shot.first, shot.last) if is_alone else (layer.first, layer.last)
    recovered = sum(end - begin + 1 for begin, end in shot.recovered)
    spans = " and ".join(range_text(begin, end) for begin, end in shot.recovered)
    return {
        "is_shot": True,
        "first": first,
        "name": layer.name,
        "picture": pictures.get(layer.slug),
        "begin": time_code(facts, first),
        "end": time_code(facts, last),
        "frames": range_text(first, last),
        "count": last - first + 1,
        "recovered": f"{recovered} ({spans})" if recovered else "",
        "file": layer.path,
        "href": link(layer.path),
        "is_file": "." in layer.path,
    }


def _transition_row(item: TransitionFact, facts: RunFacts) -> ShotListRow:
    return {
        "is_shot": False,
        "first": item.first,
        "name": item.kind,
        "begin": time_code(facts, item.first),
        "end": time_code(facts, item.last) if item.is_mixed else "",
        "frames": range_text(item.first, item.last) if item.is_mixed else "",
        "count": len(item.mix),
    }
