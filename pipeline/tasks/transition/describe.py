"""Describe transitions and scenes: as entries of the manifest and of ``probe``, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

from pipeline.task import RunSummary
from stages.shots import Analysis, Transition
from stages.transition.confidence import USABLE

MIXED = "mixed"
"""The role of layers that have the frames of a transition of an unknown kind as they are."""


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


def describe_colors(analysis: Analysis) -> list[dict[str, object]]:
    """Return the manifest's entries of the frames of plain colour that belong to no shot."""
    return [
        {"color": gap.color, "first_frame": gap.first_frame, "last_frame": gap.last_frame}
        for gap in analysis.colors
    ]


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
