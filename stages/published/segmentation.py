"""Double-DIP for segmentation as published (Gandelsman et al., CVPR 2019, section 4).

Three small networks draw a foreground, a background and a matte: ``I = m F + (1 - m) B``. Hints say
where the foreground and where the background surely is.

- Stage 1 fits each layer inside its hint, and the matte to 1 and 0 there.
- Stage 2 adds half the L1 error of the mixture, and a loss that drives the matte to 0 or 1, whose
  weight grows. It stops when the reconstruction reaches 30 dB.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.skip import THREE_LEVELS_3X3
from stages.mixing.matte_composite import MatteComposite
from stages.optim.fit import FitRun
from stages.optim.losses import Schedule, constant, reconstruction, steady_matte
from stages.published.fit import DrawnStep, PublishedStage, fit_stages, split_steps, step_of
from stages.published.losses import gray_loss, hinted_error
from stages.published.networks import (
    JITTER,
    InputJitter,
    PublishedNetworks,
    layer_noises,
    still_jitter,
)

STAGE_STEPS = (2000, 4000)
"""Most steps of the two stages. The paper does not tell them; docs/paper.md lists such choices."""

TARGET_PSNR = 30.0
"""PSNR of the reconstruction that ends the second stage, in dB, as published."""

BATCH = 4
"""Frames of a clip that are drawn at once. Chosen for memory; the publication leaves it open."""


def binary_matte_weight(progress: float) -> float:
    """Return the weight of the loss of mattes between 0 and 1: ``0.001 floor(step / 100)``.

    progress: of the second stage, 0 to 1.
    """
    return 1e-3 * (step_of(progress, STAGE_STEPS[1]) // 100)


FIRST_WEIGHTS: dict[str, Schedule] = {
    "foreground": constant(1.0),
    "background": constant(1.0),
    "matte": constant(1.0),
    "mask_consistency": constant(1.0),
}
"""The weight of each loss of the first stage. Only clips have mask consistency."""

SECOND_WEIGHTS: dict[str, Schedule] = FIRST_WEIGHTS | {
    "reconstruction": constant(0.5),
    "binary_matte": binary_matte_weight,
}
"""The weight of each loss of the second stage."""


@dataclass(frozen=True)
class PublishedSegments:
    """The fitted layers on the CPU.

    foreground, background: ``(T, 3, H, W)`` in [0, 1]. matte: ``(T, 1, H, W)`` in [0, 1].
    steps: that were taken.
    """

    foreground: Tensor
    background: Tensor
    matte: Tensor
    steps: int


def fit_segmentation(
    frames: Tensor, foreground_hint: Tensor, background_hint: Tensor, run: FitRun
) -> PublishedSegments:
    """Fit the networks to the frames ``(T, 3, H, W)`` of a clip, or to one picture.

    foreground_hint, background_hint: where a layer surely is, ``(T, 1, H, W)`` in [0, 1].
    run: its steps are those of both stages together, at most.
    """
    fit = _SegmentationFit(
        frames.to(run.device),
        foreground_hint.to(run.device),
        background_hint.to(run.device),
        run.seed,
    )
    lengths = split_steps(run.steps, STAGE_STEPS)
    stages = [
        PublishedStage(lengths[0], fit.draw_first_stage, FIRST_WEIGHTS, batch=BATCH),
        PublishedStage(
            lengths[1], fit.draw_second_stage, SECOND_WEIGHTS, batch=BATCH, ends_at=TARGET_PSNR
        ),
    ]
    taken = fit_stages(fit.module, stages, run, len(frames))
    foreground, background, matte = fit.module.render(torch.arange(len(frames)), BATCH)
    return PublishedSegments(foreground, background, matte, taken)


class _SegmentationFit:
    """Draw the steps of both stages.

    frames: ``(T, 3, H, W)``. foreground_hint, background_hint: ``(T, 1, H, W)`` in [0, 1]. All are
    on the device that the networks are fitted on. seed: of the networks and of their noise.
    """

    def __init__(
        self, frames: Tensor, foreground_hint: Tensor, background_hint: Tensor, seed: int
    ) -> None:
        self.frames = frames
        self.foreground_hint = foreground_hint
        self.background_hint = background_hint
        noises = layer_noises(3, len(frames), (frames.shape[-2], frames.shape[-1]), seed)
        networks = [THREE_LEVELS_3X3] * 3
        self.module = PublishedNetworks((3, 3, 1), noises, seed, networks).to(frames.device)
        self.jitter = InputJitter(seed)

    def draw_first_stage(self, index: Tensor, progress: float) -> DrawnStep:
        """Draw the frames ``index`` ``(B,)``, with the losses inside the hints.

        progress: of the stage, 0 to 1.
        """
        return self._draw(index, step_of(progress, STAGE_STEPS[0]))[0]

    def draw_second_stage(self, index: Tensor, progress: float) -> DrawnStep:
        """Draw the frames ``index`` ``(B,)``, with the losses of the mixture, too.

        progress: of the stage, 0 to 1.
        """
        step, matte = self._draw(index, step_of(progress, STAGE_STEPS[1]))
        losses = {
            **step.losses,
            "reconstruction": reconstruction(step.mixture, step.target),
            "binary_matte": gray_loss(matte),
        }
        return replace(step, losses=losses)

    def _draw(self, index: Tensor, stage_step: int) -> tuple[DrawnStep, Tensor]:
        """Return the step with the losses of both stages, and the matte ``(B, 1, H, W)``."""
        scale = still_jitter(stage_step) if len(self.frames) == 1 else JITTER
        noise = self.jitter.draw(self.module, index, scale)
        foreground, background, matte = self.module(index, noise)
        mixture = MatteComposite(matte).mix(background, foreground)
        target = self.frames[index]
        foreground_hint, background_hint = self.foreground_hint[index], self.background_hint[index]
        losses = {
            "foreground": hinted_error(foreground, target, foreground_hint),
            "background": hinted_error(background, target, background_hint),
            "matte": hinted_error(matte, torch.ones_like(matte), foreground_hint)
            + hinted_error(matte, torch.zeros_like(matte), background_hint),
            "mask_consistency": steady_matte(matte, index),
        }
        return DrawnStep(mixture, target, losses), matte
