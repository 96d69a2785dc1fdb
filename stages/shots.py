"""Shots, transitions and plain colours: what the search finds in a clip and what the later stages are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from stages.kinds import TRANSITION_KINDS

Kind = str
"""A name of :data:`stages.kinds.TRANSITION_KINDS`."""
Space = Literal["gamma", "linear"]


@dataclass(frozen=True)
class Shot:
    """The frames (inclusive, from 0) that one shot is alone in. A shot between two touching transitions has none: last = first - 1."""

    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class ColorGap:
    """Frames (inclusive) that are one plain colour ``#rrggbb`` and belong to no shot, such as the black between two fades."""

    first_frame: int
    last_frame: int
    color: str


@dataclass(frozen=True)
class Transition:
    """The frames (inclusive) in which two pictures are mixed, both with a weight above zero.

    A hard cut mixes none: ``first_frame`` is the new shot's first frame and ``last_frame`` is one less.
    outgoing, incoming: indices into :attr:`Analysis.shots`; ``None`` where that side is a plain colour (a fade, or a cut to black),
    then ``color`` is its ``#rrggbb``.
    mix: weight of the incoming side for each frame, in (0, 1), rising; its mean over the picture for wipes and irises. For the kind
    ``other`` it is not known and rises evenly.
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
    effect: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in TRANSITION_KINDS:
            raise ValueError(f"there is no kind of transition named {self.kind!r}")
        if len(self.mix) != self.last_frame - self.first_frame + 1:
            raise ValueError(
                f"{self.kind} at {self.first_frame} to {self.last_frame} has {len(self.mix)} weights"
            )

    def __len__(self) -> int:
        return len(self.mix)

    @property
    def separable(self) -> bool:
        """Whether its frames can be taken apart: it mixes some, at least one side is a shot, and its kind is known."""
        return (
            len(self) > 0
            and TRANSITION_KINDS[self.kind].separable
            and (self.outgoing, self.incoming) != (None, None)
        )

    @property
    def turn(self) -> int:
        """The first frame that belongs to the incoming side where the frames are not taken apart: weights of a half or more."""
        return self.first_frame + sum(weight < 0.5 for weight in self.mix)


@dataclass(frozen=True)
class Analysis:
    """All shots, transitions and plain colours of a clip in order of time. ``frames`` is the number of frames that were decoded.

    Every frame is in exactly one of them: alone in a shot, mixed in a transition, or a plain colour. Raises ValueError where that does
    not hold, or where a shot can be seen nowhere.
    """

    frames: int
    shots: tuple[Shot, ...]
    transitions: tuple[Transition, ...]
    colors: tuple[ColorGap, ...] = ()

    def __post_init__(self) -> None:
        spans = sorted(
            (part.first_frame, part.last_frame)
            for part in self._parts()
            if part.last_frame >= part.first_frame
        )
        first = next_frame = spans[0][0] if spans else 0
        for start, end in spans:
            if start != next_frame:
                wrong = "no part" if start > next_frame else "two parts"
                raise ValueError(f"frame {min(start, next_frame)} is in {wrong} of the analysis")
            next_frame = end + 1
        if next_frame - first != self.frames:
            raise ValueError(f"an analysis of {self.frames} frames covers {next_frame - first}")
        for shot in range(len(self.shots)):
            begin, end = self.covered(shot)
            if end < begin:
                raise ValueError(f"shot {shot} at frame {begin} has no frame")

    def _parts(self) -> Iterator[Shot | Transition | ColorGap]:
        yield from self.shots
        yield from self.transitions
        yield from self.colors

    def covered(self, shot: int) -> tuple[int, int]:
        """First and last frame (inclusive) in which shot number ``shot`` can be seen, alone or mixed.

        The frames of a transition that is not taken apart (kind ``other``) go to one side each: to the outgoing shot before the
        transition's :attr:`Transition.turn`, to the incoming one from there on. Beside a plain colour the shot has them all.
        """
        first, last = self.shots[shot].first_frame, self.shots[shot].last_frame
        for transition in self.transitions:
            if not len(transition):
                continue
            sides = (transition.outgoing, transition.incoming)
            whole = TRANSITION_KINDS[transition.kind].separable or None in sides
            if transition.incoming == shot:
                first = min(first, transition.first_frame if whole else transition.turn)
            if transition.outgoing == shot:
                last = max(last, transition.last_frame if whole else transition.turn - 1)
        return first, last
