"""The published networks and their inputs: one hourglass network a layer, on noise of its own.

In a clip all frames share a layer's network, and the noise changes a little from frame to frame
(Gandelsman et al., CVPR 2019, sections 3 and 5, and facts of the released code).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.noise import walking_noise
from models.skip import FIVE_LEVELS, Skip, SkipShape

DEPTH = 2
"""Channels of the noise."""

STILL_NOISE = 0.01
"""Width of the uniform distribution of a picture's noise, which is centred on zero."""

JITTER = 1e-3
"""Standard deviation of the noise that each step adds to the input, for clips."""

JITTER_RISE, JITTER_EVERY = 1000, 100
"""Steps over which a picture's jitter rises, and steps between two rises by :data:`JITTER`."""

BATCH = 8
"""Frames that are drawn at once. The published code draws all of a clip's."""

FULL_PIXELS = 960 * 540
"""Pixels of the largest frames that are fitted at their own size; memory allows no more. The
published code fits every frame at its own size."""


class PublishedNetworks(nn.Module):
    """One :class:`models.skip.Skip` network for each layer, each on noise of its own.

    channels: of the layers, such as ``(3, 3, 1)`` for two pictures and a matte.
    noises: the input of each network, ``(T, depth, H, W)``; with one frame, ``(1, depth, H, W)``,
        where all frames share the layer.
    seed: of the initial values. shapes: of each network.
    """

    def __init__(
        self,
        channels: Sequence[int],
        noises: Sequence[Tensor],
        seed: int,
        shapes: Sequence[SkipShape] = (),
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            Skip(noise.shape[1], count, seed=len(channels) * seed + number, shape=shape)
            for number, (count, noise, shape) in enumerate(
                zip(channels, noises, shapes or [FIVE_LEVELS] * len(channels), strict=True)
            )
        )
        for number, noise in enumerate(noises):
            self.register_buffer(f"noise_{number}", noise)

    @property
    def noises(self) -> list[Tensor]:
        """The input of each network."""
        return [self.get_buffer(f"noise_{number}") for number in range(len(self.networks))]

    def forward(
        self, index: Tensor, jitters: Sequence[Tensor | None] | None = None, orientation: int = 0
    ) -> tuple[Tensor, ...]:
        """Return the layers of the frames ``index`` ``(B,)``, each ``(B, channels, H, W)``.

        A layer that all frames share comes as ``(1, channels, H, W)``.

        jitters: what is added to the input of each network; none unless given.
        orientation: the rotation or flip of the inputs (:func:`oriented`).
        """
        layers = []
        for number, noise in enumerate(self.noises):
            chosen = noise if len(noise) == 1 else noise[index]
            jitter = None if jitters is None else jitters[number]
            moved = chosen if jitter is None else chosen + jitter
            layers.append(self.networks[number](oriented(moved, orientation)))
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

    seed: of its numbers.
    """

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, networks: PublishedNetworks, index: Tensor, scale: float) -> list[Tensor]:
        """Return noise for each network's input of the frames ``index`` ``(B,)``.

        scale: its standard deviation.
        """
        drawn = []
        for noise in networks.noises:
            count = 1 if len(noise) == 1 else len(index)
            values = torch.randn((count, *noise.shape[1:]), generator=self.generator)
            drawn.append((scale * values).to(noise.device))
        return drawn


def uniform_noise(
    channels: int, size: tuple[int, int], seed: int, width: float = STILL_NOISE
) -> Tensor:
    """Return a picture's noise, uniform in +- width / 2, ``(1, channels, H, W)``.

    size: height and width. seed: of the numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    return width * (torch.rand(1, channels, *size, generator=generator) - 0.5)


def layer_noises(networks: int, frames: int, size: tuple[int, int], seed: int) -> list[Tensor]:
    """Return the input of each network, ``(frames, DEPTH, H, W)``.

    networks: how many. frames: 1 for a picture, whose noise is uniform; more for a clip, whose
    noise walks. size: height and width. seed: of the numbers.
    """
    seeds = range(networks * seed, networks * (seed + 1))
    if frames == 1:
        return [uniform_noise(DEPTH, size, each) for each in seeds]
    return [walking_noise(frames, DEPTH, size, each) for each in seeds]


def still_jitter(step: int) -> float:
    """Return the jitter of a picture's input at a step: from 0 to 9e-3, then 1e-3."""
    if step >= JITTER_RISE:
        return JITTER
    return JITTER * (step // JITTER_EVERY)


def oriented(picture: Tensor, number: int) -> Tensor:
    """Return ``picture`` ``(..., H, W)`` in one of its eight rotations and flips.

    number: 0 to 7; 0 changes nothing, and from 4 on the picture is flipped first.
    """
    flipped = picture.flip(-1) if number >= 4 else picture
    return torch.rot90(flipped, number % 4, (-2, -1)) if number % 4 else flipped


def orientation_at(step: int) -> int:
    """Return the rotation or flip of a step: every second step none, the others all in turn."""
    return step // 2 % 8 if step % 2 else 0
