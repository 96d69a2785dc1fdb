"""Warn of what was found, or not found, and of scenes that may be worse than usual."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pipeline.tasks.transition.describe import MIXED, numbered, scene_name
from stages.shots import Analysis, Transition
from stages.transition.plan import PLANS, Plan

MOST_CROWDED = 2
"""Frames of a scene between two transitions up to which these may overlap: the search looks for a
clean frame between them, and finds the one that is nearest to it."""

MAX_NAMED_GAPS = 6
"""Stretches of plain colour that a warning names; the manifest lists all of them."""


def search_warnings(analysis: Analysis, *, listed: bool = False) -> list[str]:
    """Return what the user should know about what was found, or not found.

    listed: whether the shots and transitions come from the user's shot list.
    """
    warnings = unseparated_warnings(analysis, listed=listed)
    if not analysis.transitions:
        nothing = (
            "no transition was found; the clip is written as it is. "
            "--transition FIRST:LAST says where one is"
        )
        if listed:
            nothing = "the shot list has no transition, so the clip is written as it is"
        return [nothing, *warnings]
    if not any(map(len, analysis.transitions)):
        cuts = "only hard cuts were found and no mixed frame, so the shots are written as they are"
        if listed:
            cuts = "the shot list has only hard cuts, so the shots are written as they are"
        return [cuts, *warnings]
    return warnings


def unseparated_warnings(analysis: Analysis, *, listed: bool = False) -> list[str]:
    """Return warnings, one line each, of frames that are in no scene, or may not be taken apart.

    listed: whether the shots and transitions come from the user's shot list.
    """
    extending = [each for each in analysis.transitions if each.extends_shots]
    warnings = [
        _unknown_change(
            analysis, transition, numbered(MIXED, number, len(extending)), listed=listed
        )
        for number, transition in enumerate(extending)
        if transition.is_held
    ]
    warnings += [
        _doubtful_model(transition)
        for transition in analysis.transitions
        if transition.doubtful and transition.separable
    ]
    if analysis.colors:
        gaps = [f"{gap.first_frame} to {gap.last_frame} ({gap.color})" for gap in analysis.colors]
        named = ", ".join(gaps[:MAX_NAMED_GAPS])
        more = f" and {len(gaps) - MAX_NAMED_GAPS} more" if len(gaps) > MAX_NAMED_GAPS else ""
        warnings.append(f"frames of a plain colour are in no scene: {named}{more}")
    return warnings


def _unknown_change(analysis: Analysis, transition: Transition, layer: str, *, listed: bool) -> str:
    """Return the warning about a change of an unknown kind.

    layer: the name of the one that has its frames. listed: as of :func:`unseparated_warnings`.
    """
    first, last = transition.first_frame, transition.last_frame
    frames, they = f"frames {first} to {last}", "They are"
    if first == last:
        frames, they = f"frame {first}", "It is"
    sides = (transition.outgoing, "last", first), (transition.incoming, "first", last)
    held = " and ".join(
        f"{scene_name(shot)} repeats frame {own}, because it has no clean one"
        if _is_empty(analysis, shot)
        else f"{scene_name(shot)} holds its {which} clean frame"
        for shot, which, own in sides
        if shot is not None
    )
    where = f"{held} there, and the layer {layer} has the frames as they are"
    if listed:
        return (
            f"{frames}: the shot list has a transition of the kind {transition.kind} there, which "
            f"is not taken apart: {where}"
        )
    return (
        f"{frames}: the picture changes for good in a way that is not known. {they} not taken "
        f"apart: {where}. --transition {first}:{last} takes them apart as a mixture"
    )


def _doubtful_model(transition: Transition) -> str:
    """Return the warning about a transition that the model of its kind explains badly."""
    return (
        f"frames {transition.first_frame} to {transition.last_frame} are not well explained by a "
        f"transition of the kind {transition.kind}, so the scenes may hold parts of the effect "
        "there. A shot list (--shots) with the kind other keeps these frames as they are"
    )


def lost_detail_warning(transition: Transition, effect: str) -> str:
    """Return the warning about a transition whose filter takes detail from both scenes.

    effect: the filter's name.
    """
    return (
        f"frames {transition.first_frame} to {transition.last_frame}: the transition blurs both "
        f"scenes ({effect}), so their detail there is that of the nearest clean frames"
    )


def shortened_warning(plans: Sequence[Plan]) -> str | None:
    """Return a warning where a time budget left fewer steps than the published fit has."""
    steps = [plan.paper_steps for plan in plans if plan.paper_steps]
    if not steps or min(steps) >= PLANS["paper"].paper_steps:
        return None
    return (
        f"--max-seconds shortened the published fit to {min(steps)} of "
        f"{PLANS['paper'].paper_steps} steps, so the layers are not what the whole fit gives"
    )


def anchor_warnings(analysis: Analysis, *, is_given: bool = False) -> list[str]:
    """Return warnings about scenes that are never seen alone, or hardly ever.

    is_given: whether the user named transitions, and so the clean frames beside them.

    The separation can only guess a scene without a clean frame next to its transition. Scenes that
    are only held have a warning of their own.
    """
    mixing = [transition for transition in analysis.transitions if transition.separable]
    warnings = [_missing_anchor(analysis, transition) for transition in mixing]
    return [
        *(text for text in warnings if text is not None),
        *_crowded_warnings(analysis),
        *([] if is_given else _cut_off_warnings(analysis)),
    ]


def _missing_anchor(analysis: Analysis, transition: Transition) -> str | None:
    """Return the warning for one transition, or ``None`` where every scene has a clean frame."""
    shots = {"before": transition.outgoing, "after": transition.incoming}
    # A side without a shot is a plain colour, which is known.
    missing = [
        side for side, shot in shots.items() if shot is not None and _is_empty(analysis, shot)
    ]
    if not missing:
        return None
    if len(missing) == 2:
        guessed = "both scenes are guesses"
    elif missing == ["before"]:
        guessed = "the outgoing scene is a guess"
    else:
        guessed = "the incoming scene is a guess"
    return (
        f"there is no clean frame {' or '.join(missing)} frames {transition.first_frame} to "
        f"{transition.last_frame}, so {guessed}; use a longer part of the clip, "
        "or give a --transition that leaves clean frames outside"
    )


def _crowded_warnings(analysis: Analysis) -> list[str]:
    """Return a warning for each scene that hardly is alone between two transitions.

    Where these overlap, three scenes are mixed at once, which two layers cannot explain.
    """
    mixed = [transition for transition in analysis.transitions if len(transition)]
    warnings: list[str] = []
    for one, other in pairwise(mixed):
        if not (one.separable and other.separable):
            continue
        alone = other.first_frame - one.last_frame - 1
        if one.incoming is None or one.incoming != other.outgoing:
            continue
        # Without any clean frame, the scene is a guess anyway: see _missing_anchor.
        if not 1 <= alone <= MOST_CROWDED:
            continue
        warnings.append(
            f"{scene_name(one.incoming)} has {_frames(alone)} for itself between the transitions "
            f"in frames {one.first_frame} to {one.last_frame} and {other.first_frame} to "
            f"{other.last_frame}; "
            "where they overlap, three scenes are mixed, and its layer and those beside it may "
            "hold remains of the third"
        )
    return warnings


def _cut_off_warnings(analysis: Analysis) -> list[str]:
    """Return a warning for each scene that has hardly a frame between a transition and a cut.

    The clip may begin or end there, too. Then the transition may have been cut off, so that its
    clean frame is a mixture.
    """
    mixed = [transition for transition in analysis.transitions if len(transition)]
    sides = [(one, one.outgoing, "before") for one in mixed]
    sides += [(one, one.incoming, "after") for one in mixed]
    warnings = []
    for transition, number, side in sides:
        if number is None or not transition.separable:
            continue
        shot = analysis.shots[number]
        alone = shot.last_frame - shot.first_frame + 1
        beside = [one for one in mixed if number in (one.outgoing, one.incoming)]
        if len(beside) > 1 or not 1 <= alone <= MOST_CROWDED:
            continue
        warnings.append(
            f"{scene_name(number)} has {_frames(alone)} for itself {side} the transition in frames "
            f"{transition.first_frame} to {transition.last_frame}; if the transition was cut off "
            "there, what is taken for a clean frame is mixed, too, and the scene keeps remains of "
            "the other one"
        )
    return warnings


def _frames(count: int) -> str:
    return "one frame" if count == 1 else f"{count} frames"


def _is_empty(analysis: Analysis, shot: int) -> bool:
    """Return whether a shot has no frame of its own."""
    return analysis.shots[shot].last_frame < analysis.shots[shot].first_frame
