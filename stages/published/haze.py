"""Double-DIP on haze as published (Gandelsman et al., CVPR 2019, section 6).

The forward model is ``I = t J + (1 - t) A``.

    first pass:  three networks draw J, t and the airlight A, which starts tied to an estimate
    second pass: two networks draw J and t again; A is what the first pass found
    then:        a guided filter draws t onto the picture's edges, and J follows from I, t and A

The same networks on top of :mod:`stages.dehaze.veil` brought nothing. Held to the envelope, they
leave it as it is. Without that, they trade transmission for texture. The mean over seven pairs is
22.95 dB without networks, and 22.5 to 22.95 with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from models.skip import FIVE_LEVELS_3X3
from stages.mixing.haze import Haze
from stages.optim.descent import part_of_fit
from stages.optim.fit import FitRun
from stages.optim.losses import Schedule, constant, one_until, squared_reconstruction
from stages.published.fit import DrawnStep, PublishedStage, fit_stages
from stages.published.losses import blur_loss
from stages.published.networks import InputJitter, PublishedNetworks, uniform_noise

STEPS = 4000
"""Steps of each pass."""

TIED_PART = 1000 / STEPS
"""Part of the first pass in which the airlight is tied to the estimate."""

DEPTH = 8
"""Channels of the networks' input noise."""

NOISE = 0.1
"""Width of the noise's uniform distribution: U(-0.05, 0.05)."""

JITTER = 1 / 30
"""Standard deviation of what each step adds to the inputs of J and A."""

RADIUS = 50
"""The guided filter's radius, in pixels of the fitted picture."""

EDGE_VARIANCE = 1e-4
"""Variance of edges that the guided filter ignores."""

LEAST_TRANSMISSION = 0.1
"""Least transmission of the result."""

PATCH = 15
"""Side of a patch of the dark channel, in pixels (He et al., CVPR 2009)."""

BRIGHTEST = 1e-3
"""Part of the dark channel's pixels that the airlight is estimated from (the same)."""


WEIGHTS: dict[str, Schedule] = {
    "reconstruction": constant(1.0),
    "rough transmission": constant(0.005),
    "rough airlight": constant(0.1),
    "airlight": one_until(TIED_PART),
}
"""The weight of each loss. The second pass has the first two."""


@dataclass(frozen=True)
class HazeLayers:
    """What a pass found, on the CPU: pictures ``(1, 3, H, W)`` and a transmission ``(1, 1, H, W)``.

    steps: that were taken.
    """

    clear: Tensor
    transmission: Tensor
    airlight: Tensor
    steps: int


def dark_channel_airlight(picture: Tensor) -> Tensor:
    """Return the estimate of the airlight of ``(1, 3, H, W)``: one colour, ``(1, 3, 1, 1)``.

    It is the mean colour where the dark channel, the least value in a patch, is highest (He et al.,
    CVPR 2009, section 4.4).
    """
    dark = -F.max_pool2d(-picture.amin(1, keepdim=True), PATCH, 1, PATCH // 2)
    count = max(1, int(BRIGHTEST * dark.numel()))
    places = dark.flatten().topk(count).indices
    return picture.flatten(2)[..., places].mean(-1)[..., None, None]


def fit_haze(
    picture: Tensor,
    airlight: Tensor,
    run: FitRun,
    *,
    fixed: bool,
) -> HazeLayers:
    """Fit one pass to a picture ``(1, 3, H, W)``.

    airlight: ``(1, 3, 1, 1)`` or ``(1, 3, H, W)``. fixed: whether it is the airlight itself, as in
    the second pass, or an estimate that a third network is tied to at first.
    """
    target, known_airlight = picture.to(run.device), airlight.to(run.device)
    channels: Sequence[int] = (3, 1) if fixed else (3, 1, 3)
    size = (picture.shape[-2], picture.shape[-1])
    noises = [
        uniform_noise(DEPTH, size, len(channels) * run.seed + number, NOISE)
        for number in range(len(channels))
    ]
    shapes = [FIVE_LEVELS_3X3] * len(channels)
    module = PublishedNetworks(channels, noises, run.seed, shapes).to(run.device)
    jitter = InputJitter(run.seed)

    def draw(index: Tensor, progress: float) -> DrawnStep:
        del progress
        moved: list[Tensor | None] = list(jitter.draw(module, index, JITTER))
        moved[1] = None
        clear, transmission, *drawn = module(index, moved)
        light = drawn[0] if drawn else known_airlight
        mixed = Haze(transmission).mix(light, clear)
        losses = {
            "reconstruction": squared_reconstruction(mixed, target),
            "rough transmission": blur_loss(transmission),
        }
        if drawn:
            losses["rough airlight"] = blur_loss(light)
            losses["airlight"] = squared_reconstruction(light, known_airlight.expand_as(light))
        return DrawnStep(mixed, target, losses)

    taken = fit_stages(module, [PublishedStage(run.steps, draw, WEIGHTS)], run, frames=1)
    clear, transmission, *drawn = module.render(torch.zeros(1, dtype=torch.long))
    return HazeLayers(clear, transmission, drawn[0] if drawn else airlight, taken)


def fit_frames(frames: Tensor, airlight: Tensor, run: FitRun) -> Tensor:
    """Fit the second pass to each frame of ``(T, 3, H, W)``; return ``(T, 1, H, W)``.

    Every frame has its own networks, because the released code takes pictures only.

    airlight: of all frames, ``(1, 3, 1, 1)`` or ``(1, 3, H, W)``. run: its steps are for each
    frame.
    """
    transmissions = []
    for number, frame in enumerate(frames):
        part = replace(run, on_step=part_of_fit(run.on_step, number, 1, len(frames)))
        transmissions.append(fit_haze(frame[None], airlight, part, fixed=True).transmission)
    return torch.cat(transmissions)
