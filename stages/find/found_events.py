"""The cuts and transitions that the search has found so far, as events of the clip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.find.given import GivenSpans, GivenTransition
from stages.find.look import Look
from stages.find.stills import StillTransition
from stages.find.stretch import TransitionFit
from stages.find.timeline import TransitionEvent
from stages.find.unexplained import held_if_unexplained, reach_between
from stages.find.windows import Boundary
from stages.kinds import CUT, OTHER, TRANSITION_KINDS, WIPE


@dataclass
class FoundEvents:
    """The cuts and transitions that were found so far.

    given: the user's spans. events: in the order in which they were found.
    """

    given: GivenSpans
    events: list[TransitionEvent] = field(default_factory=list)

    @property
    def last_frame(self) -> int:
        """The last frame of the event that was found last."""
        return self.events[-1].last_frame

    def mixed(self) -> list[TransitionEvent]:
        """Return the events that have mixed frames."""
        return [event for event in self.events if event.mix]

    def fades_into_color(self) -> list[TransitionEvent]:
        """Return the transitions that end in a plain colour."""
        return [event for event in self.events if event.in_color]

    def add_cut(self, number: int) -> None:
        """Add the cut before the frame ``number``."""
        self.events.append(TransitionEvent(number, number - 1, CUT))

    def add_unknown(self, look: Look, boundary: Boundary) -> None:
        """Add a boundary whose kind is not known."""
        first, last = look.first + boundary.first, look.first + boundary.last
        self.events.append(TransitionEvent(first, last, OTHER, "gamma", boundary.mix))

    def add_given(self, look: Look, measured: GivenTransition) -> None:
        """Add a transition that the user gave."""
        self._add(look, measured.fit, measured.span)

    def add_cut_off(self, look: Look, fit: TransitionFit) -> None:
        """Add a transition that is cut off, whose model cannot be tested against clean frames."""
        self._add(look, fit, (fit.before + 1, fit.after - 1))

    def add_transition(
        self, look: Look, fit: TransitionFit, beside: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Add a transition, of the kind ``other`` if its model does not explain its frames.

        beside: first and last frames of what was found with it, as places.
        """
        given = [(first - look.first, last - look.first) for first, last in self.given.spans]
        taken = [*look.places_of(self.events), *given, *beside]
        reach = reach_between(taken, fit, len(look))
        held, is_doubtful = held_if_unexplained(look.frames, fit, reach)
        self._add(look, held, (held.before + 1, held.after - 1), is_doubtful)

    def _add(
        self, look: Look, fit: TransitionFit, span: tuple[int, int], is_doubtful: bool = False
    ) -> None:
        """Add a transition that fills the places ``span``."""
        self.events.append(
            TransitionEvent(
                look.first + span[0],
                look.first + span[1],
                fit.kind,
                fit.space,
                tuple(float(weight) for weight in fit.mix),
                out_color=look.bright.plain_color(fit.before),
                in_color=look.bright.plain_color(fit.after),
                effect=fit.effect,
                doubtful=is_doubtful,
            )
        )

    def parts_of(self, first: int, last: int) -> list[TransitionEvent] | None:
        """Return the events that are parts of a transition in the frames ``first..last``.

        An event that begins further out is no part of it. Then there is no such transition: the
        result is None.
        """
        # The last frame of a cut is the one before its first.
        parts = [
            event
            for event in self.events
            if event.first_frame <= last and max(event.first_frame, event.last_frame) >= first
        ]
        reach_further = any(event.first_frame < first - 1 for event in parts)
        return None if reach_further else parts

    def remove(self, events: Iterable[TransitionEvent]) -> None:
        """Remove events, as parts of another one."""
        removed = list(events)
        self.events = [event for event in self.events if event not in removed]

    def with_stills(self, found: Iterable[StillTransition]) -> list[TransitionEvent]:
        """Return all events. Transitions between still scenes replace the others there."""
        events = list(self.events)
        for still in found:
            if self.given.has_any_in(still.first, still.last):
                continue
            replaced = [event for event in events if _touches(event, still)]
            events = [event for event in events if not _touches(event, still)]
            kind, effect = still.kind, None
            for event in replaced:
                # The other search knows the pattern of a matte, and so its name.
                if TRANSITION_KINDS[event.kind].has_matte and kind == WIPE:
                    kind, effect = event.kind, event.effect
            span = still.first, still.last
            events.append(TransitionEvent(*span, kind, still.space, still.mix, effect=effect))
        return events

    def state(self) -> dict[str, Any]:
        """Return the events for a checkpoint."""
        return {"events": self.events}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search."""
        self.events = state["events"]


def _touches(event: TransitionEvent, still: StillTransition) -> bool:
    """Return whether an event overlaps a transition between still scenes, or is next to it."""
    return event.last_frame >= still.first - 1 and event.first_frame <= still.last + 1
