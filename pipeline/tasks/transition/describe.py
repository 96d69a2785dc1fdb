"""Describe what the search found: as entries of the manifest and of ``probe``, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, takewhile

from pipeline.task import RunSummary
from stages.shots import Analysis, Transition
from stages.transition.confidence import USABLE
from stages.transition.plan import PLANS, Plan

MIXED = "mixed"
"""The role of layers that have the frames of a transition of an unknown kind as they are."""

MOST_CROWDED = 2
"""Frames of a scene between two transitions up to which these may overlap: the search looks for a
clean frame between them, and finds the one that is nearest to it."""

MAX_NAMED_GAPS = 6
"""Stretches of plain colour that a warning names; the manifest lists all of them."""


def scene_name(shot: int) -> str:
    """Return the name of the layer of a shot, counted from 0: ``scene-001`` for shot 0."""
    return f"scene-{shot + 1:03d}"


def numbered(name: str, number: int, count: int) -> str:
    """Return the name of what belongs to transition ``number``, from 0, of ``count`` ones.

    ``matte`` stays ``matte`` for the only transition, and is ``matte-002`` for the second of some.
    """
    return name if count == 1 else f"{name}-{number + 1:03d}"


def describe_transition(
    transition: Transition,
    *,
    mix: Sequence[float] | None = None,
    space: str | None = None,
    matte: str | None = None,
    mixed: str | None = None,
    expected_psnr: Sequence[Sequence[float]] = (),
) -> dict[str, object]:
    """Return the manifest's entry of a transition.

    mix, space: what the fit found, where it replaces what the search found. matte: the name of
    the matte's layer, where there is one. mixed: the name of the layer that has the mixed frames as
    they are, where the scenes are only held. expected_psnr: the PSNR in dB that the outgoing and
    the incoming scene are expected to have in each mixed frame; empty where that is not known.
    """
    shots = (transition.outgoing, transition.incoming)
    sides = [None if shot is None else scene_name(shot) for shot in shots]
    weights = transition.mix if mix is None else mix
    entry: dict[str, object] = {
        "from": sides[0],
        "to": sides[1],
        "first_frame": transition.first_frame,
        "last_frame": transition.last_frame,
        "kind": transition.kind,
        "mix": [round(float(weight), 6) for weight in weights],
        "space": space or transition.space,
        "matte": matte,
    }
    event = None if transition.event is None else list(transition.event)
    more = {
        "mixed": mixed,
        "color": transition.color,
        "effect": transition.effect,
        "event": event,
    }
    return {
        **entry,
        **{name: value for name, value in more.items() if value is not None},
        **_expected_quality(transition.first_frame, expected_psnr),
    }


def _expected_quality(first: int, psnr: Sequence[Sequence[float]]) -> dict[str, object]:
    """Return what a transition's entry says about how good its scenes are expected to be.

    ``confidence`` has a PSNR in dB for each mixed frame. ``usable`` has the last frame of the
    outgoing scene, and the first one of the incoming scene, with at least :data:`USABLE` dB, or
    ``None`` where no mixed frame has so much.

    first: the first mixed frame. psnr: of both scenes, as in :func:`describe_transition`.
    """
    if not psnr:
        return {}
    before, after = ([round(value, 2) for value in side] for side in psnr)
    good_before = list(takewhile(lambda value: value >= USABLE, before))
    good_after = list(takewhile(lambda value: value >= USABLE, reversed(after)))
    return {
        "confidence": {"from": before, "to": after},
        "usable": {
            "from": first + len(good_before) - 1 if good_before else None,
            "to": first + len(after) - len(good_after) if good_after else None,
        },
    }


def describe_shots(analysis: Analysis) -> list[dict[str, object]]:
    """Return the frames that each shot is alone in, as ``probe --json`` lists them."""
    return [
        {"first_frame": shot.first_frame, "last_frame": shot.last_frame} for shot in analysis.shots
    ]


def describe_colors(analysis: Analysis) -> list[dict[str, object]]:
    """Return the manifest's entries of the frames of plain colour that belong to no shot."""
    return [
        {"color": gap.color, "first_frame": gap.first_frame, "last_frame": gap.last_frame}
        for gap in analysis.colors
    ]


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


def _is_empty(analysis: Analysis, shot: int) -> bool:
    """Return whether a shot has no frame of its own."""
    return analysis.shots[shot].last_frame < analysis.shots[shot].first_frame


def account(explained: object, entries: Sequence[Mapping[str, object]] = ()) -> dict[str, str]:
    """Return the report's sentences about what the scenes are based on and how good they may be.

    explained: the part of the mixed pictures that motion explains, 0 to 1; without a number there
    is no sentence. entries: of the separated transitions, as in the manifest.
    """
    if not isinstance(explained, float):
        return {}
    sentences = [
        f"What the clean frames show explains {100 * explained:.0f} % of the mixed pictures; "
        "the rest is inferred and may belong to the other scene."
    ]
    if len(entries) == 1 and "usable" in entries[0]:
        sentences.append(_usable_sentence(entries[0]))
    return {"account": " ".join(sentences)}


def _usable_sentence(entry: Mapping[str, object]) -> str:
    """Return the sentence about the frames in which both scenes are expected to be usable."""
    usable = entry["usable"]
    assert isinstance(usable, Mapping)
    parts = []
    for side, word in (("from", "up to"), ("to", "from")):
        frame = usable[side]
        place = f"{word} frame {frame}" if frame is not None else "in none of the mixed frames"
        parts.append(f"{entry[side]} {place}")
    return f"At least {USABLE:.0f} dB are expected of {parts[0]}, and of {parts[1]}."


def headline(summary: RunSummary) -> list[tuple[str, str]]:
    """Return how many transitions were separated, for the top of the report."""
    count = summary.separated_transitions
    return [(str(count), "transition separated" if count == 1 else "transitions separated")]


def describe_analysis(analysis: Analysis) -> Mapping[str, object]:
    """Return all that was found, as ``probe --json`` shows it."""
    return {
        "frames": analysis.frames,
        "shots": describe_shots(analysis),
        "transitions": [describe_transition(transition) for transition in analysis.transitions],
        "colors": describe_colors(analysis),
        "warnings": unseparated_warnings(analysis),
    }
