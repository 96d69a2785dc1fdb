"""The frames that the search has at hand when it looks, and what it knows of them by then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stages.find.brighten import BrightFrames
from stages.find.correlation import NccCache
from stages.find.features import Array
from stages.find.timeline import TransitionEvent


@dataclass(frozen=True)
class Look:
    """The frames at hand in one look of the search.

    They are counted by their places: place 0 is the clip's frame ``first``.

    bright: the frames, of which the dark stretches are brightened. ncc: of two of them, by their
    places. cuts: first frames of shots, as places. barriers: the places before which nothing is
    mixed: cuts, flashes, and what the user says.
    """

    first: int
    bright: BrightFrames
    ncc: NccCache
    cuts: Sequence[int]
    barriers: Sequence[int]

    @property
    def frames(self) -> Array:
        """The brightened frames, ``(T, H, W, 3)``."""
        return self.bright.frames

    @property
    def pairs(self) -> Array:
        """Squared distances of the blocks of all frames, ``(T, T, K)``."""
        return self.bright.pairs

    def __len__(self) -> int:
        return len(self.bright.frames)

    def places_of(self, events: Iterable[TransitionEvent]) -> list[tuple[int, int]]:
        """Return the first and the last frame of events as places."""
        return [(one.first_frame - self.first, one.last_frame - self.first) for one in events]
