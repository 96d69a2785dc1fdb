"""Find the shots of a clip and the transitions between them in one pass over small frames.

Only the last few seconds are kept (:mod:`stages.find.recent_frames`). Cuts are found first
(:mod:`stages.find.cuts`) and are barriers. Between them lie dissolves, fades, wipes and irises
(:mod:`stages.find.gradual_transitions`), some of which are cut off at an end
(:mod:`stages.find.cut_off`). Where the picture has changed for good without any of these there is a
boundary (:mod:`stages.find.boundaries`). It may turn out to have a known kind
(:mod:`stages.find.boundary_kinds`). A fade out of a colour may be the end of a zoom
(:mod:`stages.find.zooms`). What is found depends on the frames alone, not on the blocks in which
they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from stages.find.boundaries import BoundarySearch
from stages.find.boundary_kinds import boundary_by_model, kind_of_boundary
from stages.find.brighten import BrightFrames
from stages.find.correlation import NccCache
from stages.find.cut_off import CutOffSearch
from stages.find.cuts import CutSearch
from stages.find.features import Array, channels_last
from stages.find.found_events import FoundEvents
from stages.find.given import GivenSpans
from stages.find.gradual_transitions import GradualSearch
from stages.find.look import Look
from stages.find.plain_frames import PlainRuns
from stages.find.recent_frames import RecentFrames
from stages.find.stills import StillSearch
from stages.find.stretch import TransitionFit
from stages.find.timeline import build_timeline
from stages.find.window_scores import LONGEST
from stages.find.windows import stretch_around
from stages.find.zooms import zoom_around_fade
from stages.media.clip import Frames
from stages.shots import Analysis

SIDE = 96  # pixels of the longer side of a small frame
CONTEXT = 20  # frames that have to be known after a transition before it is believed
KEEP = LONGEST + 2 * CONTEXT  # frames that are kept
LOOK_EVERY = 32  # frames between two looks


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

    Raises UsageError for an override outside the clip and for two that overlap.
    """
    search = _Search(GivenSpans.of(overrides))
    if state is not None:
        search.restore(state)
    for block in blocks:
        if on_block and len(search.recent):
            on_block(search.state)
        search.add(channels_last(block.pixels))
        if progress:
            progress(search.recent.count)
    search.given.check_end(search.recent.count)
    if len(search.recent):
        search.look(is_last=True)
        search.stills.end_run()
    events = search.events.with_stills(search.stills.found)
    return build_timeline(search.recent.count, events, search.plain.by_number())


