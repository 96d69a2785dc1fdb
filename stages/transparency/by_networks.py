"""Separate a window by networks alone: as published, or with coupled generators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.context import Note, SeparationContext
from stages.coupled import transparency as coupled
from stages.coupled.layers import PIXELS, coupled_steps
from stages.motion.flow import resize, shrunk
from stages.network_fits import fit_progress, fit_run
from stages.optim.fit import FitRun
from stages.published import transparency as published
from stages.published.fit import planned_steps, shortened_notes
from stages.published.networks import FULL_PIXELS
from stages.published.transparency import MIXTURE_STEPS, SUM_STEPS, LayersAndWeights
from stages.transparency.layer_pair import LayerPair, with_scaled_reflection
from stages.transparency.separated_light import (
    SeparatedLight,
    TransparencySurvey,
    faint_reflection_notes,
)

FitLayers = Callable[[Tensor, FitRun], LayersAndWeights]
"""Fits both layers of some frames ``(T, 3, H, W)``."""


@dataclass(frozen=True)
class _StepPlan:
    """The training steps of a window.

    steps: of each fit. whole: of all fits together, without a time budget; ``None`` for coupled
    generators. notes: for the user, where a time budget leaves fewer.
    """

    steps: int
    whole: int | None = None
    notes: tuple[Note, ...] = ()


def separate_by_networks(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> SeparatedLight:
    """Separate a window by the networks of the presets ``paper`` and ``coupled``.

    The layers of mixtures are one picture each, and the figures hold the mixtures' weights. All
    other layers add up to ``light``.

    frames: ``(T, 3, H, W)``, encoded. light: the same in the space in which layers add.
    """
    is_published = context.settings.is_published
    small = shrunk(light, context.working_pixels(FULL_PIXELS if is_published else PIXELS))
    fit = _fit_of_preset(facts.mixtures, is_published)
    # Unrelated pictures are separated one by one.
    one_by_one = context.unordered and not facts.mixtures
    groups = torch.split(small, 1) if one_by_one else (small,)
    plan = _plan_steps(fit, groups, facts.mixtures, context)
    fitted = []
    for number, group in enumerate(groups):
        part = number / len(groups), (number + 1) / len(groups)
        report = fit_progress(context, "networks", part=part)
        fitted.append(fit(group, fit_run(context, plan.steps, report)))
    size = (light.shape[-2], light.shape[-1])
    layers = (
        resize(torch.cat([each.first for each in fitted]), size),
        resize(torch.cat([each.second for each in fitted]), size),
    )
    figures = {} if plan.whole is None else {"whole_fit_steps": float(plan.whole)}
    figures["fit_steps"] = float(plan.steps * len(groups))
    if facts.mixtures:
        for number, weight in enumerate(fitted[0].weights):
            figures[f"weight_{number + 1}"] = float(weight)
        return SeparatedLight("networks", layers, figures, shortened=plan.notes)
    layers = with_scaled_reflection(_adding_up_evenly(layers, light), light, context.strength)
    notes = faint_reflection_notes(frames, layers[1], facts.space)
    return SeparatedLight("networks", layers, figures, notes, plan.notes)


def _fit_of_preset(mixtures: bool, is_published: bool) -> FitLayers:
    """Return the fit of the published networks, or of coupled generators.

    mixtures: whether it fits mixtures of the same two layers, or a sum.
    """
    if is_published:
        return published.fit_mixtures if mixtures else published.fit_sum
    return coupled.fit_mixtures if mixtures else coupled.fit_sum


def _plan_steps(
    fit: FitLayers, groups: tuple[Tensor, ...], mixtures: bool, context: SeparationContext
) -> _StepPlan:
    """Return how many steps each fit takes; a time budget is shared by all of them.

    groups: the frames of each fit, ``(n, 3, h, w)``. mixtures: whether they mix the same layers.
    """

    def fit_first(steps: int) -> LayersAndWeights:
        return fit(groups[0], fit_run(context, steps))

    if context.settings.is_published:
        whole = (MIXTURE_STEPS if mixtures else SUM_STEPS) * len(groups)
        steps = planned_steps(fit_first, whole, context)
        notes = shortened_notes(steps, whole, sum(len(group) for group in groups))
        return _StepPlan(max(1, steps // len(groups)), whole, notes)
    steps = coupled_steps(fit_first, context)
    if context.settings.max_seconds is not None:
        steps = max(1, steps // len(groups))
    return _StepPlan(steps)


def _adding_up_evenly(layers: LayerPair, light: Tensor) -> LayerPair:
    """Return layers that add up to ``light``; both get half of what the networks do not explain."""
    first, second = layers
    reflection = torch.minimum((second + (light - first - second) / 2).clamp_min(0), light)
    return light - reflection, reflection
