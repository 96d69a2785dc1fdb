"""Measure the transitions of a shot list: their places and kinds are given, their weights are not.

Nothing is searched for. One pass over small frames measures the weights of each transition from
the frames of the two shots beside it, see :func:`stages.find.fit.fit_between`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from stages.errors import UsageError
from stages.find.curve import even_mix
from stages.find.features import Array, channels_last
from stages.find.fit import fit_between
from stages.find.recent_frames import between_bars, shared_bars
from stages.find.timeline import TransitionEvent
from stages.kinds import TRANSITION_KINDS
from stages.media.clip import Frames

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
    waiting = _with_reach(listed)
    events: list[TransitionEvent] = []
    held = _HeldFrames(0)
    begin = count = 0
    for block in blocks:
        if not count:
            begin = held.first = block.first
        held.frames += list(channels_last(block.pixels))
        count += len(block)
        while waiting and waiting[0].high <= block.last:
            events.append(_measured(waiting.pop(0), held))
        needed = waiting[0].low if waiting else block.last + 1
        held.drop_before(min(needed, block.last + 1))
        if progress:
            progress(count)
    end = begin + count - 1
    for listed_with_reach in waiting:
        item = listed_with_reach.item
        if item.last > end or item.first > end:
            raise UsageError(
                f"line {item.line}: ends at frame {max(item.first, item.last)}, and the clip's "
                f"last frame is {end}"
            )
        events.append(_measured(listed_with_reach, held))
    return begin, end, events


class _WithReach(NamedTuple):
    """A transition with the first and the last frame that may be looked at to measure it."""

    item: ListedTransition
    low: int
    high: int


def _with_reach(listed: Sequence[ListedTransition]) -> list[_WithReach]:
    """Return each transition with its reach: at most :data:`REACH` frames, and no other one's."""
    found = []
    for place, item in enumerate(listed):
        low, high = item.first - REACH, item.last + REACH
        if place:
            low = max(low, listed[place - 1].last + 1)
        if place + 1 < len(listed):
            high = min(high, listed[place + 1].first - 1)
        # The frames beside it are looked at in any case.
        low, high = max(0, min(low, item.first - 1)), max(high, item.last + 1)
        found.append(_WithReach(item, low, high))
    return found


@dataclass
class _HeldFrames:
    """The frames of a clip that are still needed.

    first: the number of the first one. frames: ``(H, W, 3)`` each.
    """

    first: int
    frames: list[Array] = field(default_factory=list)

    def drop_before(self, number: int) -> None:
        """Drop the frames before the one with this number."""
        dropped = max(0, number - self.first)
        del self.frames[:dropped]
        self.first += dropped

    def stack(self, low: int, high: int) -> Array:
        """Return the frames ``low..high`` of those that are held, ``(T, H, W, 3)``."""
        return np.stack(self.frames[low - self.first : high - self.first + 1])


def _measured(listed: _WithReach, held: _HeldFrames) -> TransitionEvent:
    """Return a transition with its weights."""
    item = listed.item
    if not len(item):
        return TransitionEvent(item.first, item.last, item.kind, effect=item.effect)
    if not TRANSITION_KINDS[item.kind].separable:
        mix = tuple(even_mix(len(item)).tolist())
        return TransitionEvent(item.first, item.last, item.kind, "gamma", mix)
    low = max(listed.low, held.first)
    frames = held.stack(low, listed.high)
    frames = between_bars(frames, shared_bars(list(frames)))
    last = len(frames) - 1
    span = item.first - low, item.last - low
    sides = max(span[0] - 1, 0), min(span[1] + 1, last)
    found = fit_between(frames, span, sides, (0, last), item.kind, item.effect)
    weights = tuple(float(weight) for weight in found.mix)
    effect = item.effect or found.effect
    return TransitionEvent(item.first, item.last, item.kind, found.space, weights, effect=effect)
