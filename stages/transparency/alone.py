"""Separate two layers of light by networks alone: as published, or with coupled generators."""

from __future__ import annotations

from collections.abc import Callable

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

Found = tuple[tuple[Tensor, Tensor], dict[str, float], tuple[Note, ...]]
"""Two layers, figures for the report, and notes."""

FitLayers = Callable[[Tensor, FitRun], LayersAndWeights]
"""Fits both layers of some frames."""


def separate_alone(light: Tensor, mixtures: bool, context: SeparationContext) -> Found:
    """Return the layers of ``light`` ``(T, 3, H, W)`` for the presets ``paper`` and ``coupled``.

    mixtures: whether all frames mix the same two layers; then the layers are ``(1, 3, H, W)``, and
    the figures hold the weights. Other layers add up to ``light``.
    """
    is_published = context.settings.is_published
    most = FULL_PIXELS if is_published else PIXELS
    small = shrunk(light, context.working_pixels(most))
    fit = _fit_of_preset(mixtures, is_published)
    # Unrelated pictures are separated one by one.
    groups = [small]
    if context.unordered and not mixtures:
        groups = list(torch.split(small, 1))
    notes: tuple[Note, ...] = ()
    figures: dict[str, float] = {}
    if is_published:
        whole = (MIXTURE_STEPS if mixtures else SUM_STEPS) * len(groups)
        steps = planned_steps(lambda count: fit(groups[0], fit_run(context, count)), whole, context)
        notes = shortened_notes(steps, whole, len(light))
        figures["whole_fit_steps"] = float(whole)
        each = max(1, steps // len(groups))
    else:
        steps = coupled_steps(lambda count: fit(groups[0], fit_run(context, count)), context)
        each = steps if context.settings.max_seconds is None else max(1, steps // len(groups))
    figures["fit_steps"] = float(each * len(groups))
    pairs = []
    for number, group in enumerate(groups):
        part = number / len(groups), (number + 1) / len(groups)
        note = fit_progress(context, "networks", part=part)
        pairs.append(fit(group, fit_run(context, each, note)))
    size = (light.shape[-2], light.shape[-1])
    one, other = (
        resize(torch.cat([getattr(pair, name) for pair in pairs]), size)
        for name in ("first", "second")
    )
    if mixtures:
        for number, weight in enumerate(pairs[0].weights):
            figures[f"weight_{number + 1}"] = float(weight)
        return (one, other), figures, notes
    # What the networks leave unexplained goes to both layers alike.
    reflection = torch.minimum((other + (light - one - other) / 2).clamp_min(0), light)
    return (light - reflection, reflection), figures, notes


def _fit_of_preset(mixtures: bool, is_published: bool) -> FitLayers:
    """Return the fit of the published networks, or of coupled generators.

    mixtures: whether it fits mixtures of the same two layers, or a sum.
    """
    if is_published:
        return published.fit_mixtures if mixtures else published.fit_sum
    return coupled.fit_mixtures if mixtures else coupled.fit_sum
