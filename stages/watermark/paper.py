"""Run Double-DIP's published watermark removal (Gandelsman et al. 2019, section 7).

It is the preset ``paper``. Three networks give a clean picture for each frame, and one mark and one
matte that the frames share; ``I = m W + (1 - m) C``. Outside the box the matte is held at zero. An
exclusion loss keeps the layers from sharing edges.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from models.noise import walking_noise
from stages.context import Separation, SeparationContext
from stages.mixing.psnr import psnr_of
from stages.mixing.watermark_composite import WatermarkComposite
from stages.motion.flow import resize
from stages.optim.fit import fit
from stages.optim.losses import constant, exclusion, squared_reconstruction
from stages.optim.published import DEPTH, PublishedNetworks, published_plan, walking_noises
from stages.optim.timing import seconds_a_step

STEPS = 4000  # of the fit without a time budget
BATCH = 4  # frames a step
SHARE = 0.8  # part of this call's time budget
PIXELS = 960 * 540  # a larger picture is fitted at a smaller size
WEIGHTS = {"reconstruction": constant(1.0), "outside": constant(1.0), "exclusion": constant(0.1)}


def separate_published(frames: Tensor, box: Tensor, context: SeparationContext) -> Separation:
    """Separate ``frames`` (T, 3, H, W) by the published method.

    box: ``(H, W)``, true where the mark may be. The time budget limits the number of steps.
    """
    count, (height, width) = len(frames), (frames.shape[-2], frames.shape[-1])
    scale = min(1.0, math.sqrt(PIXELS / (height * width)))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    device, seed = context.settings.device, context.settings.seed
    target = resize(frames, size).to(device)
    inside = resize(box[None, None].float(), size).to(device)

    def note(done: float, losses: Mapping[str, float]) -> None:
        context.progress(done, "the published networks")
        context.trace.add("networks", done, losses)

    def fitted(steps: int, report: bool = False) -> PublishedNetworks:
        """Return fresh networks after ``steps``.

        Fresh ones, so that the timing run does not affect the real ones.
        """
        noises = [
            walking_noise(count, DEPTH, size, 3 * seed),
            *walking_noises(3, 1, size, seed, first=1),
        ]
        module = PublishedNetworks((3, 3, 1), noises, seed).to(device)

        def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
            clean, mark, matte = module(index)
            return {
                "reconstruction": squared_reconstruction(
                    WatermarkComposite(matte).mix(clean, mark), target[index]
                ),
                "outside": ((1 - inside) * matte).square().mean()
                + ((1 - inside) * (clean - target[index])).square().mean(),
                "exclusion": exclusion(clean, (matte * mark).expand(len(index), -1, -1, -1)),
            }

        plan = published_plan(steps, BATCH)
        fit(module, terms, WEIGHTS, plan, frames=count, seed=seed, on_step=note if report else None)
        return module

    steps = STEPS
    began = time.perf_counter()
    if (budget := context.settings.max_seconds) is not None:

        def measured() -> int:
            fitted(1)  # the first call also allocates
            return max(1, min(STEPS, int(SHARE * budget / seconds_a_step(fitted, 1, 3))))

        steps = context.checkpoints.compute_and_save("steps", measured)
    module = fitted(steps, report=True)
    clean, mark, matte = module.render(torch.arange(count), BATCH)
    full = height, width
    clean, mark, matte = (
        layer if size == full else F.interpolate(layer, size=full, mode="bilinear")
        for layer in (clean, mark, matte)
    )
    matte = matte * box
    clean = torch.where(box, clean, frames)
    error = float(WatermarkComposite(matte).residual(frames, clean, mark).square().mean())
    report = {"fit_steps": float(steps), "reconstruction_psnr": psnr_of(error)}
    return Separation(
        {"clean": clean, "watermark": mark, "matte": matte},
        frozenset({"watermark", "matte"}),
        report,
        {"fit": time.perf_counter() - began},
    )
