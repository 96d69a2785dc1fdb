"""Double-DIP on haze as published, for ``--preset paper``: two networks, fitted from noise.

One network draws the clear picture and one the transmission. The same networks on top of
:mod:`stages.dehaze.veil` brought nothing: held to the envelope they leave it as it is, and without
that they trade transmission for texture (mean over seven pairs 22.95 dB without networks, 22.5 to
22.95 with them).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.skip import Skip
from stages.dehaze.model import haze
from stages.optim.fit import FitPlan, OnStep, fit
from stages.optim.losses import Schedule, constant, squared_reconstruction

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


class PublishedHazeNetworks(nn.Module):
    """A :class:`models.skip.Skip` for the clear picture and one for the transmission.

    size: height and width of the picture. seed: for weights and noise.
    """

    noise: Tensor

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        super().__init__()
        self.clear = Skip(DEPTH, 3, seed=2 * seed)
        self.transmission = Skip(DEPTH, 1, seed=2 * seed + 1)
        generator = torch.Generator().manual_seed(seed)
        noise = NOISE * torch.rand(2, 1, DEPTH, *size, generator=generator)
        self.register_buffer("noise", noise)

    def forward(self, jitter: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the clear picture ``(1, 3, H, W)`` and the transmission ``(1, 1, H, W)``.

        jitter: added to the clear picture's noise, ``(1, 8, H, W)``.
        """
        return self.clear(self.noise[0] + jitter), self.transmission(self.noise[1])


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
    module = PublishedHazeNetworks(size, seed).to(picture.device)
    generator = torch.Generator().manual_seed(seed)

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del index, progress
        drawn = torch.randn(module.noise.shape[1:], generator=generator)
        clear, transmission = module(JITTER * NOISE * drawn.to(picture.device))
        mixed = haze(clear, transmission, airlight)
        return {
            "reconstruction": squared_reconstruction(mixed, picture),
            "roughness": roughness(transmission),
        }

    plan = FitPlan(steps, rate=1e-3, warm_up=0, decay=False, betas=(0.9, 0.999))
    fit(module, terms, WEIGHTS, plan, frames=1, seed=seed, on_step=on_step)
    with torch.no_grad():
        # As published, the networks stay in training mode and use the batch's own statistics.
        transmission: Tensor = module(torch.zeros_like(module.noise[0]))[1]
        return transmission.clamp_min(THIN).cpu()
