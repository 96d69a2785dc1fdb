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
from stages.optim.fit import FitRun, OnStep
from stages.published.fit import planned_steps, shortened_notes
from stages.published.networks import FULL_PIXELS
from stages.published.segmentation import STAGE_STEPS, fit_segmentation
from stages.segment.generator_fit import Segments, fit_segments
from stages.segment.networks import evidence_of_votes
from stages.segment.notes import (
    OPAQUE,
    background_shares,
    guess_notes,
    hinted_side,
    matte_notes,
)

LEAST_CHANCE = 0.9
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

    def joined_with(self, votes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return both hints ``(T, 1, h, w)`` at ``size`` (h, w), of zeros and ones.

        votes: the probability of foreground, ``(T, 1, h, w)`` at any size.
        """
        chance = resize(votes, size)
        foreground = (chance > LEAST_CHANCE).float()
        background = (chance < 1 - LEAST_CHANCE).float()
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


@dataclass(frozen=True)
class _FittedWindow:
    """The layers of networks for a window, at their own size.

    steps: the training steps that were taken. planned, whole: of the published method, the steps
    that were planned, and those without a time budget; ``None`` for coupled generators.
    """

    layers: Segments
    steps: int
    planned: int | None = None
    whole: int | None = None


def separate_by_networks(frames: Tensor, odds: Tensor, context: SeparationContext) -> Separation:
    """Return the layers of ``frames`` ``(T, 3, H, W)`` for the presets ``paper`` and ``coupled``.

    odds: the votes' log-odds of the foreground, ``(T, h, w)`` at any size.
    """
    began = time.monotonic()
    fit = _fit_published if context.settings.is_published else _fit_coupled
    fitted = fit(frames, odds, context)
    layers = _mixing_to(frames, fitted.layers)
    matte = layers["matte"]
    hidden = matte > 1 - OPAQUE
    report = {
        "reconstruction_psnr": _reconstruction_psnr(frames, layers),
        "matte_mean": float(matte.mean()),
        "background_unseen": float(hidden.float().mean()),
        "fit_steps": float(fitted.steps),
    }
    if fitted.whole is not None:
        report["whole_fit_steps"] = float(fitted.whole)
    report |= background_shares(matte, hidden)
    notes = matte_notes(matte, moving=False, hinted=hinted_side(context))
    notes += guess_notes(matte, context)
    if fitted.planned is not None and fitted.whole is not None:
        notes += shortened_notes(fitted.planned, fitted.whole, len(frames))
    seconds = {"networks": time.monotonic() - began}
    return Separation(layers, report=report, seconds=seconds, notes=notes)


def _mixing_to(frames: Tensor, found: Segments) -> dict[str, Tensor]:
    """Return the layers at the size of ``frames`` ``(T, 3, H, W)``, to which they mix."""
    size = (frames.shape[-2], frames.shape[-1])
    foreground, background = resize(found.foreground, size), resize(found.background, size)
    matte = resize(found.matte, size).clamp(0, 1)
    for t, frame in enumerate(frames):
        model = MatteComposite(matte[t])
        background[t], foreground[t] = model.reconcile(frame, background[t], foreground[t])
    return {"foreground": foreground, "background": background, "matte": matte}


def _reconstruction_psnr(frames: Tensor, layers: dict[str, Tensor]) -> float:
    """Return the PSNR in dB of the layers mixed back, each rounded to 8 bits as in the files."""
    error = 0.0
    for t, frame in enumerate(frames):
        foreground, background, matte = (
            (layers[name][t] * 255).round() / 255 for name in ("foreground", "background", "matte")
        )
        error += float((MatteComposite(matte).mix(background, foreground) - frame).square().mean())
    return psnr_of(error / len(frames))


def _fit_published(frames: Tensor, odds: Tensor, context: SeparationContext) -> _FittedWindow:
    """Fit the published networks to a window; frames that are no clip are fitted one by one.

    frames: ``(T, 3, H, W)``. odds: the votes' log-odds, ``(T, h, w)``, which serve as hints where
    the user gave none.
    """
    small = shrunk(frames, context.working_pixels(FULL_PIXELS))
    size = (small.shape[-2], small.shape[-1])
    hints = HintMasks.drawn(context, len(frames))
    inside, outside = hints.joined_with(torch.sigmoid(odds)[:, None], size)
    are_pictures = context.unordered or len(frames) == 1
    groups = [slice(t, t + 1) for t in range(len(frames))] if are_pictures else [slice(None)]

    def fitted(group: slice, run: FitRun) -> tuple[Segments, int]:
        found = fit_segmentation(small[group], inside[group], outside[group], run)
        return Segments(found.foreground, found.background, found.matte), found.steps

    whole = sum(STAGE_STEPS) * len(groups)
    planned = planned_steps(
        lambda steps: fitted(groups[0], fit_run(context, steps)), whole, context
    )
    parts, taken = [], 0
    for number, group in enumerate(groups):
        part = number / len(groups), (number + 1) / len(groups)
        progress = fit_progress(context, "networks", part=part)
        layers, steps = fitted(group, fit_run(context, max(1, planned // len(groups)), progress))
        parts.append(layers)
        taken += steps
    joined = Segments(
        torch.cat([part.foreground for part in parts]),
        torch.cat([part.background for part in parts]),
        torch.cat([part.matte for part in parts]),
    )
    return _FittedWindow(joined, taken, planned, whole)


def _fit_coupled(frames: Tensor, odds: Tensor, context: SeparationContext) -> _FittedWindow:
    """Fit the default's generators to a window without motion.

    frames: ``(T, 3, H, W)``. odds: the votes' log-odds, ``(T, h, w)``.
    """
    known = evidence_of_votes(shrunk(frames, context.working_pixels(PIXELS)), odds)

    def fitted(steps: int, on_step: OnStep | None = None) -> Segments:
        run = fit_run(context, steps, on_step)
        return fit_segments(known, run, compare_in_place=not context.unordered)

    steps = coupled_steps(fitted, context)
    return _FittedWindow(fitted(steps, fit_progress(context, "networks")), steps)
