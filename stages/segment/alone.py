"""Separate foreground, background and matte by networks alone.

They are fitted as published or with coupled generators. There is no motion and no cut behind them:
matte and layers are the networks' own, moved only as far as is needed for them to mix to the input.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.context import Separation, SeparationContext
from stages.coupled.layers import PIXELS, coupled_steps
from stages.mixing.matte_composite import MatteComposite
from stages.mixing.psnr import psnr_of
from stages.motion.flow import resize, shrunk
from stages.network_fits import fit_progress, fit_run
from stages.optim.fit import FitPlan, FitRun, OnStep
from stages.published.fit import planned_steps, shortened_notes
from stages.published.networks import FULL_PIXELS
from stages.published.segmentation import STAGE_STEPS, fit_segmentation
from stages.segment.account import (
    OPAQUE,
    background_shares,
    guess_notes,
    hinted_side,
    matte_notes,
)
from stages.segment.fit import Segments, fit_segments
from stages.segment.networks import window_evidence

SURELY = 0.9
"""Probability of the votes from which a pixel becomes a hint where the user gave none. The same
distance from 0 makes a hint for the background."""


@dataclass(frozen=True)
class HintMasks:
    """Where the user says that a layer surely is.

    foreground, background: the hints, ``(1, 1, H, W)`` or ``(T, 1, H, W)`` in [0, 1]. Without one,
    and in frames where it marks nothing, the votes' surest pixels take its place.
    """

    foreground: Tensor | None = None
    background: Tensor | None = None

    @classmethod
    def drawn(cls, context: SeparationContext, count: int) -> HintMasks:
        """Return what the user marked in a window of ``count`` frames."""
        regions = [region for region in context.hint_regions if not region.foreground]
        if not regions:
            return cls(context.hint)
        background = torch.zeros(count, 1, *regions[0].pixels.shape)
        for region in regions:
            index = region.window_index
            frames = slice(None) if index is None else slice(index, index + 1)
            background[frames] = torch.maximum(background[frames], region.pixels.float())
        return cls(context.hint, background)

    def of(self, votes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return both hints ``(T, 1, h, w)`` at ``size`` (h, w), of zeros and ones.

        votes: the probability of foreground, ``(T, 1, h, w)`` at any size.
        """
        chance = resize(votes, size)
        foreground = (chance > SURELY).float()
        background = (chance < 1 - SURELY).float()
        if self.foreground is not None:
            foreground = self._at(self.foreground, size, foreground)
        if self.background is not None:
            background = self._at(self.background, size, background)
        # Where both hints say something, the user's word counts more than the votes'.
        if self.foreground is not None:
            return foreground, background * (1 - foreground)
        return foreground * (1 - background), background

    @staticmethod
    def _at(hint: Tensor, size: tuple[int, int], voted: Tensor) -> Tensor:
        """Return what a hint marks in each frame, ``(T, 1, *size)``, as 0 and 1.

        Where it marks nothing, it is what the votes say, ``voted``, of that shape.
        """
        drawn = (resize(hint.float(), size) > 0.5).float().expand_as(voted)
        return torch.where(drawn.amax((1, 2, 3), keepdim=True) > 0, drawn, voted)


