"""Transitions that no clean frame stands beside: said before the work begins, as nothing but a guess can come of them."""

from __future__ import annotations

from stages.shots import Analysis, Transition


def anchor_warnings(analysis: Analysis) -> list[str]:
    """Return a sentence for each transition in which a scene has no frame of its own next to it, so that it is never seen alone."""
    return [
        text for move in analysis.transitions if len(move) and (text := _missing(analysis, move))
    ]


def _missing(analysis: Analysis, move: Transition) -> str | None:
    """The sentence for one transition; ``None`` where every scene in it has a clean frame."""
    sides = [("before", move.outgoing), ("after", move.incoming)]
    # A side without a shot is a plain colour, which is known.
    lost = [
        side
        for side, shot in sides
        if shot is not None and analysis.shots[shot].last_frame < analysis.shots[shot].first_frame
    ]
    if not lost:
        return None
    what = (
        {"before": "the outgoing scene is", "after": "the incoming scene is"}[lost[0]]
        if len(lost) == 1
        else "both scenes are"
    )
    return (
        f"no clean frame stands {' or '.join(lost)} frames {move.first_frame} to {move.last_frame}, so {what} a guess; "
        "read more of the clip, or give a --transition that leaves clean frames outside"
    )
