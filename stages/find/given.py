"""Measure a transition of which the user gave the first and the last frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.errors import UsageError
from stages.find.features import Array, plain_color, spread
from stages.find.fit import fit_between
from stages.find.prefer_model import left_by_mixture
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

    found: TransitionFit
    span: Span


def check_spans(spans: Sequence[Span]) -> None:
    """Raise UsageError for a span that is no range of frames, and for two that overlap."""
    for first, last in spans:
        if not 0 <= first <= last:
            raise UsageError(
                f"{first}:{last}: the first frame must not be negative or after the last"
            )
    for one, other in zip(spans, spans[1:], strict=False):
        if other[0] <= one[1]:
            raise UsageError(
                f"{other[0]}:{other[1]} overlaps {one[0]}:{one[1]}; give ranges that do not"
            )


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
    return left_by_mixture(one, other, frames[plain : plain + 1]) > MOST_MIXED


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
