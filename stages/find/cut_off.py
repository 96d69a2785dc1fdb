"""Find transitions of which one end is cut off, so that a frame beside them is a mixture itself.

A transition begins before the one before it has ended, or the clip or a shot of it begins or ends
inside. The clean frame that is left has more in common with the other side than the sides of a
whole transition have, and the search of :mod:`stages.find.gradual_transitions` takes both for one
shot. Here what they have in common is ignored, see
:func:`stages.find.examine.cut_off_transition`. So only windows at an end of a stretch
without an event are tried, once for each end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.find.examine import cut_off_transition
from stages.find.look import Look
from stages.find.stretch import TransitionFit
from stages.find.window_scores import LEAST_SCORE, SPANS, window_score
from stages.find.windows import stretches

LONGEST = 80  # frames from side to side of a transition that is looked for here
NEAR = 3  # frames at an end of a stretch in which the cut-off side of a transition may be
MOST_TRIED = 3  # windows that are examined at an end of a stretch


@dataclass
class CutOffSearch:
    """The search for transitions that are cut off, look after look.

    begins_judged, ends_judged: the last frames of the clip at which a stretch begins and ends that
    were judged.
    """

    begins_judged: int = -1
    ends_judged: int = -1

    def find(
        self, look: Look, taken: Sequence[tuple[int, int]], limit: int, *, is_last: bool
    ) -> list[TransitionFit]:
        """Return the transitions that are cut off at an end of a stretch that was not judged yet.

        taken: first and last places of the transitions that are known. limit: the last place that
        the first clean frame behind a transition may have. is_last: whether the clip ends there.
        """
        found = []
        for low, high in stretches(limit + 1, look.barriers, taken):
            is_whole = is_last or high < limit
            fit = None
            # The first frame at hand is within a stretch, unless the clip begins there.
            is_begin = low > 0 or look.first == 0
            if (
                is_begin
                and look.first + low > self.begins_judged
                and (is_whole or high - low >= LONGEST)
            ):
                self.begins_judged = look.first + low
                fit = self._at_begin(look, low, high)
            if fit is None and look.first + high > self.ends_judged and is_whole:
                self.ends_judged = look.first + high
                fit = self._at_end(look, low, high)
            if fit is not None:
                found.append(fit)
        return found

    def _at_begin(self, look: Look, low: int, high: int) -> TransitionFit | None:
        """Return the transition with which the stretch ``low..high`` begins, or None."""
        starts = range(low, low + NEAR)
        windows = [(start, start + span) for span in SPANS for start in starts]
        fit = self._best(look, windows, (low, high))
        return fit if fit is not None and fit.before in starts else None

    def _at_end(self, look: Look, low: int, high: int) -> TransitionFit | None:
        """Return the transition with which the stretch ``low..high`` ends, or None."""
        ends = range(high - NEAR + 1, high + 1)
        windows = [(end - span, end) for span in SPANS for end in ends]
        fit = self._best(look, windows, (low, high))
        return fit if fit is not None and fit.after in ends else None

    def _best(
        self, look: Look, windows: Sequence[tuple[int, int]], reach: tuple[int, int]
    ) -> TransitionFit | None:
        """Return the transition in the straightest of some windows that is believed, or None.

        reach: the first and the last frame that a window may have.
        """
        scored = [
            (window_score(look.pairs, start, end), (start, end))
            for start, end in windows
            if reach[0] <= start and end <= reach[1] and end - start <= LONGEST
        ]
        for score, window in sorted(scored, reverse=True)[:MOST_TRIED]:
            if score < LEAST_SCORE:
                break
            fit = cut_off_transition(look.frames, window, reach)
            if fit is not None:
                return fit
        return None

    def state(self) -> dict[str, Any]:
        """Return what was judged, for a checkpoint."""
        return {"begins_judged": self.begins_judged, "ends_judged": self.ends_judged}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search; earlier versions had none of this."""
        self.begins_judged = state.get("begins_judged", -1)
        self.ends_judged = state.get("ends_judged", -1)