class _Part(Protocol):
    """A part of the search with a state of its own."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class _Search:
    """The frames of the last few seconds, and what was found so far.

    given: the transitions that the user gave.

    Frames of the clip have numbers. Frames at hand have places, counted from the first one that is
    kept.
    """

    def __init__(self, given: GivenSpans) -> None:
        self.given = given
        self.recent = RecentFrames()
        self.cuts = CutSearch()
        self.plain = PlainRuns()
        self.gradual = GradualSearch()
        self.cut_off = CutOffSearch()
        self.stills = StillSearch()
        self.events = FoundEvents(given)
        # The first frame that may be the last clean one before a boundary.
        self.searched = 0
        # The first frame behind the last gradual transition.
        self.done = 0
        self.keep = max(KEEP, given.longest() + 1 + 2 * CONTEXT)

    def add(self, new: Array) -> None:
        """Take the next frames ``(T, H, W, 3)``, and look whenever enough of them have come."""
        for frame in new:
            self.stills.add(frame)
            self.recent.add(frame)
            if len(self.recent) == self.keep + LOOK_EVERY:
                self.look(is_last=False)

    def state(self) -> dict[str, Any]:
        """Return all that the search consists of between two blocks.

        The names in it are those of earlier versions, whose states can be continued.
        """
        state: dict[str, Any] = {"searched": self.searched, "done": self.done}
        for part in self._parts():
            state |= part.state()
        return state | {"stills": self.stills.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search."""
        for part in self._parts():
            part.restore(state)
        self.searched, self.done = state["searched"], state["done"]
        self.stills.restore(state["stills"])

    def _parts(self) -> tuple[_Part, ...]:
        """Return the parts whose states lie side by side in the search's."""
        parts = self.recent, self.cuts, self.plain, self.given
        return (*parts, self.gradual, self.cut_off, self.events)

    def look(self, is_last: bool) -> None:
        """Decide what the frames at hand can tell. Forget those that nothing later can need."""
        self.recent.measure()
        kept = len(self.recent)
        known = kept if is_last else kept - CONTEXT // 2
        look = self._frames_at_hand(known)
        self.plain.add(look.bright, look.first)
        limit = known - 1 if is_last else known - CONTEXT
        for measured in self.given.measure(look.frames, look.first, look.cuts, limit):
            self.events.add_given(look, measured)
        self._find_gradual(look, limit)
        self._find_cut_off(look, limit, is_last)
        dropped = max(0, kept - self.keep)
        self._find_boundaries(look, known if is_last else CONTEXT + dropped)
        self.recent.forget(dropped)
        self.cuts.forget(self.recent.first)

    def _frames_at_hand(self, known: int) -> Look:
        """Return the first ``known`` frames, with cuts found and dark stretches brightened."""
        recent, first = self.recent, self.recent.first
        ncc = NccCache(recent.frames)
        for cut in self.cuts.find(recent, known, ncc, self.given):
            self.events.add_cut(cut)
        cuts = [cut - first for cut in self.cuts.cuts if cut > first]
        frames, pairs = np.stack(recent.frames[:known]), recent.pairs[:known, :known]
        bright = BrightFrames.of(frames, pairs, cuts)
        if bright.are_changed:
            ncc = NccCache(list(bright.frames))
        flashes = [flash - first for flash in self.cuts.flashes if flash - first < known]
        barriers = sorted({*cuts, *flashes, *self.given.barriers(first, known)})
        return Look(first, bright, ncc, cuts, barriers)

    def _find_gradual(self, look: Look, limit: int) -> None:
        """Add the gradual transitions whose first clean frame is at place ``limit`` or before."""
        found = self.gradual.find(look, range(max(0, self.done - look.first), limit + 1))
        spans = [(one.before + 1, one.after - 1) for one in found]
        for fit, (first, last) in zip(found, spans, strict=True):
            if self.given.has_any_in(look.first + first, look.first + last):
                continue
            self.events.add_transition(look, self._completed_zoom(look, fit), beside=spans)
            self.done = max(self.events.last_frame, look.first + last) + 1

    def _find_cut_off(self, look: Look, limit: int, is_last: bool) -> None:
        """Add the transitions of which an end is cut off. Arguments as of :meth:`_find_gradual`."""
        taken = [span for span in self._mixed_places(look) if span[0] <= limit]
        for fit in self.cut_off.find(look, taken, limit, is_last=is_last):
            if self.given.has_any_in(look.first + fit.before + 1, look.first + fit.after - 1):
                continue
            self.events.add_cut_off(look, fit)
            self.done = max(self.done, self.events.last_frame + 1)

    def _mixed_places(self, look: Look) -> list[tuple[int, int]]:
        """Return the first and last places of the transitions in the frames at hand."""
        places = look.places_of(self.events.mixed())
        return [(first, last) for first, last in places if last >= 0 and first < len(look)]

    def _completed_zoom(self, look: Look, fade: TransitionFit) -> TransitionFit:
        """Return the zoom whose second half is a fade, or the fade where there is none.

        The events in the zoom's first half are dropped, as parts of it.
        """
        faded = look.places_of(self.events.fades_into_color())
        zoom = zoom_around_fade(look.frames, fade, faded)
        if zoom is None or self.given.has_any_in(look.first + zoom.before, look.first + zoom.after):
            return fade
        first, last = look.first + zoom.before + 1, look.first + zoom.after - 1
        parts = self.events.parts_of(first, last)
        if parts is None:
            return fade
        self.events.remove(parts)
        self.cuts.drop_between(first, last)
        return zoom

    def _find_boundaries(self, look: Look, until: int) -> None:
        """Look for boundaries whose last clean frame is before the place ``until``.

        The others come with a later look.
        """
        by_model = partial(boundary_by_model, look.frames)
        search = BoundarySearch(look.ncc, look.frames, by_model)
        starts = range(max(0, self.searched - look.first), min(until, len(look)))
        taken = self._mixed_places(look)
        boundaries = search.find(look.pairs, look.barriers, taken, starts)
        for found in boundaries:
            if self.given.has_any_in(look.first + found.first, look.first + found.last):
                continue
            # A transition may reach further than its boundary, but not over another one.
            others = [(other.first, other.last) for other in boundaries if other != found]
            reach = stretch_around(found, len(look), look.barriers, sorted([*taken, *others]))
            fit = None
            if reach is not None:
                fit = kind_of_boundary(look.frames, found, reach)
            if fit is None:
                self.events.add_unknown(look, found)
            else:
                self.events.add_transition(look, fit, beside=others)
                taken += look.places_of(self.events.events[-1:])
            self.done = max(self.done, self.events.last_frame + 1)
        self.searched = max(self.searched, look.first + until)
