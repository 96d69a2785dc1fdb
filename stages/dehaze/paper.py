"""Double-DIP on haze as published, for comparison: a network for the clear picture and one for the transmission, from noise.

Its networks were tried on top of :mod:`stages.dehaze.veil` as well, and brought nothing: held to the envelope they leave it as it is, and
where they are let go they trade transmission for texture (mean over seven pairs 22.95 dB without and 22.5 to 22.95 with them).
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
"""Double-DIP's own, from its code for haze."""

STEPS = 4000
DEPTH, NOISE, JITTER, SIDE = 8, 0.1, 1 / 30, 5
RADIUS, EDGES, THIN = 25, 1e-4, 0.1  # of its guided filter, in working pixels, and its least transmission


class TwoPublished(nn.Module):
    """Double-DIP's own networks: a :class:`models.skip.Skip` for the clear picture and one for the transmission, on one noise each."""

    noise: Tensor

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        super().__init__()
        self.clear, self.transmission = Skip(DEPTH, 3, seed=2 * seed), Skip(DEPTH, 1, seed=2 * seed + 1)
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("noise", NOISE * torch.rand(2, 1, DEPTH, *size, generator=generator))

    def forward(self, jitter: Tensor) -> tuple[Tensor, Tensor]:
        """The clear picture ``(1, 3, H, W)``, from its noise and ``jitter`` ``(1, 8, H, W)``, and the transmission ``(1, 1, H, W)``."""
        return self.clear(self.noise[0] + jitter), self.transmission(self.noise[1])


def roughness(transmission: Tensor) -> Tensor:
    """The mean standard deviation in small windows, which the published code holds down in the transmission."""
    side = min(SIDE, *transmission.shape[-2:])
    mean = F.avg_pool2d(transmission, side, 1)
    return (F.avg_pool2d(transmission.square(), side, 1) - mean.square()).clamp_min(1e-8).sqrt().mean()


def fit_paper(frames: Tensor, airlight: Tensor, *, steps: int, seed: int, device: torch.device, on_step: OnStep | None = None) -> Tensor:
    """The yardstick: the transmission ``(T, 1, H, W)`` that the published method finds, with the airlight given; each frame by itself.

    Two skip networks, Adam at 1e-3 without a schedule, float32, squared error, the roughness of the transmission at 0.005, and the clear
    picture's input shaken by 1/30 of its spread. Of several frames each has its own networks, as the code was released for pictures only.
    """
    found = []
    for number, frame in enumerate(frames):

        def partly(progress: float, losses: Mapping[str, float], number: int = number) -> None:
            if on_step is not None:
                on_step((number + progress) / len(frames), losses)

        found.append(_fit_picture(frame[None].to(device), airlight.to(device), steps, seed, partly))
    return torch.cat(found)


def _fit_picture(picture: Tensor, airlight: Tensor, steps: int, seed: int, on_step: OnStep) -> Tensor:
    module = TwoPublished((picture.shape[-2], picture.shape[-1]), seed).to(picture.device)
    shaken = torch.Generator().manual_seed(seed)

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del index, progress
        clear, transmission = module(JITTER * NOISE * torch.randn(module.noise.shape[1:], generator=shaken).to(picture.device))
        return {
            "reconstruction": squared_reconstruction(haze(clear, transmission, airlight), picture),
            "roughness": roughness(transmission),
        }

    plan = FitPlan(steps, rate=1e-3, warm_up=0, decay=False, betas=(0.9, 0.999))
    fit(module, terms, WEIGHTS, plan, frames=1, seed=seed, on_step=on_step)
    with torch.no_grad():
        # With the batch's own statistics, as published: the networks never leave their training mode.
        transmission: Tensor = module(torch.zeros_like(module.noise[0]))[1]
        return transmission.clamp_min(THIN).cpu()
