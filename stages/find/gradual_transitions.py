"""Find gradual transitions: propose windows by their straightness, and examine them in turn.

A window whose frames lie on the straight line between its ends (:mod:`stages.find.window_scores`)
is a candidate. The best ones are examined (:mod:`stages.find.examine`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.find.examine import transition_near
from stages.find.look import Look
from stages.find.stretch import TransitionFit
from stages.find.window_scores import ScoreTable

MOST_CANDIDATES = 64  # candidates that are examined in one look
# Intersection over union with a window that was rejected in any look, from which another window is
# not examined again.
SAME_WINDOW = 0.5

Window = tuple[int, int]
"""First and last frame."""


@dataclass
class GradualSearch:
    """The search for gradual transitions, look after look.

    rejected: windows, in frames of the clip, that were examined and are not examined again.
    """

    rejected: list[Window] = field(default_factory=list)

    def find(self, look: Look, within: range) -> list[TransitionFit]:
        """Return all gradual transitions of the frames at hand, in order of time.

        within: the places that a transition's last clean, mixed and first clean frames may have.
        """
        limit = within.stop - 1
        table = ScoreTable(look.pairs, look.barriers)
        table.restrict(within.start, limit)
        self.rejected = [window for window in self.rejected if window[1] > look.first]
        found: list[TransitionFit] = []
        for _ in range(MOST_CANDIDATES):
            window = table.best()
            if window is None:
                break
            accepted = self._examined(look, window, within.start, found)
            if accepted is None or accepted.after > limit:
                table.drop_similar(window)
            else:
                found.append(accepted)
                # Not the whole window: it may hold another transition beside this one, as where one
                # black frame lies between two fades.
                table.drop_overlapping((accepted.before, accepted.after))
        return sorted(found, key=lambda one: one.before)

    def _examined(
        self, look: Look, window: Window, low: int, found: Sequence[TransitionFit]
    ) -> TransitionFit | None:
        """Return the transition near a window, or None; remember a window without one.

        low: the first place that a transition may have. found: the other transitions.
        """
        in_clip = window[0] + look.first, window[1] + look.first
        if any(overlap(in_clip, rejected) >= SAME_WINDOW for rejected in self.rejected):
            return None
        edges = [0, *(place for place in look.barriers if place > 0), len(look)]
        reach = _free_stretch(window, edges, low, found)
        accepted = transition_near(look.frames, window, reach)
        if accepted is None:
            self.rejected.append(in_clip)
        return accepted

    def state(self) -> dict[str, Any]:
        """Return the rejected windows, for a checkpoint."""
        return {"rejected": self.rejected}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another search."""
        self.rejected = state["rejected"]


def overlap(one: Window, other: Window) -> float:
    """Return the intersection over union of two windows."""
    common = min(one[1], other[1]) - max(one[0], other[0])
    return max(0, common) / (max(one[1], other[1]) - min(one[0], other[0]))


def _free_stretch(
    window: Window, edges: Sequence[int], low: int, found: Sequence[TransitionFit]
) -> Window:
    """Return the first and last frame of the longest stretch around a window without an event."""
    lower = [edge for edge in edges if edge <= window[0]]
    lower += [low, *(one.after for one in found if one.after <= window[0])]
    upper = [edge - 1 for edge in edges if edge > window[1]]
    upper += [one.before for one in found if one.before >= window[1]]
    return max(lower), min(upper)
