"""Find the shots of a clip and the transitions between them in one pass over small frames.

Only the last few seconds are kept: a ring of frames and the distances between their blocks. Cuts
are found first and are barriers. Between them lie dissolves, fades, wipes and irises
(:mod:`stages.find.gradual_transitions`). Where the picture has changed for good without any of
these there is a boundary (:mod:`stages.find.boundaries`); where both scenes move as a whole
(:mod:`stages.find.placements`) it has a known kind. What is found depends on the frames alone, not
on the blocks in which they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from stages.errors import UsageError
from stages.find.boundaries import Boundary, BoundarySearch
from stages.find.cuts import judge_step
from stages.find.features import (
    PLAIN,
    Array,
    NccCache,
    OpticalFlow,
    contents,
    distances,
    plain_color,
    spread,
)
from stages.find.given import measure_given
from stages.find.gradual_transitions import LONGEST, GradualSearch
from stages.find.stills import StillSearch, StillTransition
from stages.find.stretch import TransitionFit
from stages.find.timeline import PlainFrame, TransitionEvent, build_timeline
from stages.kinds import CUT, OTHER, TRANSITION_KINDS, WIPE
from stages.media.clip import Frames
from stages.shots import Analysis

SIDE = 96  # pixels of the longer side of a small frame
CONTEXT = 20  # frames that have to be known after a transition before it is believed
KEEP = LONGEST + 2 * CONTEXT  # frames that the ring holds
LOOK_EVERY = 32  # frames between two looks
NOT_PLAIN = 2 * PLAIN  # mean difference of a frame's cells from their mean: above, it is not plain
SPREAD_DIGITS = 3  # decimals to which a plain frame's spread is kept
_STACKS = ("frames", "contents")
_LISTS = (
    "first",
    "steps",
    "residuals",
    "judged",
    "searched",
    "cuts",
    "flashes",
    "events",
    "done",
    "waiting",
    "plain",
)
"""Attributes of :class:`_Search` that are its state, as tensors and as they are."""


def search_size(width: int, height: int) -> tuple[int, int]:
    """Return the size ``(H, W)`` at which :func:`find` takes the frames of a clip.

    The aspect is the clip's, and the longer side has at most 96 pixels.
    """
    scale = min(1.0, SIDE / max(width, height, 1))
    return max(1, round(height * scale)), max(1, round(width * scale))


def find(
    blocks: Iterable[Frames],
    *,
    overrides: Sequence[tuple[int, int]] = (),
    progress: Callable[[int], None] | None = None,
    state: Mapping[str, Any] | None = None,
    on_block: Callable[[Callable[[], dict[str, Any]]], None] | None = None,
) -> Analysis:
    """Find the cuts, the gradual transitions and the shots of a clip.

    blocks: the clip's frames in order, of the size of :func:`search_size`.
    overrides: first and last frame (inclusive) of transitions that the user knows. They replace
    what the search finds there; their kind and curve are measured.
    progress: called with the number of frames that were searched so far.
    state: of an interrupted search of the same frames; ``blocks`` are then those that it had not
    taken yet.
    on_block: called before each block but the first with a function that returns the search's
    state, made of values that a checkpoint can hold.

    Raises :class:`UsageError` for an override outside the clip and for two that overlap.
    """
    spans = sorted((first, last) for first, last in overrides)
    _check_spans(spans)
    search = _Search(spans)
    if state is not None:
        search.restore(state)
    for block in blocks:
        if on_block and search.frames:
            on_block(search.state)
        pixels = block.pixels.permute(0, 2, 3, 1).cpu().numpy()
        search.add(np.ascontiguousarray(pixels))
        if progress:
            progress(search.count)
    for first, last in spans:
        if last >= search.count:
            raise UsageError(
                f"{first}:{last}: the clip's frames are 0 to {search.count - 1}; "
                "give a range inside them"
            )
    if search.frames:
        search.look(final=True)
        search.stills.end_run()
    plain = {
        number: color for first, last, color in search.plain for number in range(first, last + 1)
    }
    return build_timeline(search.count, search.all_events(), plain)


def _check_spans(spans: Sequence[tuple[int, int]]) -> None:
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


def _touches(event: TransitionEvent, found: StillTransition) -> bool:
    """Return whether an event overlaps a transition between still scenes, or is next to it."""
    return event.last_frame >= found.first - 1 and event.first_frame <= found.last + 1


@dataclass
class _Search:
    """The frames of the last few seconds, and what was found so far.

    spans: first and last frame of the transitions that the user gave.
    first: the clip's number of the first frame in the lists.
    frames, contents, steps, residuals: of these frames; see :mod:`stages.find.cuts`.
    pairs: squared distances of their blocks, ``(T, T, K)``.
    judged: the first frame of which it is not known yet whether a cut is before it.
    searched: the first frame that may be the last clean one before a boundary.
    cuts: first frames of shots, as far as these frames lie behind a cut.
    flashes: first frames of flashes and of what follows them; nothing is mixed across these.
    events: all cuts and transitions so far.
    done: the first frame behind the last gradual transition.
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
    searched: int = 0
    cuts: list[int] = field(default_factory=list)
    flashes: list[int] = field(default_factory=list)
    events: list[TransitionEvent] = field(default_factory=list)
    done: int = 0
    plain: list[tuple[int, int, PlainFrame]] = field(default_factory=list)
    motion: OpticalFlow = field(default_factory=OpticalFlow)

    def __post_init__(self) -> None:
        self.gradual = GradualSearch(self.motion)
        self.stills = StillSearch()
        self.waiting = list(self.spans)
        self.keep = max([KEEP, *(last - first + 2 * CONTEXT + 2 for first, last in self.spans)])

    @property
    def count(self) -> int:
        """Frames that were added so far."""
        return self.first + len(self.frames)

    def add(self, new: Array) -> None:
        """Take the next frames ``(T, H, W, 3)``, and look whenever enough of them have come."""
        for frame, content in zip(new, contents(new), strict=True):
            if self.frames:
                self.steps.append(float(np.sqrt(((content - self.contents[-1]) ** 2).mean())))
                self.residuals.append(self.motion.residual(self.frames[-1], frame))
            else:
                self.steps.append(0.0)
                self.residuals.append(0.0)
            self.stills.add(frame)
            if (plain := plain_frame(frame, content)) is not None:
                self._add_plain(plain)
            self.frames.append(frame)
            self.contents.append(content)
            if len(self.frames) == self.keep + LOOK_EVERY:
                self.look(final=False)

    def all_events(self) -> list[TransitionEvent]:
        """Return all cuts and transitions; those between still scenes replace others there."""
        events = list(self.events)
        for found in self.stills.found:
            if self._is_given(found.first, found.last):
                continue
            replaced = [event for event in events if _touches(event, found)]
            events = [event for event in events if not _touches(event, found)]
            kind, effect = found.kind, None
            for event in replaced:
                # The other search knows the pattern of a matte, and so its name.
                if TRANSITION_KINDS[event.kind].has_matte and kind == WIPE:
                    kind, effect = event.kind, event.effect
            span = found.first, found.last
            events.append(TransitionEvent(*span, kind, found.space, found.mix, effect=effect))
        return events

    def _add_plain(self, plain: PlainFrame) -> None:
        """Remember that the frame that comes next is plain."""
        number = self.count
        if self.plain and self.plain[-1][1:] == (number - 1, plain):
            number = self.plain.pop()[0]
        self.plain.append((number, self.count, plain))

    def state(self) -> dict[str, Any]:
        """Return all that the search consists of between two blocks."""
        stacks = {name: torch.from_numpy(np.stack(getattr(self, name))) for name in _STACKS}
        lists = {name: getattr(self, name) for name in _LISTS}
        pairs = torch.from_numpy(self.pairs)
        return {
            **stacks,
            **lists,
            "pairs": pairs,
            "rejected": self.gradual.rejected,
            "stills": self.stills.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search."""
        for name in _STACKS:
            setattr(self, name, list(state[name].numpy()))
        for name in _LISTS:
            setattr(self, name, state[name])
        self.pairs = state["pairs"].numpy()
        self.gradual.rejected = state["rejected"]
        self.stills.restore(state["stills"])

    def look(self, final: bool) -> None:
        """Decide what the frames at hand can tell; forget those that nothing later can need."""
        self._grow_pairs()
        known = len(self.frames) if final else len(self.frames) - CONTEXT // 2
        ncc = NccCache(self.motion, self.frames)
        self._find_cuts(known, ncc)
        stack = np.stack(self.frames[:known])
        cuts = [cut - self.first for cut in self.cuts if cut > self.first]
        limit = known - 1 if final else known - CONTEXT
        self._measure_spans(stack, cuts, limit)
        flashes = [flash - self.first for flash in self.flashes if flash - self.first < known]
        barriers = sorted({*cuts, *flashes, *self._span_barriers(known)})
        within = range(max(0, self.done - self.first), limit + 1)
        for found in self.gradual.find(
            stack, self.pairs[:known, :known], self.first, barriers, within
        ):
            if not self._is_given(self.first + found.before + 1, self.first + found.after - 1):
                self._add_event(stack, found)
                self.done = self.first + int(found.after)
        drop = max(0, len(self.frames) - self.keep)
        self._find_boundaries(stack, barriers, known if final else CONTEXT + drop, ncc)
        self._forget(drop)

    def _find_cuts(self, known: int, ncc: NccCache) -> None:
        """Judge every step once, when all that may decide it has come.

        So what is found does not depend on when it is looked for.
        """
        for place in range(max(1, self.judged - self.first), known):
            number = self.first + place
            if self._is_given(number - 1, number):
                continue
            verdict = judge_step(self.steps, self.residuals, self.contents, ncc, place)
            if verdict == "cut":
                self.cuts.append(number)
                self.events.append(TransitionEvent(number, number - 1, CUT))
            elif verdict == "flash":
                self.flashes.append(number)
        self.judged = max(self.judged, self.first + known)

    def _find_boundaries(
        self, stack: Array, barriers: Sequence[int], until: int, ncc: NccCache
    ) -> None:
        """Look for boundaries whose last clean frame is before the place ``until``.

        The others come with a later look.
        """
        known, start = len(stack), max(0, self.searched - self.first)
        taken = [
            (event.first_frame - self.first, event.last_frame - self.first)
            for event in self.events
            if event.mix
        ]
        taken = [(first, last) for first, last in taken if last >= 0 and first < known]
        search = BoundarySearch(self.motion, ncc, stack, partial(self.gradual.explained, stack))
        starts = range(start, min(until, known))
        boundaries = search.find(self.pairs[:known, :known], barriers, taken, starts)
        for found in boundaries:
            if self._is_given(self.first + found.first, self.first + found.last):
                continue
            # A transition may reach further than its boundary, but not over another one.
            others = [(other.first, other.last) for other in boundaries if other != found]
            known_kind = self.gradual.known_kind(stack, found, barriers, sorted([*taken, *others]))
            if known_kind is None:
                self._add_unknown(found)
            else:
                self._add_event(stack, known_kind)
                taken.append((int(known_kind.before) + 1, int(known_kind.after) - 1))
                self.done = max(self.done, self.first + int(known_kind.after))
        self.searched = max(self.searched, self.first + until)

    def _add_unknown(self, found: Boundary) -> None:
        """Add a boundary whose kind is not known."""
        first, last = self.first + found.first, self.first + found.last
        self.events.append(TransitionEvent(first, last, OTHER, "gamma", found.mix))
        self.done = max(self.done, last + 1)

    def _is_given(self, start: int, end: int) -> bool:
        """Return whether the user said what happens in some of the frames ``start..end``."""
        return any(first <= end and start <= last for first, last in self.spans)

    def _span_barriers(self, known: int) -> list[int]:
        """Return the places that the user's spans take away from the search, as barriers."""
        frames = (
            number - self.first for first, last in self.spans for number in range(first, last + 2)
        )
        return [place for place in frames if 0 < place < known]

    def _measure_spans(self, stack: Array, cuts: Sequence[int], limit: int) -> None:
        """Measure the spans given by the user whose surroundings are all known."""
        while self.waiting and self.waiting[0][1] - self.first <= limit:
            first, last = (number - self.first for number in self.waiting.pop(0))
            before, after = max(first - 1, 0), min(last + 1, len(stack) - 1)
            low = max([0, *(cut for cut in cuts if cut <= before)])
            high = min([len(stack) - 1, *(cut - 1 for cut in cuts if cut > after)])
            for part in measure_given(stack, (first, last), (before, after), (low, high)):
                self._add_event(stack, part.found, part.span)

    def _add_event(
        self, stack: Array, found: TransitionFit, span: tuple[int, int] | None = None
    ) -> None:
        """Add a transition that fills ``span``, or the frames between its clean ones."""
        first, last = span or (found.before + 1, found.after - 1)
        self.events.append(
            TransitionEvent(
                self.first + first,
                self.first + last,
                found.kind,
                found.space,
                tuple(float(weight) for weight in found.mix),
                out_color=plain_color(stack[found.before]),
                in_color=plain_color(stack[found.after]),
                effect=found.effect,
            )
        )

    def _grow_pairs(self) -> None:
        """Add the distances of the frames that have come since the last look."""
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
        """Drop the first frames and what was known of them."""
        if drop:
            self.first += drop
            self.cuts = [cut for cut in self.cuts if cut > self.first]
            self.flashes = [flash for flash in self.flashes if flash > self.first]
            for part in (self.frames, self.contents, self.steps, self.residuals):
                del part[:drop]
            self.pairs = self.pairs[drop:, drop:].copy()


def plain_frame(frame: Array, content: Array) -> PlainFrame | None:
    """Return the colour of a frame that has only one, else None.

    frame: ``(H, W, 3)``; content: its contents ``(K, D)``.
    """
    cells = content.reshape(-1, 3)
    # Cells differ less than pixels do and are few, so that they rule out most frames cheaply.
    if float(np.abs(cells - cells.mean(0)).mean()) > NOT_PLAIN:
        return None
    color = plain_color(frame)
    return None if color is None else PlainFrame(color, round(spread(frame), SPREAD_DIGITS))
