"""Fill what an opaque mark hides with a generator fitted to its surroundings.

Frames ``(T, 3, H, W)`` in [0, 1], maps ``(H, W)``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from models.generator import GeneratedLayer
from stages.context import SeparationContext
from stages.optim.fit import FitPlan, OnStep, fit
from stages.optim.losses import constant, reconstruction
from stages.optim.timing import seconds_a_step
from stages.push_pull import push_pull
from stages.watermark.pixel_maps import bounds_around

MARGIN = 24  # pixels around a hole, beside its own size, that the generator is fitted to
MOST_PIXELS = 40_000  # a larger part is generated at a smaller size
BATCH = 8  # frames in a step
BUDGET_PART = 0.6  # part of this call's time budget
LEAST_STEPS = 10  # steps of the fit, however short the time budget is


def fill(frames: Tensor, hole: Tensor, context: SeparationContext, steps: int) -> Tensor:
    """Return the frames with ``hole`` (H, W), boolean, filled; everything else stays.

    The generator is fitted around the hole and continues into it (deep image prior, Ulyanov et al.
    2018). Its error at the rim is extended inwards and added, so no seam shows.

    steps: of the fit, at most; fewer if the time budget asks for it.
    """
    rows, columns = bounds_around(hole, MARGIN, 1.0)
    part, part_hole = frames[..., rows, columns], hole[rows, columns]
    height, width = part.shape[-2:]
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    size = max(2, round(height * scale)), max(2, round(width * scale))
    small = F.interpolate(part, size=size, mode="area")
    # A partly hidden pixel does not count.
    seen = 1 - (F.interpolate(part_hole[None, None].float(), size=size, mode="area") > 0).float()
    if not bool(seen.any()):
        return frames
    generated = F.interpolate(
        _generated(small, seen, context, steps),
        size=(height, width),
        mode="bilinear",
        align_corners=False,
    )
    filled = (generated + push_pull(part - generated, ~part_hole[None, None])).clamp(0, 1)
    result = frames.clone()
    result[..., rows, columns] = torch.where(part_hole, filled, part)
    return result


def _generated(
    target: Tensor, known: Tensor, context: SeparationContext, most_steps: int
) -> Tensor:
    """Return what a generator draws that was fitted to the known pixels, ``(T, 3, h, w)``.

    target: ``(T, 3, h, w)`` in [0, 1]. known: ``(1, 1, h, w)``, 1 where it counts, else 0.
    most_steps: fewer are done if the time budget asks for it.
    """
    settings = context.settings
    size = (target.shape[-2], target.shape[-1])
    target, known = target.to(settings.device), known.to(settings.device)

    def note(done: float, losses: Mapping[str, float]) -> None:
        context.progress(done, "filling what is hidden")
        context.trace.add("filling", done, losses)

    def fitted(steps: int, on_step: OnStep | None = None) -> GeneratedLayer:
        """Return a fresh generator after some steps; a trial does not affect the real fit."""
        layer = GeneratedLayer(len(target), 3, size, seed=settings.seed).to(settings.device)

        def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
            return {"reconstruction": reconstruction(layer(index), target[index], known)}

        weights, plan = {"reconstruction": constant(1)}, FitPlan(steps, BATCH)
        fit(
            layer,
            terms,
            weights,
            plan,
            frames=len(target),
            seed=settings.seed,
            on_step=on_step,
        )
        return layer

    def affordable_steps() -> int:
        fitted(1)  # the first call also allocates
        seconds = BUDGET_PART * (settings.max_seconds or 0.0)
        return max(LEAST_STEPS, min(most_steps, int(seconds / seconds_a_step(fitted, 1, 4))))

    steps = most_steps
    if settings.max_seconds is not None:
        steps = context.checkpoints.compute_and_save("fill", affordable_steps)
    return fitted(steps, note).render().cpu()
