"""Double-DIP's watermark removal as published (Gandelsman et al., CVPR 2019, section 7).

``I = m W + (1 - m) C`` with a mark W and a matte m that all pictures share. A box says where the
mark may be.

    one picture:      two stages, with rotations and flips
    several pictures: one network for each clean picture, and small ones for mark and matte
    a clip:           the same, with one network for the clean frames, on noise that walks

All losses are L1. Three fits from different random numbers are combined by the median. Only where
the matte is above 0.1 the input is replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from models.skip import FIVE_LEVELS, FIVE_LEVELS_3X3, FOUR_LEVELS_3X3, SkipShape
from stages.mixing.watermark_composite import WatermarkComposite
from stages.optim.descent import part_of_fit
from stages.optim.fit import FitRun
from stages.optim.losses import Schedule, constant, reconstruction
from stages.published.fit import DrawnStep, PublishedStage, fit_stages, split_steps, step_of
from stages.published.losses import hinted_error
from stages.published.networks import (
    DEPTH,
    JITTER,
    InputJitter,
    PublishedNetworks,
    layer_noises,
    orientation_at,
    oriented,
    still_jitter,
    uniform_noise,
)

STAGES = (4000, 7000)
"""Steps of the two stages for one picture."""

STEPS = 4000
"""Steps for several pictures and for clips."""

RESTARTS = 3
"""Fits whose median is taken."""

REPLACED = 0.1
"""Matte above which a pixel of the input is replaced."""

BATCH = 4
"""Frames in a step, for several pictures and for clips."""

FIRST_WEIGHTS: dict[str, Schedule] = {"outside": constant(1.0), "matte outside": constant(1.0)}
"""The weight of each loss of the first stage: around the box, the clean picture is the input."""

WEIGHTS: dict[str, Schedule] = FIRST_WEIGHTS | {"reconstruction": constant(1.0)}
"""The weight of each loss of the second stage, and of the only one."""


@dataclass(frozen=True)
class PublishedMark:
    """The layers on the CPU: the median over the restarts.

    clean: ``(T, 3, H, W)``. mark: ``(1, 3, H, W)``. matte: ``(1, 1, H, W)``, 0 where it was found
    to be no more than :data:`REPLACED`; there ``clean`` is the input. steps: of all restarts.
    """

    clean: Tensor
    mark: Tensor
    matte: Tensor
    steps: int


class MarkNetworks(PublishedNetworks):
    """The networks of the clean pictures, of the mark, and of the matte; the last two come last.

    pictures: how many separate pictures there are, each with a network of its own; 1 for one
    picture, or for the frames of a clip.
    """

    def __init__(
        self, pictures: int, noises: Sequence[Tensor], seed: int, shapes: Sequence[SkipShape]
    ) -> None:
        super().__init__((*[3] * pictures, 3, 1), noises, seed, shapes)
        self.pictures = pictures

    def layers(
        self, index: Tensor, jitters: Sequence[Tensor], orientation: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return clean pictures ``(B, 3, H, W)``, mark and matte of the frames ``index`` ``(B,)``.

        jitters: what is added to the input of each network. orientation: the rotation or flip of
        the inputs (:func:`stages.published.networks.oriented`). The networks of other pictures are
        not run.
        """
        first = self.pictures
        chosen = index.tolist() if first > 1 else [0]
        drawn = [
            self.networks[number](
                oriented(self._input(number, index) + jitters[number], orientation)
            )
            for number in (*chosen, first, first + 1)
        ]
        return torch.cat(drawn[:-2]), drawn[-2], drawn[-1]

    def _input(self, number: int, index: Tensor) -> Tensor:
        noise = self.noises[number]
        return noise if len(noise) == 1 else noise[index]


def networks_for(count: int, separate: bool, size: tuple[int, int], seed: int) -> MarkNetworks:
    """Return the networks for ``count`` frames of ``size`` (H, W).

    separate: whether they are separate pictures and not a clip.
    """
    pictures = count if separate else 1
    mark_shapes = [FIVE_LEVELS_3X3, FIVE_LEVELS_3X3]
    if count == 1:
        mark_shapes = [FIVE_LEVELS, FOUR_LEVELS_3X3]
    noises = [
        uniform_noise(DEPTH, size, (pictures + 2) * seed + number) for number in range(pictures + 2)
    ]
    if not separate:
        noises[0] = layer_noises(1, count, size, 3 * seed)[0]
    return MarkNetworks(pictures, noises, seed, [*[FIVE_LEVELS] * pictures, *mark_shapes])


