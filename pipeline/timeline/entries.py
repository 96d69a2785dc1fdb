"""Read what a manifest, or ``probe --json``, lists: transitions and stretches of plain colour.

Frames are counted from 0 in the input as decoded; first and last frames are inclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_FRAME = 10**9
"""The largest frame number that a manifest is believed: a year at 30 frames a second."""


@dataclass(frozen=True)
class UsableFrames:
    """In which mixed frames both scenes of a transition are expected to be usable.

    outgoing_until: the last usable frame of the outgoing scene. incoming_from: the first one of the
    incoming scene. ``None`` where no mixed frame is usable.
    """

    outgoing_until: int | None
    incoming_from: int | None


@dataclass(frozen=True)
class TransitionEntry:
    """A transition as the manifest lists it.

    first, last: its mixed frames; a cut has none, so ``last`` is one less than ``first``.
    outgoing, incoming: names of the scenes; ``None`` where that side is a plain colour.
    color: that colour, ``#rrggbb``; empty without one. effect: FFmpeg's name; empty without one.
    mix: the weight of the incoming scene in each mixed frame, 0 to 1.
    mixed: the name of the layer that has the mixed frames as they are; empty without one.
    usable: where the scenes are usable; ``None`` where that is not known.
    listed: the whole entry as it is listed.
    """

    first: int
    last: int
    kind: str
    outgoing: str | None
    incoming: str | None
    color: str
    effect: str
    mix: tuple[float, ...]
    mixed: str
    usable: UsableFrames | None
    listed: Mapping[str, Any]

    @property
    def is_cut(self) -> bool:
        """Whether no frame is mixed."""
        return self.last < self.first

    @property
    def before(self) -> str:
        """What is shown before it: a scene's name or a colour."""
        return self.outgoing or self.color

    @property
    def after(self) -> str:
        """What is shown after it: a scene's name or a colour."""
        return self.incoming or self.color


@dataclass(frozen=True)
class ColorEntry:
    """A stretch of frames of a plain colour ``#rrggbb`` that belong to no scene."""

    first: int
    last: int
    color: str


def read_transitions(entries: Iterable[Mapping[str, Any]]) -> list[TransitionEntry]:
    """Return the transitions in the order in which they are listed.

    Raises KeyError, TypeError or ValueError where an entry is damaged.
    """
    return [_read_transition(entry) for entry in entries]


def read_colors(entries: Iterable[Mapping[str, Any]]) -> list[ColorEntry]:
    """Return the stretches of plain colour.

    Raises KeyError, TypeError or ValueError where an entry is damaged.
    """
    return [ColorEntry(*frames_of_entry(entry), str(entry["color"])) for entry in entries]


def frames_of_entry(entry: Mapping[str, Any]) -> tuple[int, int]:
    """Return the first and the last frame of an entry.

    Raises KeyError or TypeError where they are missing, and ValueError where no clip can have them.
    """
    first, last = int(entry["first_frame"]), int(entry["last_frame"])
    # A cut mixes no frame: its last frame is its first one minus 1.
    if not 0 <= first <= last + 1 <= MAX_FRAME:
        raise ValueError(f"frames {first} to {last} are those of no clip")
    return first, last


def _read_transition(entry: Mapping[str, Any]) -> TransitionEntry:
    first, last = frames_of_entry(entry)
    outgoing, incoming = entry["from"], entry["to"]
    # Where a side is a plain colour, the entry must name it.
    color = entry.get("color") if outgoing and incoming else entry["color"]
    return TransitionEntry(
        first=first,
        last=last,
        kind=str(entry["kind"]),
        outgoing=outgoing,
        incoming=incoming,
        color=str(color or ""),
        effect=str(entry.get("effect") or ""),
        mix=tuple(float(weight) for weight in entry.get("mix") or ()),
        mixed=str(entry.get("mixed") or ""),
        usable=_read_usable(entry.get("usable"), first, last),
        listed=entry,
    )


def _read_usable(usable: Mapping[str, Any] | None, first: int, last: int) -> UsableFrames | None:
    """Return the usable frames of a transition; first, last: its mixed frames."""
    if usable is None:
        return None
    until, begin = (None if usable[side] is None else int(usable[side]) for side in ("from", "to"))
    if not all(frame is None or first <= frame <= last for frame in (until, begin)):
        raise ValueError(f"the transition at frame {first} is usable outside its frames")
    return UsableFrames(until, begin)
