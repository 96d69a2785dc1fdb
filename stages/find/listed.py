"""Measure the transitions of a shot list: their places and kinds are given, their weights are not.

Nothing is searched for. One pass over small frames measures the weights of each transition from
the frames of the two shots beside it, see :func:`stages.find.fit.fit_between`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stages.errors import UsageError
from stages.find.features import Array
from stages.find.fit import fit_between
from stages.find.recent_frames import between_bars, shared_bars
from stages.find.timeline import TimelinePiece, TransitionEvent, name_halves
from stages.kinds import TRANSITION_KINDS
from stages.media.clip import Frames
from stages.shots import Analysis, ColorGap, Shot, Transition

REACH = 40
"""Frames of the shots beside a transition that are looked at, at most, as in the search."""


@dataclass(frozen=True)
class ListedTransition:
    """A transition whose place and kind are given.

    first, last: its mixed frames, inclusive; for a cut ``last`` is one less than ``first``.
    effect: FFmpeg's name, where it is given. line: where the list has it, for messages.
    """

    first: int
    last: int
    kind: str
    effect: str | None = None
    line: int = 0

    def __len__(self) -> int:
        return self.last - self.first + 1


def measure_listed(
    blocks: Iterable[Frames],
    listed: Sequence[ListedTransition],
    progress: Callable[[int], None] | None = None,
) -> tuple[int, int, list[TransitionEvent]]:
    """Measure the weights of given transitions.

    blocks: the clip's frames in order, of the size of :func:`stages.find.search.search_size`.
    listed: in order of time. progress: called with the number of frames that were read.

    Returns the numbers of the first and the last frame, and the measured transitions. Raises
    UsageError for a transition outside the clip.
    """
    waiting = list(_reaches(listed))
    events: list[TransitionEvent] = []
    held: list[Array] = []
    begin = at = count = 0
    for block in blocks:
        if not count:
            begin = at = block.first
        held += list(np.ascontiguousarray(block.pixels.permute(0, 2, 3, 1).cpu().numpy()))
        count += len(block)
        while waiting and waiting[0][2] <= block.last:
            events.append(_measured(*waiting.pop(0), held, at, begin))
        needed = waiting[0][1] if waiting else block.last + 1
        dropped = max(0, min(needed, block.last + 1) - at)
        del held[:dropped]
        at += dropped
        if progress:
            progress(count)
    end = begin + count - 1
    for item, low, high in waiting:
        if item.last > end or item.first > end:
            raise UsageError(
                f"line {item.line}: ends at frame {max(item.first, item.last)}, and the clip's "
                f"last frame is {end}"
            )
        events.append(_measured(item, low, min(high, end), held, at, begin))
    return begin, end, events


def _reaches(
    listed: Sequence[ListedTransition],
) -> Iterable[tuple[ListedTransition, int, int]]:
    """Yield each transition with the first and last frame that may be looked at to measure it."""
    for place, item in enumerate(listed):
        low, high = item.first - REACH, item.last + REACH
        if place:
            before = listed[place - 1]
            low = max(low, before.last + 1)
        if place + 1 < len(listed):
            high = min(high, listed[place + 1].first - 1)
        # The frames beside it are looked at in any case.
        yield item, max(0, min(low, item.first - 1)), max(high, item.last + 1)


def _measured(
    item: ListedTransition, low: int, high: int, held: Sequence[Array], at: int, begin: int
) -> TransitionEvent:
    """Return a transition with its weights.

    low, high: the frames that may be looked at. held: frames from number ``at`` on. begin: the
    clip's first frame.
    """
    if not len(item):
        return TransitionEvent(item.first, item.last, item.kind, effect=item.effect)
    if not TRANSITION_KINDS[item.kind].separable:
        mix = tuple((place + 1) / (len(item) + 1) for place in range(len(item)))
        return TransitionEvent(item.first, item.last, item.kind, "gamma", mix)
    low = max(low, at, begin)
    stack = np.stack(held[low - at : high - at + 1])
    stack = between_bars(stack, shared_bars(list(stack)))
    last = len(stack) - 1
    span = item.first - low, item.last - low
    sides = max(span[0] - 1, 0), min(span[1] + 1, last)
    found = fit_between(stack, span, sides, (0, last), item.kind, item.effect)
    weights = tuple(float(weight) for weight in found.mix)
    effect = item.effect or found.effect
    return TransitionEvent(item.first, item.last, item.kind, found.space, weights, effect=effect)


def analysis_of(
    frames: int, pieces: Sequence[TimelinePiece], events: Sequence[TransitionEvent]
) -> Analysis:
    """Return the analysis that a list describes.

    frames: how many the clip has. pieces: shots and plain colours before, between and after the
    events, so one more than these. Raises ValueError where a frame is in no part or in two.
    """
    numbers: list[int | None] = []
    shots: list[Shot] = []
    for piece in pieces:
        numbers.append(None if piece.color else len(shots))
        if piece.color is None:
            shots.append(Shot(piece.first, piece.last))
    transitions = []
    for place, event in enumerate(events):
        color = pieces[place].color or pieces[place + 1].color
        kind = TRANSITION_KINDS[event.kind]
        transitions.append(
            Transition(
                event.first_frame,
                event.last_frame,
                kind.beside_color() if color else kind.name,
                event.mix,
                event.space,
                outgoing=numbers[place],
                incoming=numbers[place + 1],
                color=color,
                effect=event.effect,
            )
        )
    gaps = [
        ColorGap(piece.first, piece.last, piece.color)
        for piece in pieces
        if piece.color and piece.last >= piece.first
    ]
    return Analysis(frames, tuple(shots), name_halves(tuple(transitions)), tuple(gaps))