def whole_fit(count: int) -> int:
    """Return the steps of all restarts for so many frames."""
    return RESTARTS * (sum(STAGES) if count == 1 else STEPS)


def fit_watermark(
    frames: Tensor,
    box: Tensor,
    run: FitRun,
    *,
    separate: bool,
) -> PublishedMark:
    """Fit the networks to ``frames`` ``(T, 3, H, W)`` three times; return the median.

    box: where the mark may be, ``(1, 1, H, W)`` in [0, 1]. separate: whether the frames are
    separate pictures. run: its steps are those of all restarts together.
    """
    fits: list[tuple[Tensor, ...]] = []
    taken = 0
    each = max(1, run.steps // RESTARTS)
    for restart in range(RESTARTS):
        # Seeds of restarts lie apart from each other and from those of other runs.
        seed = RESTARTS * run.seed + restart
        note = part_of_fit(run.on_step, restart, 1, RESTARTS)
        once = FitRun(each, seed, run.device, note)
        layers, spent = _fit_once(frames, box, separate, once)
        fits.append(layers)
        taken += spent
    clean, mark, matte = (
        torch.stack(layers).median(0).values for layers in zip(*fits, strict=True)
    )
    marked = matte > REPLACED
    return PublishedMark(torch.where(marked, clean, frames), mark, matte * marked, taken)


def _fit_once(
    frames: Tensor, box: Tensor, separate: bool, run: FitRun
) -> tuple[tuple[Tensor, Tensor, Tensor], int]:
    """Fit once; return clean pictures, mark and matte, and the steps that were taken.

    Arguments as in :func:`fit_watermark`; the steps are those of this fit.
    """
    count = len(frames)
    one = count == 1
    fitted = _MarkFit(frames, box, separate, run.seed, run.device)
    published_steps = STAGES if one else (STEPS,)
    lengths = split_steps(run.steps, STAGES) if one else (run.steps,)
    stages = []
    for number, length in enumerate(lengths):
        is_last = number == len(lengths) - 1
        draw = partial(fitted.draw, published_steps=published_steps[number], with_mixture=is_last)
        weights = WEIGHTS if is_last else FIRST_WEIGHTS
        stages.append(PublishedStage(length, draw, weights, batch=BATCH))
    taken = fit_stages(fitted.module, stages, run, count)
    return _rendered(fitted.module, count), taken


class _MarkFit:
    """Draw the steps of one fit.

    frames: ``(T, 3, H, W)``. box: ``(1, 1, H, W)``. Other arguments as in :func:`fit_watermark`.
    """

    def __init__(
        self, frames: Tensor, box: Tensor, separate: bool, seed: int, device: torch.device
    ) -> None:
        size = (frames.shape[-2], frames.shape[-1])
        self.module = networks_for(len(frames), separate, size, seed).to(device)
        self.target = frames.to(device)
        self.around = 1 - box.to(device)
        self.jitter = InputJitter(seed)

    def draw(
        self, index: Tensor, progress: float, published_steps: int, with_mixture: bool
    ) -> DrawnStep:
        """Draw the frames ``index`` ``(B,)``, with their losses.

        progress: of the stage, 0 to 1. published_steps: the stage's steps in the publication, on
        which rotations and jitter depend. with_mixture: whether the mixture has a loss, too.
        """
        is_picture = len(self.target) == 1
        step = step_of(progress, published_steps)
        orientation = orientation_at(step) if is_picture else 0
        scale = still_jitter(step) if is_picture else JITTER
        jitters = self.jitter.draw(self.module, index, scale)
        clean, mark, matte = self.module.layers(index, jitters, orientation)
        mixed = WatermarkComposite(matte).mix(clean, mark)
        frame = oriented(self.target[index], orientation)
        outside = oriented(self.around, orientation)
        losses = {
            "outside": hinted_error(clean, frame, outside.expand(len(frame), -1, -1, -1)),
            "matte outside": hinted_error(matte, torch.zeros_like(matte), outside),
        }
        if with_mixture:
            losses["reconstruction"] = reconstruction(mixed, frame)
        return DrawnStep(mixed, frame, losses)


@torch.no_grad()
def _rendered(module: MarkNetworks, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return all layers on the CPU, without jitter."""
    device = module.noises[0].device
    silent = [torch.zeros(1, device=device)] * (module.pictures + 2)
    parts = [
        module.layers(index.to(device), silent) for index in torch.split(torch.arange(count), BATCH)
    ]
    mark, matte = parts[0][1:]
    return torch.cat([part[0] for part in parts]).cpu(), mark.cpu(), matte.cpu()
