"""Shots and transitions: what the search finds in a clip and what the later stages are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["cut", "dissolve", "fade", "wipe", "iris", "other"]
Space = Literal["gamma", "linear"]


@dataclass(frozen=True)
class Shot:
    """The frames (inclusive, from 0) that one shot is alone in. A shot between two touching transitions has none: last = first - 1."""

    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class Transition:
    """The frames (inclusive) in which two pictures are mixed, both with a weight above zero.

    A hard cut mixes none: ``first_frame`` is the new shot's first frame and ``last_frame`` is one less.
    outgoing, incoming: indices into :attr:`Analysis.shots`; ``None`` where that side is a plain colour (a fade),
    then ``color`` is its ``#rrggbb``.
    mix: weight of the incoming side for each frame, in (0, 1), rising; its mean over the picture for wipes and irises.
    space: the light in which ``mix`` holds: ``gamma`` (as encoded) or ``linear`` (power 2.2).
    """

    first_frame: int
    last_frame: int
    kind: Kind
    mix: tuple[float, ...] = ()
    space: Space = "gamma"
    outgoing: int | None = None
    incoming: int | None = None
    color: str | None = None

    def __post_init__(self) -> None:
        if len(self.mix) != self.last_frame - self.first_frame + 1:
            raise ValueError(f"{self.kind} at {self.first_frame} to {self.last_frame} has {len(self.mix)} weights")

    def __len__(self) -> int:
        return len(self.mix)


@dataclass(frozen=True)
class Analysis:
    """All shots and transitions of a clip in order of time. ``frames`` is the number of frames that were decoded."""

    frames: int
    shots: tuple[Shot, ...]
    transitions: tuple[Transition, ...]

    def covered(self, shot: int) -> tuple[int, int]:
        """First and last frame (inclusive) in which shot number ``shot`` can be seen, alone or mixed."""
        first, last = self.shots[shot].first_frame, self.shots[shot].last_frame
        for transition in self.transitions:
            if not len(transition):
                continue
            if transition.incoming == shot:
                first = min(first, transition.first_frame)
            if transition.outgoing == shot:
                last = max(last, transition.last_frame)
        return first, last
