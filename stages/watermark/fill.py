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
from stages.optim.fit import FitPlan, fit
from stages.optim.losses import constant, reconstruction
from stages.optim.timing import seconds_a_step

SIDE = 24  # pixels around a hole, beside its own size, that the generator is fitted to
PIXELS = 40_000  # a larger part is generated at a smaller size
BATCH = 8  # frames in a step
SHARE = 0.6  # part of this call's time budget
LEAST_STEPS = 10  # steps of the fit, however short the time budget is


def fill(frames: Tensor, hole: Tensor, context: SeparationContext, steps: int) -> Tensor:
    """Return the frames with ``hole`` (H, W), boolean, filled; everything else stays.

    The generator is fitted around the hole and continues into it (deep image prior, Ulyanov et al.
    2018). Its error at the rim is extended inwards and added, so no seam shows.

    steps: of the fit, at most; fewer if the time budget asks for it.
    """
    rows, columns = (_span(hole.any(axis)) for axis in (1, 0))
    part, inside = frames[..., rows, columns], hole[rows, columns]
    height, width = part.shape[-2:]
    scale = min(1.0, (PIXELS / (height * width)) ** 0.5)
    size = max(2, round(height * scale)), max(2, round(width * scale))
    small = F.interpolate(part, size=size, mode="area")
    # A partly hidden pixel does not count.
    seen = 1 - (F.interpolate(inside[None, None].float(), size=size, mode="area") > 0).float()
    if not bool(seen.any()):
        return frames
    device = context.settings.device
    seed = context.settings.seed
    target, trust = small.to(device), seen.to(device)

    def note(done: float, losses: Mapping[str, float]) -> None:
        context.progress(done, "filling what is hidden")
        context.trace.add("filling", done, losses)

    def fitted(count: int, report: bool = False) -> GeneratedLayer:
        """Return a fresh generator after ``count`` steps.

        A fresh one, so that the timing run does not affect the real one.
        """
        layer = GeneratedLayer(len(frames), 3, size, seed=seed).to(device)

        def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
            return {"reconstruction": reconstruction(layer(index), target[index], trust)}

        step = note if report else None
        fit(
            layer,
            terms,
            {"reconstruction": constant(1)},
            FitPlan(count, BATCH),
            frames=len(frames),
            seed=seed,
            on_step=step,
        )
        return layer

    if (budget := context.settings.max_seconds) is not None:
        most = steps

        def measured() -> int:
            fitted(1)  # the first call also allocates
            return max(LEAST_STEPS, min(most, int(SHARE * budget / seconds_a_step(fitted, 1, 4))))

        steps = context.checkpoints.compute_and_save("fill", measured)
    layer = fitted(steps, report=True)
    generated = F.interpolate(
        layer.render().cpu(), size=(height, width), mode="bilinear", align_corners=False
    )
    shown = (~inside).float()[None, None]
    error = pull_push((part - generated) * shown, shown.expand(len(part), 1, -1, -1))
    filled = (generated + error).clamp(0, 1)
    result = frames.clone()
    result[..., rows, columns] = torch.where(inside, filled, part)
    return result


def pull_push(values: Tensor, known: Tensor) -> Tensor:
    """Return ``values`` extended smoothly to unknown pixels, by pull and push over a pyramid.

    values: ``(T, C, H, W)``, 0 where unknown. known: ``(T, 1, H, W)``, 1 where known, else 0.
    """
    if min(values.shape[-2:]) <= 1:
        return (
            values.sum((-2, -1), keepdim=True)
            / known.sum((-2, -1), keepdim=True).clamp_min(1e-6)
            * torch.ones_like(values)
        )
    pooled = F.avg_pool2d(values, 2, ceil_mode=True), F.avg_pool2d(known, 2, ceil_mode=True)
    part = pooled[1].clamp_min(1e-6)
    coarse = pull_push(pooled[0] / part * (pooled[1] > 0), (pooled[1] > 0).float())
    rest = F.interpolate(coarse, size=values.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(known > 0, values, rest)


def _span(line: Tensor) -> slice:
    """Return the pixels to fit along one side: the hole's span ``line`` and its surroundings."""
    marked = line.nonzero()
    first, last = int(marked.min()), int(marked.max()) + 1
    more = SIDE + (last - first)
    return slice(max(0, first - more), min(len(line), last + more))
