"""Finds the shots of a clip and the transitions between them in one pass over small frames.

Only the last few seconds are kept: a ring of frames and the distances between their blocks. Cuts are found first and are barriers;
between them lie the dissolves, fades, wipes and irises (:mod:`stages.find.gradual_transitions`). Where the picture has changed for good without any of
these there is a boundary of unknown kind (:mod:`stages.find.boundaries`). What is found depends on the frames alone, not on the blocks
in which they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from stages.errors import UsageError
from stages.find.boundaries import Boundaries
from stages.find.cuts import judge_step
from stages.find.features import (
    PLAIN,
    Array,
    Motion,
    NccCache,
    contents,
    distances,
    plain_colour,
    spread,
)
from stages.find.fit import Fit, fit_between
from stages.find.gradual_transitions import LONGEST, Scan
from stages.find.timeline import Event, Plain, story
from stages.media.clip import Frames
from stages.shots import Analysis

SIDE = 96
CONTEXT = 20  # frames that have to be known after a transition before it is believed
KEEP = LONGEST + 2 * CONTEXT
TICK = 32  # frames between two looks
NOT_PLAIN = (
    2 * PLAIN
)  # mean difference of a frame's cells from their mean above which it is not plain
_STACKS = ("frames", "contents")
_PLAIN = (
    "first",
    "steps",
    "residuals",
    "judged",
    "sought",
    "cuts",
    "flashes",
    "events",
    "done",
    "waiting",
    "plain",
)


def search_size(width: int, height: int) -> tuple[int, int]:
    """Size ``(H, W)`` at which :func:`find` wants the frames of a clip: the longer side at most 96 pixels, the same aspect."""
    scale = min(1.0, SIDE / max(width, height, 1))
    return max(1, round(height * scale)), max(1, round(width * scale))


def find(
    blocks: Iterable[Frames],
    *,
    overrides: Sequence[tuple[int, int]] = (),
    progress: Callable[[int], None] | None = None,
    standing: Mapping[str, Any] | None = None,
    before: Callable[[Callable[[], dict[str, Any]]], None] | None = None,
) -> Analysis:
    """Finds cuts, dissolves, fades, wipes and irises.

    blocks: the clip's frames in order, made small (:func:`search_size`).
    overrides: first and last frame (inclusive) of transitions that the user knows. They stand in place of what is found where they overlap
    it; their kind and curve are measured. Raises :class:`UsageError` for a range outside the clip or two that overlap.
    progress: called with the number of frames seen so far.
    before: called ahead of each block but the first with what tells the search's standing, as values that a checkpoint holds.
    standing: of an interrupted search of the same frames; ``blocks`` are then those that it had not taken yet.
    """
    spans = sorted((first, last) for first, last in overrides)
    for first, last in spans:
        if not 0 <= first <= last:
            raise UsageError(
                f"--transition {first}:{last}: the first frame must not be negative or after the last"
            )
    for one, other in zip(spans, spans[1:], strict=False):
        if other[0] <= one[1]:
            raise UsageError(
                f"--transition {other[0]}:{other[1]} overlaps {one[0]}:{one[1]}; give ranges that do not"
            )
    search = _Search(spans)
    if standing is not None:
        search.take(standing)
    for block in blocks:
        if before and search.frames:
            before(search.standing)
        pixels = block.pixels.permute(0, 2, 3, 1).cpu().numpy()
        search.add(np.ascontiguousarray(pixels))
        if progress:
            progress(search.count)
    for first, last in spans:
        if last >= search.count:
            raise UsageError(
                f"--transition {first}:{last}: the clip's frames are 0 to {search.count - 1}; give a range inside them"
            )
    if search.frames:
        search.look(final=True)
    return story(
        search.count,
        search.events,
        {
            number: colour
            for first, last, colour in search.plain
            for number in range(first, last + 1)
        },
    )


@dataclass
class _Search:
    """The frames of the last few seconds, and what was found so far. Lists are of the frames from number ``first`` on.

    judged: the first frame of which it is not known yet whether a cut is before it. sought: the first that may be the last clean one
    before a boundary of unknown kind. done: the first that no gradual transition has. cuts: those that frames at hand are behind.
    flashes: likewise, the first frames of flashes and those behind them, across which nothing is mixed.
    plain: first and last number and the colour of all runs of plain frames so far.
    """

    spans: list[tuple[int, int]]
    first: int = 0
    frames: list[Array] = field(default_factory=list)
    contents: list[Array] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    pairs: Array = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    judged: int = 1
    sought: int = 0
    cuts: list[int] = field(default_factory=list)
    flashes: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    done: int = 0
    plain: list[tuple[int, int, Plain]] = field(default_factory=list)
    motion: Motion = field(default_factory=Motion)

    def __post_init__(self) -> None:
        self.scan = Scan(self.motion)
        self.waiting = list(self.spans)
        self.keep = max([KEEP, *(last - first + 2 * CONTEXT + 2 for first, last in self.spans)])

    @property
    def count(self) -> int:
        return self.first + len(self.frames)

    def add(self, new: Array) -> None:
        """Takes the next frames ``(T, H, W, 3)`` and looks whenever enough of them have come."""
        for frame, content in zip(new, contents(new), strict=True):
            if self.frames:
                self.steps.append(float(np.sqrt(((content - self.contents[-1]) ** 2).mean())))
                self.residuals.append(self.motion.residual(self.frames[-1], frame))
            else:
                self.steps.append(0.0)
                self.residuals.append(0.0)
            if (plain := plain_frame(frame, content)) is not None:
                self._note_plain(plain)
            self.frames.append(frame)
            self.contents.append(content)
            if len(self.frames) == self.keep + TICK:
                self.look(final=False)

    def _note_plain(self, plain: Plain) -> None:
        """Remembers that the frame that comes next is plain."""
        number = self.count
        if self.plain and self.plain[-1][1:] == (number - 1, plain):
            number = self.plain.pop()[0]
        self.plain.append((number, self.count, plain))

    def standing(self) -> dict[str, Any]:
        """All that the search is made of between two blocks."""
        stacks = {name: torch.from_numpy(np.stack(getattr(self, name))) for name in _STACKS}
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {
            **stacks,
            **plain,
            "pairs": torch.from_numpy(self.pairs),
            "turned_down": self.scan.turned_down,
        }

    def take(self, standing: Mapping[str, Any]) -> None:
        """Goes on where another search stood."""
        for name in _STACKS:
            setattr(self, name, list(standing[name].numpy()))
        for name in _PLAIN:
            setattr(self, name, standing[name])
        self.pairs, self.scan.turned_down = standing["pairs"].numpy(), standing["turned_down"]

    def look(self, final: bool) -> None:
        """Decides what the frames at hand can tell and forgets those that nothing later can need."""
        self._grow_pairs()
        known = len(self.frames) if final else len(self.frames) - CONTEXT // 2
        related = NccCache(self.motion, self.frames)
        self._find_cuts(known, related)
        stack = np.stack(self.frames[:known])
        barriers = [cut - self.first for cut in self.cuts if cut > self.first]
        limit = known - 1 if final else known - CONTEXT
        self._measure_spans(stack, barriers, limit)
        flashes = [flash - self.first for flash in self.flashes if flash - self.first < known]
        walls = sorted({*barriers, *flashes, *self._walls(known)})
        low = max(0, self.done - self.first)
        for found in self.scan.transitions(
            stack, self.pairs[:known, :known], self.first, walls, low, limit
        ):
            if not self._claimed(self.first + found.before + 1, self.first + found.after - 1):
                self._note(stack, found)
                self.done = self.first + int(found.after)
        drop = max(0, len(self.frames) - self.keep)
        self._find_boundaries(stack, walls, known if final else CONTEXT + drop, related)
        self._forget(drop)

    def _find_cuts(self, known: int, related: NccCache) -> None:
        """Judges every step once, when all that may decide it has come: what is found does not depend on when it is looked for."""
        for place in range(max(1, self.judged - self.first), known):
            number = self.first + place
            if self._claimed(number - 1, number):
                continue
            verdict = judge_step(self.steps, self.residuals, self.contents, related, place)
            if verdict == "cut":
                self.cuts.append(number)
                self.events.append(Event(number, number - 1, "cut"))
            elif verdict == "flash":
                self.flashes.append(number)
        self.judged = max(self.judged, self.first + known)

    def _find_boundaries(
        self, stack: Array, walls: Sequence[int], until: int, related: NccCache
    ) -> None:
        """Looks for boundaries of unknown kind whose last clean frame is before place ``until``; the others come with a later look."""
        known, start = len(stack), max(0, self.sought - self.first)
        taken = [
            (event.first_frame - self.first, event.last_frame - self.first)
            for event in self.events
            if event.mix
        ]
        taken = [(first, last) for first, last in taken if last >= 0 and first < known]
        boundaries = Boundaries(self.motion, related, stack)
        found_ones = boundaries.find(
            self.pairs[:known, :known], walls, taken, range(start, min(until, known))
        )
        for found in found_ones:
            first, last = self.first + found.first, self.first + found.last
            if self._claimed(first, last):
                continue
            # A wipe may reach further than what showed it, but not over another boundary.
            others = [(other.first, other.last) for other in found_ones if other != found]
            if known_kind := self.scan.passing(stack, found, walls, sorted([*taken, *others])):
                self._note(stack, known_kind)
                taken.append((int(known_kind.before) + 1, int(known_kind.after) - 1))
                self.done = max(self.done, self.first + int(known_kind.after))
            else:
                self.events.append(Event(first, last, "other", "gamma", found.mix))
                self.done = max(self.done, last + 1)
        self.sought = max(self.sought, self.first + until)

    def _claimed(self, start: int, end: int) -> bool:
        """Whether the user said what happens in some of the frames ``start..end``."""
        return any(first <= end and start <= last for first, last in self.spans)

    def _walls(self, known: int) -> list[int]:
        """Every frame that a span of the user's makes unfit for the search, as a barrier in this stretch."""
        frames = (
            number - self.first for first, last in self.spans for number in range(first, last + 2)
        )
        return [place for place in frames if 0 < place < known]

    def _measure_spans(self, stack: Array, barriers: Sequence[int], limit: int) -> None:
        """Measures the spans given by the user whose surroundings are all known."""
        while self.waiting and self.waiting[0][1] - self.first <= limit:
            first, last = (number - self.first for number in self.waiting.pop(0))
            before, after = max(first - 1, 0), min(last + 1, len(stack) - 1)
            low = max([0, *(cut for cut in barriers if cut <= before)])
            high = min([len(stack) - 1, *(cut - 1 for cut in barriers if cut > after)])
            self._note(
                stack, fit_between(stack, first, last, before, after, low, high), first, last
            )

    def _note(
        self, stack: Array, found: Fit, first: int | None = None, last: int | None = None
    ) -> None:
        start = found.before + 1 if first is None else first
        end = found.after - 1 if last is None else last
        sides = plain_colour(stack[found.before]), plain_colour(stack[found.after])
        mix = tuple(float(weight) for weight in found.mix)
        self.events.append(
            Event(self.first + start, self.first + end, found.kind, found.space, mix, *sides)
        )

    def _grow_pairs(self) -> None:
        old, new = len(self.pairs), len(self.frames)
        stack = np.stack(self.contents)
        grown = np.zeros((new, new, stack.shape[1]), np.float32)
        if old:
            grown[:old, :old] = self.pairs
        for place in range(old, new):
            grown[place, : place + 1] = distances(stack[place], stack[: place + 1])
            grown[: place + 1, place] = grown[place, : place + 1]
        self.pairs = grown

    def _forget(self, drop: int) -> None:
        if drop:
            self.first += drop
            self.cuts = [cut for cut in self.cuts if cut > self.first]
            self.flashes = [flash for flash in self.flashes if flash > self.first]
            for part in (self.frames, self.contents, self.steps, self.residuals):
                del part[:drop]
            self.pairs = self.pairs[drop:, drop:].copy()


def plain_frame(frame: Array, content: Array) -> Plain | None:
    """The colour of a frame ``(H, W, 3)`` with the contents ``(K, D)`` that has only one, else None."""
    cells = content.reshape(-1, 3)
    # The cells of a plain frame differ less than its pixels do: most frames are told by them, which are few.
    if (
        float(np.abs(cells - cells.mean(0)).mean()) > NOT_PLAIN
        or (colour := plain_colour(frame)) is None
    ):
        return None
    return Plain(colour, round(spread(frame), 3))
