"""Separate a window in one of four ways: by networks, as mixtures, as pictures, or by motion.

:mod:`stages.transparency.layers` chooses the way. Frames are ``(T, 3, H, W)`` in [0, 1]. "Light" is
the same frames in the space in which layers add up. So are the layers of a result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stages.context import Note, SeparationContext, notes_where
from stages.mixing.layer_sum import from_space, to_space
from stages.motion.flow import shrunk
from stages.transparency.alone import separate_alone
from stages.transparency.clip import MOSAIC_PART, separate_clip
from stages.transparency.cuts import shots_of
from stages.transparency.decision import decide_on_clip, decide_on_picture
from stages.transparency.evidence import BELIEVED_UNREGISTERED, ENOUGH, sum_evidence
from stages.transparency.judgement import BELIEVED, gains_of, runs_of
from stages.transparency.mixtures import find_ends, fit_line, unmix
from stages.transparency.naming import as_before, by_focus
from stages.transparency.planes import ClipPlan, LayerPair, fit_planes
from stages.transparency.plans import plan_for
from stages.transparency.repeats import textures_of
from stages.transparency.single import separate_picture

EVEN_REFLECTION = 0.004
"""Part of the light that goes to the reflection where nothing tells what is reflected.

It is the same everywhere. It is so little that the transmission equals the input, to half a step of
8 bits: 0.4 % of light is 0.18 % of an encoded value.
"""
LEAST_REFLECTION = 0.04
"""Part of the light below which a reflection is not to be believed. Measured: 0.05 to 0.39 in
pictures and clips behind glass, 0.016 to 0.38 in those without. So a larger part proves nothing."""
HARDLY_REFLECTED = (
    "hardly any reflection was found in {frames}: "
    "{percent} of the light is in the reflection layer; "
    "keep the input, or give several pictures or a moving clip of the same view, which tell more"
)
TEXTURES = (
    "two repeating textures add up in {frames}; neither which of them is reflected nor how bright "
    "each is can be told, so the one of more contrast is the transmission"
)


@dataclass(frozen=True)
class TransparencySurvey:
    """What holds for the whole input.

    space: ``gamma`` or ``linear``. mixtures: whether the pictures are mixtures of the same two
    layers. seen, transmission: some frames and their transmission, small, ``(S, 3, h, w)``; every
    window of a clip names its layers like these.
    """

    space: str
    mixtures: bool
    seen: Tensor
    transmission: Tensor


@dataclass(frozen=True)
class SeparatedLight:
    """What one way of separating a window found.

    step: its name in the report's seconds. layers: transmission and reflection, as light.
    figures: for the report. notes: for the user. shortened: notes on a fit that a time budget ended
    early.
    """

    step: str
    layers: LayerPair
    figures: dict[str, float]
    notes: tuple[Note, ...] = ()
    shortened: tuple[Note, ...] = ()


def by_networks(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> SeparatedLight:
    """Separate a window by networks alone.

    frames: encoded values ``(T, 3, H, W)``. light: the same in the space in which layers add.
    """
    layers, figures, shortened = separate_alone(light, facts.mixtures, context)
    notes: tuple[Note, ...] = ()
    if not facts.mixtures:
        layers = scaled(layers, light, context.strength)
        notes = _reflection_notes(frames, from_space(layers[1], facts.space))
    return SeparatedLight("networks", layers, figures, notes, shortened)


def as_mixtures(light: Tensor) -> SeparatedLight:
    """Unmix K pictures ``(K, 3, H, W)`` into two layers ``(1, 3, H, W)``.

    The figures hold the weight of the transmission in each picture.
    """
    line = fit_line(light)
    one, other, weights = unmix(line, find_ends(line))
    figures = {f"weight_{number + 1}": float(weight) for number, weight in enumerate(weights)}
    return SeparatedLight("unmixing", (one[None], other[None]), figures)


def as_pictures(light: Tensor, space: str, context: SeparationContext) -> SeparatedLight:
    """Separate a static clip as one picture, or unrelated pictures one by one.

    A picture that repeats in two ways is the sum of two textures. A guess at the reflection of any
    other is as often wrong as right: on made and real reflections it changes the transmission by -2
    to +1.3 dB, and no sign in the picture was found that tells which (docs/tasks.md). So it is only
    removed on request.
    """
    decision = decide_on_picture(context)
    pairs: list[LayerPair] = []
    repeating: list[bool] = []
    for picture in _one_by_one(light) if context.unordered else [light]:
        textures = textures_of(picture)
        if textures is not None:
            pairs.append(scaled(textures, picture, context.strength))
        elif decision.times:
            pairs.append(_guessed(picture, space, decision.times))
        else:
            pairs.append(_unchanged(picture, space))
        repeating += [textures is not None] * len(picture)
    layers = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
    repeats = torch.tensor(repeating)
    figures: dict[str, float] = {}
    if any(repeating):
        figures["textures"] = float(sum(repeating))
    elif not decision.times:
        figures["untouched"] = 1.0
    notes = notes_where(TEXTURES, repeats) + decision.notes(~repeats)
    return SeparatedLight("picture", layers, figures, notes)


def by_motion(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> SeparatedLight:
    """Separate two moving layers, or return the input if they do not add up, shot by shot.

    frames, light: as in :func:`by_networks`.
    """
    shots = shots_of(frames)
    if len(shots) == 1:
        return _shot_by_motion(frames, light, facts, context)
    separated: list[SeparatedLight] = []
    notes: list[Note] = []
    for shot in shots:
        part = _part_of(context, shot, len(frames))
        found = _shot_by_motion(frames[shot], light[shot], facts, part, is_part=True)
        separated.append(found)
        notes += [note.moved(shot.start) for note in found.notes]
    transmission, reflection = (
        torch.cat([found.layers[number] for found in separated]) for number in (0, 1)
    )
    figures = max((found.figures for found in separated), key=lambda each: each["turns"])
    return SeparatedLight("motion", (transmission, reflection), figures, tuple(notes))


def _part_of(context: SeparationContext, shot: slice, count: int) -> SeparationContext:
    """Return the context of one shot of a window of ``count`` frames."""

    def progress(done: float, note: str) -> None:
        context.progress((shot.start + done * (shot.stop - shot.start)) / count, note)

    return replace(context, progress=progress)


def _shot_by_motion(
    frames: Tensor,
    light: Tensor,
    facts: TransparencySurvey,
    context: SeparationContext,
    *,
    is_part: bool = False,
) -> SeparatedLight:
    """Separate the frames of one shot, see :func:`by_motion`.

    is_part: whether the window has other shots. Then too few frames are no reason to separate it.
    """
    if is_part and len(frames) < ENOUGH:
        decision = decide_on_clip(False, ENOUGH, context)
        if decision.times is None:
            notes = decision.notes(torch.ones(len(frames)))
            figures = {"turns": 0.0, "untouched": 1.0}
            return SeparatedLight("motion", _unchanged(light, facts.space), figures, notes)
    registered = max(gains_of(runs_of(frames)), default=-1.0)
    is_sum = registered > BELIEVED
    plan = _reduced(plan_for(light, context), context)

    def progress(done: float) -> None:
        context.progress(done, "two moving layers")

    mosaic = fit_planes(
        shrunk(light, plan.pixels),
        plan,
        lambda done: progress(MOSAIC_PART * done),
        register=is_sum,
    )
    figures = {"mosaic_steps": float(plan.mosaic_steps), "registered_evidence": registered}
    if not is_sum:
        # Layers that no homography registers, such as a room with depth, may be told all the same.
        evidence = sum_evidence(shrunk(frames, plan.pixels), mosaic.homographies)
        figures["sum_evidence"] = evidence
        is_sum = evidence > BELIEVED_UNREGISTERED
    decision = decide_on_clip(is_sum, len(frames), context)
    decision_notes = decision.notes(torch.ones(len(frames)))
    if decision.times is None:
        figures |= {"turns": 0.0, "untouched": 1.0}
        return SeparatedLight("motion", _unchanged(light, facts.space), figures, decision_notes)
    layers = separate_clip(light, plan, progress, context.trace, mosaic)
    layers = as_before(frames, layers, facts.seen, facts.transmission)
    layers, focus = by_focus(layers)
    notes = _reflection_notes(frames, from_space(layers[1], facts.space))
    figures |= {"turns": float(plan.turns), "focus": focus}
    layers = scaled(layers, light, decision.times)
    return SeparatedLight("motion", layers, figures, (*notes, *decision_notes))


def _reduced(plan: ClipPlan, context: SeparationContext) -> ClipPlan:
    """Return the plan with its sizes as small as the memory asks for."""
    return replace(
        plan,
        pixels=context.working_pixels(plan.pixels),
        mosaic_pixels=context.working_pixels(plan.mosaic_pixels),
    )


def _one_by_one(pictures: Tensor) -> list[Tensor]:
    """Return each of ``(T, 3, H, W)`` as ``(1, 3, H, W)``."""
    return [pictures[index : index + 1] for index in range(len(pictures))]


def _reflection_notes(frames: Tensor, reflection: Tensor) -> tuple[Note, ...]:
    """Return a note about the frames whose ``reflection`` holds hardly any light.

    frames, reflection: ``(T, 3, H, W)``, encoded.
    """
    part = torch.stack(
        [
            to_space(layer, "linear").mean() / to_space(frame, "linear").mean().clamp_min(1e-6)
            for frame, layer in zip(frames, reflection, strict=True)
        ]
    )
    return notes_where(HARDLY_REFLECTED, part < LEAST_REFLECTION, part)


def _guessed(light: Tensor, space: str, times: float) -> LayerPair:
    """Return a picture's layers by a guess at its reflection, which is removed ``times`` times.

    light: a picture or a static clip, ``(T, 3, H, W)``.
    """
    if space == "linear":
        transmission = separate_picture(light)[0]
    else:
        # What is known about panes holds in light.
        linear = separate_picture(to_space(light, "linear"))[0]
        transmission = torch.minimum(from_space(linear, "linear"), light)
    reflection = times * (light - transmission)
    return light - reflection, reflection


def _unchanged(light: Tensor, space: str) -> LayerPair:
    """Return the input ``light`` as the transmission, and a reflection too faint for 8 bits."""
    reflection = EVEN_REFLECTION * light if space == "linear" else torch.zeros_like(light)
    return light - reflection, reflection


def scaled(layers: LayerPair, light: Tensor, times: float) -> LayerPair:
    """Return layers with ``times`` the reflection, but no more of it than ``light``.

    light: the layers' sum, of their shape ``(T, 3, H, W)``.
    """
    if times == 1:
        return layers
    reflection = torch.minimum(times * layers[1], light)
    return light - reflection, reflection
