"""Divide a run's timeline into clips at its edit points.

The edit point of a transition is the middle of its mixed frames. If these were not taken apart, a
layer of its own has them, and there is an edit point at both of its ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.timeline.entries import ColorEntry, TransitionEntry
from pipeline.timeline.model import TimelineClip, TimelineMedia, TimelineTransition
from stages.kinds import TRANSITION_KINDS

Join = TimelineTransition | None
"""What joins two clips: a transition, or ``None`` for a cut."""


def edited_clips(
    scenes: Mapping[str, TimelineMedia],
    transitions: Sequence[TransitionEntry],
    colors: Iterable[ColorEntry],
) -> tuple[tuple[TimelineClip, ...], tuple[Join, ...]]:
    """Return the clips from edit point to edit point, and what joins each to the next.

    scenes: the media of each scene, and of mixed frames that were not taken apart, by name.
    transitions: in order of time.
    """
    spans = [(media.first, media.last) for media in scenes.values()]
    spans += [(gap.first, gap.last) for gap in colors]
    begin = min(first for first, _ in spans)
    end = max(last for _, last in spans)
    clips: list[TimelineClip] = []
    joins: list[Join] = []
    first = begin  # of the next clip
    last_shown = transitions[-1].after if transitions else next(iter(scenes))
    # No transition follows the last scene.
    for name, join, edit_point in [*_edits(transitions, begin), (last_shown, None, end + 1)]:
        if edit_point > first:
            clips.append(_clip_of(name, first, edit_point - 1, scenes))
            joins.append(join)
            first = edit_point
        elif joins:
            # Two edit points at the same frame leave nothing between them to show. The later
            # transition joins the clips.
            joins[-1] = join
    return tuple(clips), tuple(joins[:-1])


def _edits(transitions: Sequence[TransitionEntry], begin: int) -> Iterator[tuple[str, Join, int]]:
    """Yield each edit: what is shown before it, what joins both clips, and the edit point.

    begin: the input's first frame.
    """
    for entry in transitions:
        if entry.mixed:
            yield entry.before, None, entry.first
            yield entry.mixed, None, entry.last + 1
        else:
            yield entry.before, *_join_and_edit_point(entry, begin)


def _clip_of(name: str, first: int, last: int, scenes: Mapping[str, TimelineMedia]) -> TimelineClip:
    """Return the clip of a scene, or of a plain colour if no scene has this name."""
    media = scenes.get(name)
    return TimelineClip(name, first, last, media, "" if media else name)


def _join_and_edit_point(entry: TransitionEntry, begin: int) -> tuple[Join, int]:
    """Return what joins two clips, and the first frame of the second one.

    A cut, and a transition whose frames were not taken apart, have ``None`` as what joins.

    begin: the input's first frame. The edit point lies after it, so the first clip has a frame.
    """
    if entry.is_cut:
        return None, entry.first
    kind = TRANSITION_KINDS.get(entry.kind)
    if kind is None or not kind.separable:
        return None, _switch_frame(entry)
    edit_point = entry.first + (entry.last - entry.first + 1) // 2
    if edit_point == begin:
        edit_point += 1
    before = edit_point - entry.first
    after = entry.last + 1 - edit_point
    return TimelineTransition(entry.first, entry.last, before, after, entry), edit_point


def _switch_frame(entry: TransitionEntry) -> int:
    """Return the first frame of the incoming scene in a transition that is not taken apart."""
    if entry.outgoing is None:
        return entry.first
    if entry.incoming is None:
        return entry.last + 1
    return entry.first + sum(weight < 0.5 for weight in entry.mix)
