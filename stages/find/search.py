"""Find the shots of a clip and the transitions between them in one pass over small frames.

Only the last few seconds are kept (:mod:`stages.find.recent_frames`). Cuts are found first and are
barriers. Between them lie dissolves, fades, wipes and irises
(:mod:`stages.find.gradual_transitions`). Where the picture has changed for good without any of
these there is a boundary (:mod:`stages.find.boundaries`); where both scenes move as a whole
(:mod:`stages.find.placements`) it has a known kind. A fade out of a colour may be the end of a zoom
(:mod:`stages.find.zooms`). What is found depends on the frames alone, not on the blocks in which
they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from stages.errors import UsageError
from stages.find.boundaries import Boundary, BoundarySearch
from stages.find.brighten import MOST_GAIN, BrightFrames, gain_around
from stages.find.cuts import LEAST_STEP, NEAR, Verdict, judge_step
from stages.find.features import (
    Array,
    NccCache,
    OpticalFlow,
    plain_color,
    spread,
)
from stages.find.given import check_spans, measure_given
from stages.find.gradual_transitions import LONGEST, GradualSearch
from stages.find.recent_frames import RecentFrames
from stages.find.stills import StillSearch, StillTransition
from stages.find.stretch import TransitionFit
from stages.find.timeline import PlainFrame, TransitionEvent, build_timeline
from stages.find.unexplained import held_if_unexplained, reach_between
from stages.find.zooms import around_fade
from stages.kinds import CUT, OTHER, TRANSITION_KINDS, WIPE
from stages.media.clip import Frames
from stages.shots import Analysis

SIDE = 96  # pixels of the longer side of a small frame
CONTEXT = 20  # frames that have to be known after a transition before it is believed
KEEP = LONGEST + 2 * CONTEXT  # frames that the ring holds
LOOK_EVERY = 32  # frames between two looks
SPREAD_DIGITS = 3  # decimals to which a plain frame's spread is kept
_LISTS = (
    "judged",
    "looked",
    "searched",
    "cuts",
    "flashes",
    "events",
    "done",
    "waiting",
    "plain",
)
"""Attributes of :class:`_Search` that are part of its state as they are."""


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
    check_spans(spans)
    search = _Search(spans)
    if state is not None:
        search.restore(state)
    for block in blocks:
        if on_block and len(search.recent):
            on_block(search.state)
        pixels = block.pixels.permute(0, 2, 3, 1).cpu().numpy()
        search.add(np.ascontiguousarray(pixels))
        if progress:
            progress(search.recent.count)
    for first, last in spans:
        if last >= search.recent.count:
            raise UsageError(
                f"{first}:{last}: the clip's frames are 0 to {search.recent.count - 1}; "
                "give a range inside them"
            )
    if len(search.recent):
        search.look(final=True)
        search.stills.end_run()
    plain = {
        number: color for first, last, color in search.plain for number in range(first, last + 1)
    }
    return build_timeline(search.recent.count, search.all_events(), plain)


def _touches(event: TransitionEvent, found: StillTransition) -> bool:
    """Return whether an event overlaps a transition between still scenes, or is next to it."""
    return event.last_frame >= found.first - 1 and event.first_frame <= found.last + 1


@dataclass
class _Search:
    """The frames of the last few seconds, and what was found so far.

    spans: first and last frame of the transitions that the user gave.
    motion: measures optical flow. recent: the frames.
    judged: the first frame of which it is not known yet whether a cut is before it.
    looked: the first frame of which it is not known yet whether it is plain.
    searched: the first frame that may be the last clean one before a boundary.
    cuts: first frames of shots, as far as these frames lie behind a cut.
    flashes: first frames of flashes and of what follows them; nothing is mixed across these.
    events: all cuts and transitions so far.
    done: the first frame behind the last gradual transition.
    plain: first and last number and the colour of all runs of plain frames so far.
    """

    spans: list[tuple[int, int]]
    motion: OpticalFlow = field(default_factory=OpticalFlow)
    judged: int = 1
    looked: int = 0
    searched: int = 0
    cuts: list[int] = field(default_factory=list)
    flashes: list[int] = field(default_factory=list)
    events: list[TransitionEvent] = field(default_factory=list)
    done: int = 0
    plain: list[tuple[int, int, PlainFrame]] = field(default_factory=list)
    recent: RecentFrames = field(init=False)

    def __post_init__(self) -> None:
        self.recent = RecentFrames(self.motion)
        self.gradual = GradualSearch(self.motion)
        self.stills = StillSearch()
        self.waiting = list(self.spans)
        self.keep = max([KEEP, *(last - first + 2 * CONTEXT + 2 for first, last in self.spans)])

    @property
    def first(self) -> int:
        """The clip's number of the first frame that is kept."""
        return self.recent.first

    def add(self, new: Array) -> None:
        """Take the next frames ``(T, H, W, 3)``, and look whenever enough of them have come."""
        for frame in new:
            self.stills.add(frame)
            self.recent.add(frame)
            if len(self.recent) == self.keep + LOOK_EVERY:
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

    def state(self) -> dict[str, Any]:
        """Return all that the search consists of between two blocks."""
        return {
            **self.recent.state(),
            **{name: getattr(self, name) for name in _LISTS},
            "rejected": self.gradual.rejected,
            "stills": self.stills.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search."""
        self.recent.restore(state)
        for name in _LISTS:
            setattr(self, name, state[name])
        self.gradual.rejected = state["rejected"]
        self.stills.restore(state["stills"])

    def look(self, final: bool) -> None:
        """Decide what the frames at hand can tell; forget those that nothing later can need."""
        recent = self.recent
        recent.measure()
        known = len(recent) if final else len(recent) - CONTEXT // 2
        ncc = NccCache(self.motion, recent.frames)
        self._find_cuts(known, ncc)
        cuts = [cut - self.first for cut in self.cuts if cut > self.first]
        bright = BrightFrames.of(
            np.stack(recent.frames[:known]), recent.pairs[:known, :known], cuts
        )
        if bright.are_changed:
            ncc = NccCache(self.motion, list(bright.frames))
        self._find_plain(bright)
        limit = known - 1 if final else known - CONTEXT
        self._measure_spans(bright, cuts, limit)
        flashes = [flash - self.first for flash in self.flashes if flash - self.first < known]
        barriers = sorted({*cuts, *flashes, *self._span_barriers(known)})
        within = range(max(0, self.done - self.first), limit + 1)
        gradual = self.gradual.find(bright.frames, bright.pairs, self.first, barriers, within)
        for found in gradual:
            if not self._is_given(self.first + found.before + 1, self.first + found.after - 1):
                others = [(other.before + 1, other.after - 1) for other in gradual]
                self._add_event(bright, self._as_whole(bright.frames, found), beside=others)
                self.done = max(self.events[-1].last_frame, self.first + int(found.after) - 1) + 1
        drop = max(0, len(recent) - self.keep)
        self._find_boundaries(bright, barriers, known if final else CONTEXT + drop, ncc)
        self._forget(drop)

    def _as_whole(self, frames: Array, found: TransitionFit) -> TransitionFit:
        """Return the transition whose second half ``found`` is, or ``found`` itself.

        The events in its first half are dropped, as parts of it. An event that reaches further out
        is no such part: then there is no whole.
        """
        faded = self._places([event for event in self.events if event.in_color])
        whole = around_fade(frames, found, faded)
        if whole is None or self._is_given(self.first + whole.before, self.first + whole.after):
            return found
        first, last = self.first + whole.before + 1, self.first + whole.after - 1
        # The last frame of a cut is the one before its first.
        parts = [
            event
            for event in self.events
            if event.first_frame <= last and max(event.first_frame, event.last_frame) >= first
        ]
        if any(event.first_frame < first - 1 for event in parts):
            return found
        self.events = [event for event in self.events if event not in parts]
        self.cuts = [cut for cut in self.cuts if not first <= cut <= last]
        return whole

    def _find_plain(self, bright: BrightFrames) -> None:
        """Remember which of the frames that were not looked at before are plain."""
        for place in range(max(0, self.looked - self.first), len(bright.frames)):
            color = bright.plain_color(place)
            if color is None:
                continue
            plain = PlainFrame(color, round(spread(bright.frames[place]), SPREAD_DIGITS))
            first = last = self.first + place
            if self.plain and self.plain[-1][1:] == (last - 1, plain):
                first = self.plain.pop()[0]
            self.plain.append((first, last, plain))
        self.looked = max(self.looked, self.first + len(bright.frames))

    def _find_cuts(self, known: int, ncc: NccCache) -> None:
        """Judge every step once, when all that may decide it has come.

        So what is found does not depend on when it is looked for.
        """
        for place in range(max(1, self.judged - self.first), known):
            number = self.first + place
            if self._is_given(number - 1, number):
                continue
            verdict = self._verdict(place, ncc)
            if verdict == "cut":
                self.cuts.append(number)
                self.events.append(TransitionEvent(number, number - 1, CUT))
            elif verdict == "flash":
                self.flashes.append(number)
        self.judged = max(self.judged, self.first + known)

    def _verdict(self, place: int, ncc: NccCache) -> Verdict:
        """Return what the step to frame ``place`` is; steps between dark pictures count more."""
        recent = self.recent
        steps, residuals = recent.steps, recent.residuals
        # No gain makes a smaller step large enough.
        if steps[place] * MOST_GAIN < LEAST_STEP:
            return ""
        gain = gain_around(recent.frames, place, NEAR + 1)
        if gain > 1 and gain * steps[place] >= LEAST_STEP:
            bright = list(recent.frames)
            for near in range(max(0, place - NEAR - 1), min(len(bright), place + NEAR + 1)):
                bright[near] = np.minimum(gain * bright[near], 1).astype(np.float32)
            # Frames of one colour have no structure that tells a cut from a fade.
            if not any(plain_color(bright[side]) for side in (place - 1, place)):
                steps, residuals = ([gain * size for size in sizes] for sizes in (steps, residuals))
                ncc = NccCache(self.motion, bright)
        return judge_step(steps, residuals, recent.contents, ncc, place)

    def _find_boundaries(
        self, bright: BrightFrames, barriers: Sequence[int], until: int, ncc: NccCache
    ) -> None:
        """Look for boundaries whose last clean frame is before the place ``until``.

        The others come with a later look.
        """
        stack = bright.frames
        known, start = len(stack), max(0, self.searched - self.first)
        mixed = self._places([event for event in self.events if event.mix])
        taken = [(first, last) for first, last in mixed if last >= 0 and first < known]
        search = BoundarySearch(self.motion, ncc, stack, partial(self.gradual.explained, stack))
        starts = range(start, min(until, known))
        boundaries = search.find(bright.pairs, barriers, taken, starts)
        for found in boundaries:
            if self._is_given(self.first + found.first, self.first + found.last):
                continue
            # A transition may reach further than its boundary, but not over another one.
            others = [(other.first, other.last) for other in boundaries if other != found]
            known_kind = self.gradual.known_kind(stack, found, barriers, sorted([*taken, *others]))
            if known_kind is None:
                self._add_unknown(found)
            else:
                self._add_event(bright, known_kind, beside=others)
                taken += self._places(self.events[-1:])
                self.done = max(self.done, self.events[-1].last_frame + 1)
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

    def _measure_spans(self, bright: BrightFrames, cuts: Sequence[int], limit: int) -> None:
        """Measure the spans given by the user whose surroundings are all known."""
        while self.waiting and self.waiting[0][1] - self.first <= limit:
            first, last = (number - self.first for number in self.waiting.pop(0))
            before, after = max(first - 1, 0), min(last + 1, len(bright.frames) - 1)
            low = max([0, *(cut for cut in cuts if cut <= before)])
            high = min([len(bright.frames) - 1, *(cut - 1 for cut in cuts if cut > after)])
            for part in measure_given(bright.frames, (first, last), (before, after), (low, high)):
                self._add_event(bright, part.found, part.span)

    def _add_event(
        self,
        bright: BrightFrames,
        found: TransitionFit,
        span: tuple[int, int] | None = None,
        beside: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Add what fills ``span`` or lies between clean frames; ``beside`` was found with it."""
        doubtful = False
        if span is None:
            given = [(first - self.first, last - self.first) for first, last in self.spans]
            taken = [*self._places(self.events), *given, *beside]
            reach = reach_between(taken, found, len(bright.frames))
            found, doubtful = held_if_unexplained(bright.frames, found, reach)
        first, last = span or (found.before + 1, found.after - 1)
        self.events.append(
            TransitionEvent(
                self.first + first,
                self.first + last,
                found.kind,
                found.space,
                tuple(float(weight) for weight in found.mix),
                out_color=bright.plain_color(found.before),
                in_color=bright.plain_color(found.after),
                effect=found.effect,
                doubtful=doubtful,
            )
        )

    def _places(self, events: Iterable[TransitionEvent]) -> list[tuple[int, int]]:
        """Return the first and the last frame of events, counted from the first kept frame."""
        return [(one.first_frame - self.first, one.last_frame - self.first) for one in events]

    def _forget(self, drop: int) -> None:
        """Drop the first frames and what was known of them."""
        self.recent.forget(drop)
        self.cuts = [cut for cut in self.cuts if cut > self.first]
        self.flashes = [flash for flash in self.flashes if flash > self.first]
