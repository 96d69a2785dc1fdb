"""Separate the two moving layers of a window, shot by shot, if the frames are their sum.

1. ``clip_evidence``: do two registered layers predict frames better than one layer?
2. ``mosaic_search``: both motions, and a picture of each layer.
3. ``sum_evidence``: if step 1 told nothing, do these two motions predict frames better than one?
4. ``removal``: how much of the reflection is removed, by the evidence and the user's settings.
5. ``clip``: both layers of every frame.
6. ``layer_order``: which of them is the transmission.

Frames are ``(T, 3, H, W)`` in [0, 1], encoded. Light is the same in the space in which layers add
up.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from stages.context import Note, SeparationContext
from stages.motion.flow import shrunk
from stages.transparency.clip import MOSAIC_PART, separate_clip
from stages.transparency.clip_evidence import LEAST_GAIN, registered_gain
from stages.transparency.cuts import split_at_cuts
from stages.transparency.layer_order import ordered_as_before, ordered_by_focus
from stages.transparency.layer_pair import unchanged_layers, with_scaled_reflection
from stages.transparency.mosaic_search import fit_best_mosaic
from stages.transparency.planning import plan_for
from stages.transparency.plans import ClipPlan
from stages.transparency.removal import RemovalDecision, decide_on_clip, decide_on_short_part
from stages.transparency.separated_light import (
    SeparatedLight,
    TransparencySurvey,
    faint_reflection_notes,
)
from stages.transparency.sum_evidence import (
    ENOUGH_FRAMES,
    LEAST_UNREGISTERED_GAIN,
    sum_evidence,
)


def separate_by_motion(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> SeparatedLight:
    """Separate each shot of a window into two moving layers, or leave it as it is.

    The figures are those of the shot with the most turns.
    """
    shots = split_at_cuts(frames)
    if len(shots) == 1:
        return _separate_shot(frames, light, facts, context)
    separated: list[SeparatedLight] = []
    notes: list[Note] = []
    for shot in shots:
        found = _separate_part(
            frames[shot], light[shot], facts, _context_of_shot(context, shot, len(frames))
        )
        separated.append(found)
        notes += [note.moved(shot.start) for note in found.notes]
    transmission, reflection = (
        torch.cat([found.layers[number] for found in separated]) for number in (0, 1)
    )
    figures = max((found.figures for found in separated), key=lambda each: each["turns"])
    return SeparatedLight("motion", (transmission, reflection), figures, tuple(notes))


def _context_of_shot(context: SeparationContext, shot: slice, count: int) -> SeparationContext:
    """Return the context of one shot of a window of ``count`` frames."""

    def progress(done: float, note: str) -> None:
        context.progress((shot.start + done * (shot.stop - shot.start)) / count, note)

    return replace(context, progress=progress)


def _separate_part(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> SeparatedLight:
    """Separate one of several shots; a short one only if the user insists."""
    if len(frames) < ENOUGH_FRAMES:
        decision = decide_on_short_part(context)
        if decision.times is None:
            return _left_as_it_is(light, facts.space, {}, decision)
    return _separate_shot(frames, light, facts, context)


def _separate_shot(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> SeparatedLight:
    """Separate the frames of one shot if two layers add up there, or if the user insists."""
    gain = registered_gain(frames)
    is_sum = gain > LEAST_GAIN
    plan = _reduced(plan_for(light, context), context)

    def progress(done: float) -> None:
        context.progress(done, "two moving layers")

    mosaic = fit_best_mosaic(
        shrunk(light, plan.pixels),
        plan,
        lambda done: progress(MOSAIC_PART * done),
        register=is_sum,
    )
    figures = {"mosaic_steps": float(plan.mosaic_steps), "registered_evidence": gain}
    if not is_sum:
        # Layers that no homography registers, such as a room with depth, may be told all the same.
        unregistered_gain = sum_evidence(shrunk(frames, plan.pixels), mosaic.homographies)
        figures["sum_evidence"] = unregistered_gain
        is_sum = unregistered_gain > LEAST_UNREGISTERED_GAIN
    decision = decide_on_clip(is_sum, len(frames), context)
    if decision.times is None:
        return _left_as_it_is(light, facts.space, figures, decision)
    layers = separate_clip(light, plan, progress, context.trace, mosaic)
    layers = ordered_as_before(frames, layers, facts.seen, facts.transmission)
    layers, focus = ordered_by_focus(layers)
    figures |= {"turns": float(plan.turns), "focus": focus}
    notes = faint_reflection_notes(frames, layers[1], facts.space)
    notes += decision.notes_on_all(len(frames))
    layers = with_scaled_reflection(layers, light, decision.times)
    return SeparatedLight("motion", layers, figures, notes)


def _left_as_it_is(
    light: Tensor, space: str, figures: dict[str, float], decision: RemovalDecision
) -> SeparatedLight:
    """Return the input as the transmission. figures: of the steps that led to this."""
    figures = figures | {"turns": 0.0, "untouched": 1.0}
    notes = decision.notes_on_all(len(light))
    return SeparatedLight("motion", unchanged_layers(light, space), figures, notes)


def _reduced(plan: ClipPlan, context: SeparationContext) -> ClipPlan:
    """Return the plan with its sizes as small as the memory asks for."""
    return replace(
        plan,
        pixels=context.working_pixels(plan.pixels),
        mosaic_pixels=context.working_pixels(plan.mosaic_pixels),
    )
