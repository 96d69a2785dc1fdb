"""Take off a mark by networks alone: as published, or with coupled generators.

Frames ``(T, 3, H, W)`` in [0, 1]; the mark is ``(1, 3, H, W)`` and its matte ``(1, 1, H, W)``.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from stages.context import Separation, SeparationContext
from stages.coupled import watermark as coupled
from stages.coupled.layers import PIXELS, coupled_steps
from stages.mixing.psnr import psnr_of
from stages.mixing.watermark_composite import MOST_OPAQUE, WatermarkComposite
from stages.motion.flow import resize, shrunk
from stages.network_fits import fit_progress, fit_run
from stages.optim.fit import FitRun
from stages.published.fit import planned_steps, shortened_notes
from stages.published.networks import FULL_PIXELS
from stages.published.watermark import PublishedMark, fit_watermark, whole_fit

MIXING_ROUNDS = 4
"""Rounds in which mark and clean frames are made to mix to the input, and clamped."""
LEAST_MATTE = 0.02
"""Matte of a coupled fit below which nothing is marked."""


def separate_published(frames: Tensor, box: Tensor, context: SeparationContext) -> Separation:
    """Separate ``frames`` (T, 3, H, W) by the published method.

    box: ``(H, W)``, true where the mark may be. The time budget limits the number of steps.
    """
    small = shrunk(frames, context.working_pixels(FULL_PIXELS))
    size = (small.shape[-2], small.shape[-1])
    inside = resize(box[None, None].float(), size)

    def fit(run: FitRun) -> PublishedMark:
        return fit_watermark(small, inside, run, separate=context.unordered and len(frames) > 1)

    began = time.monotonic()
    whole = whole_fit(len(frames))
    steps = planned_steps(lambda count: fit(fit_run(context, count)), whole, context)
    found = fit(fit_run(context, steps, fit_progress(context, "the published networks")))
    seconds = {"fit": time.monotonic() - began}
    made = _separation(frames, box, found.clean, found.mark, found.matte)
    return replace(
        made,
        report={"fit_steps": float(steps), "whole_fit_steps": float(whole), **made.report},
        seconds=seconds,
        notes=shortened_notes(steps, whole, len(frames)),
    )


def separate_coupled(frames: Tensor, box: Tensor, context: SeparationContext) -> Separation:
    """Separate ``frames`` (T, 3, H, W) with coupled generators.

    box: ``(H, W)``, true where the mark may be.
    """
    small = shrunk(frames, context.working_pixels(PIXELS))
    size = (small.shape[-2], small.shape[-1])
    fit = partial(coupled.fit_watermark, small, resize(box[None, None].float(), size))
    began = time.monotonic()
    steps = coupled_steps(lambda count: fit(fit_run(context, count)), context)
    clean, mark, matte = fit(fit_run(context, steps, fit_progress(context, "networks")))
    matte = torch.where(matte > LEAST_MATTE, matte, torch.zeros(()))
    seconds = {"fit": time.monotonic() - began}
    made = _separation(frames, box, clean, mark, matte)
    return replace(made, report={"fit_steps": float(steps), **made.report}, seconds=seconds)


def mix_back(frames: Tensor, clean: Tensor, mark: Tensor, matte: Tensor) -> tuple[Tensor, Tensor]:
    """Return clean frames and a mark, near to the given ones, that mix to ``frames``.

    The mark takes what all frames leave unexplained in common, and the clean frames the rest, as
    far as something of them shows through.
    """
    model = WatermarkComposite(matte)
    is_translucent = (matte > 0) & (matte < MOST_OPAQUE)
    for _ in range(MIXING_ROUNDS):
        residual = model.residual(frames, clean, mark).mean(0, keepdim=True)
        corrected = mark + residual / matte.clamp_min(LEAST_MATTE)
        mark = torch.where(matte > 0, corrected, mark).clamp(0, 1)
        moved = model.reconcile(frames, clean, mark)[0]
        clean = torch.where(is_translucent, moved, clean)
    return clean, mark


def _separation(
    frames: Tensor, box: Tensor, clean: Tensor, mark: Tensor, matte: Tensor
) -> Separation:
    """Return the layers at full size, made to mix to the input; outside the box nothing changes.

    clean, mark, matte: at the size of the fit.
    """
    size = (frames.shape[-2], frames.shape[-1])
    clean, mark, matte = (resize(layer, size).clamp(0, 1) for layer in (clean, mark, matte))
    matte = matte * box
    clean = torch.where(matte > 0, clean, frames)
    clean, mark = mix_back(frames, clean, mark, matte)
    error = float(WatermarkComposite(matte).residual(frames, clean, mark).square().mean())
    return Separation(
        {"clean": clean, "watermark": mark, "matte": matte},
        frozenset({"watermark", "matte"}),
        {"reconstruction_psnr": psnr_of(error)},
    )
