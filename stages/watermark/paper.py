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
from torch import Tensor, nn
from torch.nn import functional as F

from models.noise import walking_noise
from models.skip import Skip
from stages.context import Separation, SeparationContext
from stages.motion.flow import resize
from stages.optim.fit import FitPlan, fit
from stages.optim.losses import constant, exclusion, squared_reconstruction
from stages.optim.timing import seconds_a_step

DEPTH = 2  # channels of the noise
STEPS = 4000  # of the fit without a time budget
BATCH = 4  # frames a step
SHARE = 0.8  # part of this call's time budget
PIXELS = 960 * 540  # a larger picture is fitted at a smaller size
WEIGHTS = {"reconstruction": constant(1.0), "outside": constant(1.0), "exclusion": constant(0.1)}


class Published(nn.Module):
    """Hold the three networks and their noise."""

    noise: Tensor
    still: Tensor

    def __init__(self, frames: int, size: tuple[int, int], seed: int) -> None:
        super().__init__()
        self.clean = Skip(DEPTH, 3, seed=3 * seed)
        self.mark = Skip(DEPTH, 3, seed=3 * seed + 1)
        self.matte = Skip(DEPTH, 1, seed=3 * seed + 2)
        self.register_buffer("noise", walking_noise(frames, DEPTH, size, 3 * seed))
        self.register_buffer(
            "still",
            torch.cat([walking_noise(1, DEPTH, size, 3 * seed + number) for number in (1, 2)]),
        )

    def forward(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the clean pictures, the mark and the matte of the frames ``index`` (B,).

        They are ``(B, 3, H, W)``, ``(1, 3, H, W)`` and ``(1, 1, H, W)``, in [0, 1].
        """
        return self.clean(self.noise[index]), self.mark(self.still[:1]), self.matte(self.still[1:])


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

    def fitted(steps: int, report: bool = False) -> Published:
        """Return fresh networks after ``steps``.

        Fresh ones, so that the timing run does not affect the real ones.
        """
        module = Published(count, size, seed).to(device)

        def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
            clean, mark, matte = module(index)
            return {
                "reconstruction": squared_reconstruction(
                    matte * mark + (1 - matte) * clean, target[index]
                ),
                "outside": ((1 - inside) * matte).square().mean()
                + ((1 - inside) * (clean - target[index])).square().mean(),
                "exclusion": exclusion(clean, (matte * mark).expand(len(index), -1, -1, -1)),
            }

        plan = FitPlan(
            steps,
            batch=BATCH,
            rate=1e-3,
            code_rate=1e-3,
            warm_up=0,
            decay=False,
            betas=(0.9, 0.999),
        )
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
    with torch.no_grad():
        parts = [
            module(torch.arange(at, min(at + BATCH, count), device=device))
            for at in range(0, count, BATCH)
        ]
        clean, mark, matte = (
            torch.cat([part[0] for part in parts]).cpu(),
            parts[0][1].cpu(),
            parts[0][2].cpu(),
        )
    full = height, width
    clean, mark, matte = (
        layer if size == full else F.interpolate(layer, size=full, mode="bilinear")
        for layer in (clean, mark, matte)
    )
    matte = matte * box
    clean = torch.where(box, clean, frames)
    error = float((matte * mark + (1 - matte) * clean - frames).square().mean())
    report = {"fit_steps": float(steps), "reconstruction_psnr": -10 * math.log10(max(error, 1e-10))}
    return Separation(
        {"clean": clean, "watermark": mark, "matte": matte},
        frozenset({"watermark", "matte"}),
        report,
        {"fit": time.perf_counter() - began},
    )
