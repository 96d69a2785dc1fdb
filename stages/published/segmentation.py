"""Double-DIP for segmentation as published (Gandelsman et al., CVPR 2019, section 4).

Three small networks draw a foreground, a background and a matte: ``I = m F + (1 - m) B``. Hints say
where the foreground and where the background surely is.

    first stage:  each layer inside its hint, and the matte 1 and 0 there
    second stage: the same, half the L1 error of the mixture, and a push of the matte away from ½
                  that grows; it ends at 30 dB
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.skip import THREE_LEVELS_3X3
from stages.mixing.matte_composite import MatteComposite
from stages.optim.fit import OnStep
from stages.optim.losses import Schedule, constant, reconstruction, steady_matte
from stages.published.fit import (
    BestSnapshot,
    DrawnStep,
    PublishedStage,
    fit_stage,
    split_steps,
    step_of,
    steps_a_pass,
)
from stages.published.losses import gray_loss, hinted_error
from stages.published.networks import (
    JITTER,
    InputJitter,
    PublishedNetworks,
    layer_noises,
    still_jitter,
)

STAGES = (2000, 4000)
"""Steps of the two stages."""

ENOUGH = 30.0
"""PSNR of the reconstruction that ends the second stage, in dB."""

BATCH = 4
"""Frames of a clip that are drawn at once."""


def push(progress: float) -> float:
    """Return the weight of the push away from one half: ``0.001 floor(step / 100)``."""
    return 1e-3 * (step_of(progress, STAGES[1]) // 100)


FIRST_WEIGHTS: dict[str, Schedule] = {
    "foreground": constant(1.0),
    "background": constant(1.0),
    "matte": constant(1.0),
    "mask_consistency": constant(1.0),
}
"""The weight of each loss of the first stage. Mask consistency is a clip's only."""

SECOND_WEIGHTS: dict[str, Schedule] = FIRST_WEIGHTS | {
    "reconstruction": constant(0.5),
    "push": push,
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
    frames: Tensor,
    foreground_hint: Tensor,
    background_hint: Tensor,
    *,
    steps: int,
    seed: int,
    device: torch.device,
    on_step: OnStep | None = None,
) -> PublishedSegments:
    """Fit the networks to the frames ``(T, 3, H, W)`` of a clip, or to one picture.

    foreground_hint, background_hint: where a layer surely is, ``(T, 1, H, W)`` in [0, 1].
    steps: of both stages together, at most. on_step: called with the progress and the losses.
    """
    count = len(frames)
    size = (frames.shape[-2], frames.shape[-1])
    target = frames.to(device)
    inside = foreground_hint.to(device)
    outside = background_hint.to(device)
    noises = layer_noises(3, count, size, seed)
    module = PublishedNetworks((3, 3, 1), noises, seed, [THREE_LEVELS_3X3] * 3).to(device)
    jitter = InputJitter(seed)
    best = BestSnapshot(steps_a_pass(count, BATCH))
    lengths = split_steps(steps, STAGES)
    taken = 0

    def draw(index: Tensor, progress: float, *, second: bool) -> DrawnStep:
        whole = STAGES[1] if second else STAGES[0]
        scale = still_jitter(step_of(progress, whole)) if count == 1 else JITTER
        foreground, background, matte = module(index, jitter.draw(module, index, scale))
        mixed = MatteComposite(matte).mix(background, foreground)
        frame, sure, never = target[index], inside[index], outside[index]
        losses = {
            "foreground": hinted_error(foreground, frame, sure),
            "background": hinted_error(background, frame, never),
            "matte": hinted_error(matte, torch.ones_like(matte), sure)
            + hinted_error(matte, torch.zeros_like(matte), never),
            "mask_consistency": steady_matte(matte, index),
        }
        if second:
            losses["reconstruction"] = reconstruction(mixed, frame)
            losses["push"] = gray_loss(matte)
        return DrawnStep(mixed, frame, losses)

    stages = (
        PublishedStage(lengths[0], FIRST_WEIGHTS, batch=BATCH),
        PublishedStage(lengths[1], SECOND_WEIGHTS, batch=BATCH, ends_at=ENOUGH),
    )
    for number, stage in enumerate(stages):
        begin = taken

        def note(
            progress: float,
            losses: Mapping[str, float],
            begin: int = begin,
            length: int = stage.steps,
        ) -> None:
            if on_step is not None:
                on_step((begin + progress * length) / sum(lengths), losses)

        # The first stage does not ask for the mixture, so its snapshots do not count.
        snapshot = best if number else BestSnapshot(steps_a_pass(count, BATCH))

        def draw_stage(index: Tensor, progress: float, second: bool = number == 1) -> DrawnStep:
            return draw(index, progress, second=second)

        taken += fit_stage(
            module, draw_stage, stage, frames=count, best=snapshot, seed=seed, on_step=note
        )
    best.apply(module)
    foreground, background, matte = module.render(torch.arange(count), BATCH)
    return PublishedSegments(foreground, background, matte, taken)
