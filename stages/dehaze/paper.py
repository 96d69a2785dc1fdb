"""Double-DIP on haze as published, for ``--preset paper``: two networks, fitted from noise.

One network draws the clear picture and one the transmission. The same networks on top of
:mod:`stages.dehaze.veil` brought nothing: held to the envelope they leave it as it is, and without
that they trade transmission for texture (mean over seven pairs 22.95 dB without networks, 22.5 to
22.95 with them).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.mixing.haze import Haze
from stages.optim.fit import OnStep, fit
from stages.optim.losses import Schedule, constant, squared_reconstruction
from stages.optim.published import PublishedNetworks, published_plan

WEIGHTS: dict[str, Schedule] = {"reconstruction": constant(1.0), "roughness": constant(0.005)}
"""Weights of the losses in the published code for haze."""

STEPS = 4000
DEPTH, NOISE, JITTER = 8, 0.1, 1 / 30
"""Channels of the networks' input noise, its range, and the noise added per step as part of it."""
SIDE = 5
"""Side of the windows in which roughness is measured, in pixels."""
RADIUS, EDGES, THIN = 25, 1e-4, 0.1
"""Of the published guided filter: radius in working pixels, variance of edges to ignore, and least
transmission."""


def roughness(transmission: Tensor) -> Tensor:
    """Return the mean standard deviation in small windows; the published code penalises it."""
    side = min(SIDE, *transmission.shape[-2:])
    mean = F.avg_pool2d(transmission, side, 1)
    variance = F.avg_pool2d(transmission.square(), side, 1) - mean.square()
    return variance.clamp_min(1e-8).sqrt().mean()


def fit_paper(
    frames: Tensor,
    airlight: Tensor,
    *,
    steps: int,
    seed: int,
    device: torch.device,
    on_step: OnStep | None = None,
) -> Tensor:
    """Fit the published networks to each frame of ``(T, 3, H, W)``; return ``(T, 1, H, W)``.

    Adam at 1e-3 without a schedule, float32, squared error, roughness of the transmission, and a
    clear picture whose input is shaken by 1/30 of its range. Every frame has its own networks,
    because the released code takes pictures only.

    airlight: ``(1, 3, 1, 1)`` or ``(1, 3, H, W)``; it stays fixed. steps: per frame. on_step:
    called with the progress and the losses.
    """
    found = []
    for number, frame in enumerate(frames):

        def partly(progress: float, losses: Mapping[str, float], number: int = number) -> None:
            if on_step is not None:
                on_step((number + progress) / len(frames), losses)

        picture = frame[None].to(device)
        found.append(_fit_picture(picture, airlight.to(device), steps, seed, partly))
    return torch.cat(found)


def _fit_picture(
    picture: Tensor, airlight: Tensor, steps: int, seed: int, on_step: OnStep
) -> Tensor:
    """Fit the networks to one picture ``(1, 3, H, W)``; return its transmission ``(1, 1, H,
    W)``."""
    size = (picture.shape[-2], picture.shape[-1])
    drawn = torch.rand(2, 1, DEPTH, *size, generator=torch.Generator().manual_seed(seed))
    noises = [NOISE * noise for noise in drawn]
    module = PublishedNetworks((3, 1), noises, seed).to(picture.device)
    generator = torch.Generator().manual_seed(seed)

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del progress
        jitter = JITTER * NOISE * torch.randn(noises[0].shape, generator=generator)
        clear, transmission = module(index, [jitter.to(picture.device), None])
        mixed = Haze(transmission).mix(airlight, clear)
        return {
            "reconstruction": squared_reconstruction(mixed, picture),
            "roughness": roughness(transmission),
        }

    fit(module, terms, WEIGHTS, published_plan(steps), frames=1, seed=seed, on_step=on_step)
    return module.render(torch.zeros(1, dtype=torch.long))[1].clamp_min(THIN)
