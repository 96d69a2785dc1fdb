"""Measure transitions of which the user gave the first and the last frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stages.errors import UsageError
from stages.find.features import Array, plain_color, spread
from stages.find.fit import fit_between
from stages.find.prefer_model import error_of_mixture
from stages.find.stretch import TransitionFit

SAME_COLOR = 0.006  # difference of two colours that coding causes, in [0, 1]
MOST_MIXED = 0.1
"""Squared error of a plain frame as a mixture of the two pictures, as part of their squared
difference, up to which it is one."""

Span = tuple[int, int]
"""First and last frame of a part of a stretch."""


@dataclass(frozen=True)
class GivenTransition:
    """A measured transition and the frames that it fills."""

    fit: TransitionFit
    span: Span


@dataclass
class GivenSpans:
    """The frames of a clip in which the user says that there are transitions.

    spans: first and last frame of each, in order of time. waiting: those that are not measured yet.
    """

    spans: list[Span]
    waiting: list[Span] = field(init=False)

    def __post_init__(self) -> None:
        self.waiting = list(self.spans)

    @classmethod
    def of(cls, spans: Sequence[Span]) -> GivenSpans:
        """Return spans in order of time.

        Raises UsageError for a span that is no range of frames, and for two that overlap.
        """
        ordered = sorted((first, last) for first, last in spans)
        for first, last in ordered:
            if not 0 <= first <= last:
                raise UsageError(
                    f"{first}:{last}: the first frame must not be negative or after the last"
                )
        for one, other in zip(ordered, ordered[1:], strict=False):
            if other[0] <= one[1]:
                raise UsageError(
                    f"{other[0]}:{other[1]} overlaps {one[0]}:{one[1]}; give ranges that do not"
                )
        return cls(ordered)

    def check_end(self, count: int) -> None:
        """Raise UsageError for a span outside a clip of ``count`` frames."""
        for first, last in self.spans:
            if last >= count:
                raise UsageError(
                    f"{first}:{last}: the clip's frames are 0 to {count - 1}; "
                    "give a range inside them"
                )

    def longest(self) -> int:
        """Return the number of frames of the longest span, 0 without spans."""
        return max((last - first + 1 for first, last in self.spans), default=0)

    def has_any_in(self, start: int, end: int) -> bool:
        """Return whether the user says what happens in some of the frames ``start..end``."""
        return any(first <= end and start <= last for first, last in self.spans)

    def barriers(self, origin: int, known: int) -> list[int]:
        """Return the places that the spans take away from the search, as barriers.

        origin: the number of the frame at place 0. known: how many places there are.
        """
        places = (
            number - origin for first, last in self.spans for number in range(first, last + 2)
        )
        return [place for place in places if 0 < place < known]

    def measure(
        self, frames: Array, origin: int, cuts: Sequence[int], limit: int
    ) -> list[GivenTransition]:
        """Measure the waiting spans that end at place ``limit`` or before it.

        frames: ``(T, H, W, 3)``, encoded RGB. origin: the number of frame 0. cuts: first frames of
        shots, as places. Spans are returned as places, too.
        """
        final = len(frames) - 1
        measured = []
        while self.waiting and self.waiting[0][1] - origin <= limit:
            first, last = (number - origin for number in self.waiting.pop(0))
            before, after = max(first - 1, 0), min(last + 1, final)
            low = max([0, *(cut for cut in cuts if cut <= before)])
            high = min([final, *(cut - 1 for cut in cuts if cut > after)])
            measured += measure_given(frames, (first, last), (before, after), (low, high))
        return measured

    def state(self) -> dict[str, Any]:
        """Return which spans are waiting, for a checkpoint."""
        return {"waiting": self.waiting}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search."""
        self.waiting = state["waiting"]


def measure_given(frames: Array, span: Span, sides: Span, reach: Span) -> list[GivenTransition]:
    """Measure the transition that fills the frames of ``span``.

    A transition through a plain colour comes as its two halves, which leave out the plain frames.

    frames: ``(T, H, W, 3)``, encoded RGB. sides, reach: as of
    :func:`stages.find.fit.fit_between`.
    """
    (first, last), (before, after), (low, high) = span, sides, reach
    plain = _plain_run(frames, span)
    if plain is not None:
        plain = _plainest_part(frames, plain)
    if plain is None or not _is_apart(frames, plain[0], sides):
        return [GivenTransition(fit_between(frames, span, sides, reach), span)]
    halves = (
        ((first, plain[0] - 1), (before, plain[0]), (low, plain[0])),
        ((plain[1] + 1, last), (plain[1], after), (plain[1], high)),
    )
    return [GivenTransition(fit_between(frames, *half), half[0]) for half in halves]


def _is_apart(frames: Array, plain: int, sides: Span) -> bool:
    """Return whether a plain frame is a colour of its own between two pictures.

    Soft pictures, as of fog, may also mix to an even frame. sides: the frames of both pictures.
    """
    one, other = (frames[side] for side in sides)
    if plain_color(one) or plain_color(other):
        return False
    return error_of_mixture(one, other, frames[plain : plain + 1]) > MOST_MIXED


def _plainest_part(frames: Array, run: Span) -> Span:
    """Return the frames around the plainest one of a run that look like it.

    The others of the run may show something faintly, as the last frames of a fade do.
    """
    spreads = [spread(frame) for frame in frames[run[0] : run[1] + 1]]
    plainest = run[0] + int(np.argmin(spreads))
    color = frames[plainest].mean((0, 1))

    def is_alike(time: int) -> bool:
        is_near = np.abs(frames[time].mean((0, 1)) - color).max() <= SAME_COLOR
        return bool(is_near and spreads[time - run[0]] <= min(spreads) + SAME_COLOR)

    first = last = plainest
    while first > run[0] and is_alike(first - 1):
        first -= 1
    while last < run[1] and is_alike(last + 1):
        last += 1
    return first, last


def _plain_run(frames: Array, span: Span) -> Span | None:
    """Return the longest run of frames of one colour strictly inside a span, or None."""
    best: Span | None = None
    start: int | None = None
    for time in range(span[0] + 1, span[1] + 1):
        if time < span[1] and plain_color(frames[time]):
            start = time if start is None else start
            if best is None or time - start > best[1] - best[0]:
                best = start, time
        else:
            start = None
    return best
