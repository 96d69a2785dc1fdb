"""Transitions whose scenes meet in one colour: told by the fade that is their second half.

FFmpeg's ``zoomin`` enlarges the outgoing scene up to a single pixel and then fades its colour into
the incoming scene. By themselves, the halves look like cuts and a fade out of a plain colour.
"""

from __future__ import annotations

from stages.find.features import Array, plain_color
from stages.find.placements import LEAST_SIDE, MOST_LEFT, find_placement
from stages.find.stretch import Stretch, TransitionFit

REACH = 3
"""How many times as long as its second half a whole transition is, at most."""

ON_THE_WAY = (0.05, 0.45)
"""Mean weights between which a frame shows that the outgoing scene moves."""

FEWEST_MOVED = 2
"""Such frames. Without them there is a cut to a colour that the outgoing scene happens to have."""


def around_fade(frames: Array, fade: TransitionFit) -> TransitionFit | None:
    """Return the transition through one colour whose second half is a fade, or None.

    frames: ``(T, H, W, 3)``. fade: out of a plain colour. The transition ends as the fade does.
    """
    if min(frames.shape[1:3]) < LEAST_SIDE or not plain_color(frames[fade.before]):
        return None
    half = fade.after - fade.before
    before = max(0, fade.after - 2 * half)
    if plain_color(frames[before]):
        return None  # The colour has been there for long.
    # The halves are equally long, but for a few frames at the ends that show no change. If the
    # outgoing scene moves much, only the frames of two halves are explained.
    for low in (max(0, fade.after - REACH * half), before):
        stretch = Stretch(frames, low, fade.after)
        found = find_placement(stretch, before, fade.after, MOST_LEFT, around_color=True)
        if found is not None and _moves(found):
            return found
    return None


def _moves(found: TransitionFit) -> bool:
    """Return whether the outgoing scene is seen to move on its way to the colour."""
    low, high = ON_THE_WAY
    return int(((found.mix > low) & (found.mix < high)).sum()) >= FEWEST_MOVED
