"""Double-DIP's networks as published, for the preset ``paper`` of every task.

One hourglass network with skip connections draws each layer, from noise that walks from frame to
frame (Gandelsman et al., CVPR 2019, sections 3 and 5, and its released code). A task adds its
mixing equation and its losses.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.noise import walking_noise
from models.skip import Skip
from stages.optim.fit import FitPlan
from stages.optim.losses import Schedule, constant

DEPTH = 2
"""Channels of the noise, from the released code for video."""

JITTER = 1e-3
"""Standard deviation of the noise that each step adds to the input, from the released code."""

RATE = 1e-3
"""Adam's learning rate, without a schedule, from the released code."""

BETAS = (0.9, 0.999)
"""Adam's defaults, which the released code keeps."""

BATCH = 8
"""Frames that are drawn at once. The published code draws all of a clip's."""

WEIGHTS: dict[str, Schedule] = {"reconstruction": constant(1.0), "exclusion": constant(0.1)}
"""The released code's weights for two layers that add up. A task may add losses of its own."""


class PublishedNetworks(nn.Module):
    """One :class:`models.skip.Skip` network for each layer, each on noise of its own.

    channels: of the layers, such as ``(3, 3, 1)`` for two pictures and a matte.
    noises: the input of each network, ``(T, depth, H, W)``; with one frame, ``(1, depth, H, W)``,
        where all frames share the layer.
    seed: of the initial values.
    """

    def __init__(self, channels: Sequence[int], noises: Sequence[Tensor], seed: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            Skip(noise.shape[1], count, seed=len(channels) * seed + number)
            for number, (count, noise) in enumerate(zip(channels, noises, strict=True))
        )
        for number, noise in enumerate(noises):
            self.register_buffer(f"noise_{number}", noise)

    @classmethod
    def walking(
        cls, channels: Sequence[int], frames: int, size: tuple[int, int], seed: int
    ) -> PublishedNetworks:
        """Return networks whose layers change over ``frames`` frames of ``size`` (H, W)."""
        return cls(channels, walking_noises(len(channels), frames, size, seed), seed)

    @property
    def noises(self) -> list[Tensor]:
        """The input of each network."""
        return [self.get_buffer(f"noise_{number}") for number in range(len(self.networks))]

    def forward(
        self, index: Tensor, jitters: Sequence[Tensor | None] | Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return the layers of the frames ``index`` ``(B,)``, each ``(B, channels, H, W)``.

        A layer that all frames share comes as ``(1, channels, H, W)``.

        jitters: what is added to the input of each network; none unless given.
        """
        layers = []
        for number, noise in enumerate(self.noises):
            chosen = noise if len(noise) == 1 else noise[index]
            jitter = None if jitters is None else jitters[number]
            layers.append(self.networks[number](chosen if jitter is None else chosen + jitter))
        return tuple(layers)

    @torch.no_grad()
    def render(self, index: Tensor, batch: int = BATCH) -> tuple[Tensor, ...]:
        """Return the layers of the frames ``index``, on the CPU.

        Batch norm uses the statistics of the batch, as published: the networks never leave their
        training mode. The running statistics stay as they are, so that a fit can go on.
        """
        kept = {name: value.clone() for name, value in self.state_dict().items()}
        device = self.noises[0].device
        parts = [self(part.to(device)) for part in torch.split(index, batch)]
        self.load_state_dict(kept)
        return tuple(
            (pieces[0] if len(noise) == 1 else torch.cat(pieces)).cpu()
            for noise, pieces in zip(self.noises, zip(*parts, strict=True), strict=True)
        )


class InputJitter:
    """Draws the noise that each step adds to the inputs of the networks.

    seed: of its numbers. scale: standard deviation.
    """

    def __init__(self, seed: int, scale: float = JITTER) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.scale = scale

    def draw(self, networks: PublishedNetworks, count: int) -> Tensor:
        """Return the noise of ``count`` frames, ``(networks, count, depth, H, W)``."""
        noise = networks.noises[0]
        shape = (len(networks.networks), count, *noise.shape[1:])
        return self.scale * torch.randn(shape, generator=self.generator).to(noise.device)


def walking_noises(
    networks: int, frames: int, size: tuple[int, int], seed: int, *, first: int = 0
) -> list[Tensor]:
    """Return the published input of each network, ``(frames, DEPTH, H, W)``.

    networks: how many the module has in all, which keeps the random numbers of its seeds apart.
    first: number of the first network that an input is wanted for.
    """
    return [
        walking_noise(frames, DEPTH, size, networks * seed + number)
        for number in range(first, networks)
    ]


def published_plan(steps: int, batch: int = BATCH) -> FitPlan:
    """Return the published optimiser's settings: Adam at a constant rate, for all parameters."""
    return FitPlan(steps, batch, rate=RATE, code_rate=RATE, warm_up=0, decay=False, betas=BETAS)