def separate_alone(
    frames: Tensor, odds: Tensor, hints: HintMasks, context: SeparationContext
) -> Separation:
    """Return the layers of ``frames`` ``(T, 3, H, W)`` for the presets ``paper`` and ``coupled``.

    odds: the votes' log-odds of the foreground, ``(T, h, w)`` at any size.
    hints: what the user marked; only the published method has both.
    """
    began = time.monotonic()
    votes = torch.sigmoid(odds)[:, None]
    published = context.settings.is_published
    size = (frames.shape[-2], frames.shape[-1])
    if published:
        found, figures = _published(frames, votes, hints, context)
    else:
        found, figures = _coupled(frames, votes, context)
    foreground, background, matte = (
        resize(layer, size) for layer in (found.foreground, found.background, found.matte)
    )
    matte = matte.clamp(0, 1)
    error = 0.0
    for t, frame in enumerate(frames):
        model = MatteComposite(matte[t])
        background[t], foreground[t] = model.reconcile(frame, background[t], foreground[t])
        again = ((layer * 255).round() / 255 for layer in (background[t], foreground[t]))
        error += float(
            (MatteComposite((matte[t] * 255).round() / 255).mix(*again) - frame).square().mean()
        )
    hidden = matte > 1 - OPAQUE
    report = {
        "reconstruction_psnr": psnr_of(error / len(frames)),
        "matte_mean": float(matte.mean()),
        "background_unseen": float(hidden.float().mean()),
        **figures,
        **background_shares(matte, hidden),
    }
    notes = matte_notes(matte, moving=False, hinted=hinted_side(context))
    notes = (*notes, *guess_notes(matte, context))
    if published:
        whole = int(figures["whole_fit_steps"])
        notes = (*notes, *shortened_notes(int(figures["planned_steps"]), whole, len(frames)))
        del report["planned_steps"]
    layers = {"foreground": foreground, "background": background, "matte": matte}
    return Separation(
        layers, report=report, seconds={"networks": time.monotonic() - began}, notes=notes
    )


def _published(
    frames: Tensor, votes: Tensor, hints: HintMasks, context: SeparationContext
) -> tuple[Segments, dict[str, float]]:
    """Fit the published networks to a window; return its layers and figures for the report.

    frames: ``(T, 3, H, W)``; those that are no clip are fitted one by one. votes: the matte that
    the votes give, ``(T, 1, h, w)`` in [0, 1].
    """
    small = shrunk(frames, context.working_pixels(FULL_PIXELS))
    inside, outside = hints.of(votes, (small.shape[-2], small.shape[-1]))
    alone = context.unordered or len(frames) == 1
    groups = [slice(t, t + 1) for t in range(len(frames))] if alone else [slice(None)]

    def fitted(group: slice, run: FitRun) -> tuple[Segments, int]:
        found = fit_segmentation(small[group], inside[group], outside[group], run)
        return Segments(found.foreground, found.background, found.matte), found.steps

    whole = sum(STAGE_STEPS) * len(groups)
    planned = planned_steps(
        lambda steps: fitted(groups[0], fit_run(context, steps)), whole, context
    )
    parts, taken = [], 0
    for number, group in enumerate(groups):
        place = number / len(groups), (number + 1) / len(groups)
        run = fit_run(
            context, max(1, planned // len(groups)), fit_progress(context, "networks", part=place)
        )
        part, steps = fitted(group, run)
        parts.append(part)
        taken += steps
    layers = Segments(
        torch.cat([part.foreground for part in parts]),
        torch.cat([part.background for part in parts]),
        torch.cat([part.matte for part in parts]),
    )
    figures = {
        "fit_steps": float(taken),
        "planned_steps": float(planned),
        "whole_fit_steps": float(whole),
    }
    return layers, figures


def _coupled(
    frames: Tensor, votes: Tensor, context: SeparationContext
) -> tuple[Segments, dict[str, float]]:
    """Fit the default's generators without motion; return the layers and figures for the report.

    frames: ``(T, 3, H, W)``. votes: the matte that the votes give, ``(T, 1, h, w)`` in [0, 1].
    """
    small = shrunk(frames, context.working_pixels(PIXELS))
    settings = context.settings
    matte = resize(votes, (small.shape[-2], small.shape[-1]))
    known = window_evidence(small, matte, None, None)

    def fitted(steps: int, on_step: OnStep | None = None) -> Segments:
        return fit_segments(
            known,
            plan=FitPlan(steps),
            seed=settings.seed,
            device=settings.device,
            on_step=on_step,
            steady=not context.unordered,
        )

    steps = coupled_steps(fitted, context)
    return fitted(steps, fit_progress(context, "networks")), {"fit_steps": float(steps)}
