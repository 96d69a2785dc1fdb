"""Shots, transitions and plain colours: the results of the search, used by all later stages."""

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
    """The frames that show one shot and nothing else, from 0, both ends inclusive.

    A shot between two touching transitions has no such frame: ``last_frame = first_frame - 1``.
    """

    first_frame: int
    last_frame: int


@dataclass(frozen=True)
class ColorGap:
    """Frames of one plain colour that belong to no shot, such as the black between two fades.

    Both ends are inclusive. color: ``#rrggbb``.
    """

    first_frame: int
    last_frame: int
    color: str


@dataclass(frozen=True)
class Transition:
    """The frames in which two pictures are mixed, both with a weight above zero.

    first_frame, last_frame: both inclusive. A hard cut mixes no frame: ``first_frame`` is the new
        shot's first frame and ``last_frame`` is one less.
    kind: the kind of transition; ``other`` where it is not known.
    mix: weight of the incoming side for each frame, in (0, 1), rising. For wipes and irises it is
        the mean over the picture. For the kind ``other`` it is not known and rises evenly.
    space: the light in which ``mix`` holds: ``gamma`` (as encoded) or ``linear`` (power 2.2).
    outgoing, incoming: indices into :attr:`Analysis.shots`; ``None`` where that side is a plain
        colour, as in a fade or a cut to black.
    color: the ``#rrggbb`` of that plain colour.
    effect: FFmpeg's name for the transition or another known one; ``None`` where there is none.
    event: first and last frame of the whole event where this is one of its two halves, as in a
        fade through black.
    doubtful: whether the model of its kind leaves much of its frames unexplained.

    Raises ValueError where the kind is unknown or ``mix`` does not have one weight for each frame.
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
    event: tuple[int, int] | None = None
    doubtful: bool = False

    def __post_init__(self) -> None:
        if self.kind not in TRANSITION_KINDS:
            raise ValueError(f"there is no kind of transition named {self.kind!r}")
        if len(self.mix) != self.last_frame - self.first_frame + 1:
            raise ValueError(
                f"{self.kind} at {self.first_frame} to {self.last_frame} "
                f"has {len(self.mix)} weights"
            )

    def __len__(self) -> int:
        return len(self.mix)

    @property
    def separable(self) -> bool:
        """Whether its frames can be taken apart.

        It must mix at least one frame, have a known kind, and have a shot on at least one side.
        """
        return self.extends_shots and TRANSITION_KINDS[self.kind].separable

    @property
    def is_held(self) -> bool:
        """Whether its frames are not taken apart, and the shots beside it hold clean frames."""
        return self.extends_shots and not self.separable

    @property
    def extends_shots(self) -> bool:
        """Whether shots go on through its frames: it has some, and a shot on at least one side."""
        return (
            len(self) > 0
            and TRANSITION_KINDS[self.kind].extends_shots
            and (self.outgoing, self.incoming) != (None, None)
        )


@dataclass(frozen=True)
class Analysis:
    """All shots, transitions and plain colours of a clip, each in order of time.

    frames: the number of frames that were decoded. Each of them is in exactly one part: alone in a
        shot, mixed in a transition, or in a plain colour.

    Raises ValueError where that does not hold, or where a shot is visible in no frame.
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
        """Return the first and last frame (inclusive) that shot number ``shot`` has.

        These are the frames in which it is visible, alone or mixed. A shot goes on through a
        transition of the kind ``other``, too, although nothing is known of it there.
        """
        first, last = self.shots[shot].first_frame, self.shots[shot].last_frame
        for transition in self.transitions:
            if not len(transition):
                continue
            if transition.incoming == shot:
                first = min(first, transition.first_frame)
            if transition.outgoing == shot:
                last = max(last, transition.last_frame)
        return first, last
