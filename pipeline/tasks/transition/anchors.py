"""Warn about transitions that have no clean frame beside them; their layers can only be guessed."""

from __future__ import annotations

from stages.shots import Analysis, Transition


def anchor_warnings(analysis: Analysis) -> list[str]:
    """Return one sentence for each transition in which a scene has no clean frame of its own."""
    return [
        text
        for transition in analysis.transitions
        if len(transition) and (text := _warning(analysis, transition))
    ]


def _warning(analysis: Analysis, transition: Transition) -> str | None:
    """Return the sentence for one transition; ``None`` where both its scenes have clean frames."""
    sides = [("before", transition.outgoing), ("after", transition.incoming)]
    # A side without a shot is a plain colour, which is known.
    missing = [
        side
        for side, shot in sides
        if shot is not None and analysis.shots[shot].last_frame < analysis.shots[shot].first_frame
    ]
    if not missing:
        return None
    guessed = "both scenes are guesses"
    if missing == ["before"]:
        guessed = "the outgoing scene is a guess"
    elif missing == ["after"]:
        guessed = "the incoming scene is a guess"
    frames = f"frames {transition.first_frame} to {transition.last_frame}"
    return (
        f"there is no clean frame {' or '.join(missing)} {frames}, so {guessed}; read more of "
        "the clip, or give a --transition that leaves clean frames outside"
    )
