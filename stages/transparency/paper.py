"""Double-DIP as published for transparent layers, for ``--preset paper``.

Two networks draw the layers and an exclusion loss of weight 0.1 keeps their edges apart (Gandelsman
et al., CVPR 2019, section 4.1). Every frame is ``w A + (1 - w) B`` in encoded values, with one
weight w per picture that is learnt. For one picture or a clip it starts at one half and, by
symmetry, hardly leaves it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.noise import walking_noise
from models.skip import Skip
from stages.optim.fit import FitPlan, OnStep, fit
from stages.optim.losses import constant, exclusion, squared_reconstruction

DEPTH = 2
"""Channels of the noise that the networks draw from."""
JITTER = 1e-3
"""Standard deviation of the noise added to the networks' input at each step."""
BATCH = 8
WEIGHTS = {"reconstruction": constant(1.0), "exclusion": constant(0.1)}


class PublishedLayerNetworks(nn.Module):
    """Two :class:`models.skip.Skip` networks, and a weight for each picture.

    pictures: number of pictures that each network draws. mixtures: number of frames; if there are
    more frames than pictures, all are mixtures of the same pictures. size: height and width. seed:
    for weights and noise.
    """

    noise: Tensor

    def __init__(self, pictures: int, mixtures: int, size: tuple[int, int], seed: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Skip(DEPTH, 3, seed=2 * seed + number) for number in (0, 1))
        noise = [walking_noise(pictures, DEPTH, size, 2 * seed + number) for number in (0, 1)]
        self.register_buffer("noise", torch.stack(noise))
        # Weights start apart: two equal mixtures would say nothing about the layers.
        spread = torch.zeros(mixtures)
        if mixtures > pictures:
            spread = torch.linspace(1, -1, mixtures)
        self.logits = nn.Parameter(spread)

    def forward(self, index: Tensor, jitter: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draw both layers ``(B, 3, H, W)`` of the pictures ``index`` ``(B,)``."""
        noise = self.noise[:, index]
        if jitter is not None:
            noise = noise + jitter
        return self.layers[0](noise[0]), self.layers[1](noise[1])

    def weights(self) -> Tensor:
        """Return the first layer's weight in every mixture, ``(K,)``."""
        return torch.sigmoid(self.logits)


def fit_published(
    frames: Tensor,
    *,
    shared: bool,
    steps: int,
    seed: int,
    device: torch.device,
    on_step: OnStep | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Fit the published networks to ``frames`` ``(T, 3, H, W)``.

    shared: whether all frames mix the same two pictures. steps: of Adam. on_step: called with the
    progress and the losses.

    Returns the layers A and B on the CPU, ``(1, 3, H, W)`` if shared and ``(T, 3, H, W)``
    otherwise, and A's weights ``(T,)``. A is the layer of the larger mean weight.
    """
    count = len(frames)
    size = (frames.shape[-2], frames.shape[-1])
    module = PublishedLayerNetworks(1 if shared else count, count, size, seed).to(device)
    target = frames.to(device)
    generator = torch.Generator().manual_seed(seed)

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del progress
        drawn = index[:1] * 0 if shared else index
        jitter = torch.randn(2, len(drawn), *module.noise.shape[2:], generator=generator)
        one, other = module(drawn, JITTER * jitter.to(device))
        weight = module.weights()[index].view(-1, 1, 1, 1)
        picture = weight * one + (1 - weight) * other
        return {
            "reconstruction": squared_reconstruction(picture, target[index]),
            "exclusion": exclusion(one, other),
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
    fit(module, terms, WEIGHTS, plan, frames=count, seed=seed, on_step=on_step)
    # As published, the networks stay in training mode and use the batch's own statistics.
    with torch.no_grad():
        drawn = torch.arange(1 if shared else count, device=device)
        parts = [module(drawn[at : at + BATCH]) for at in range(0, len(drawn), BATCH)]
        weights = module.weights().cpu()
    one = torch.cat([part[0] for part in parts]).cpu()
    other = torch.cat([part[1] for part in parts]).cpu()
    if float(weights.mean()) < 0.5 - 1e-6 or not math.isfinite(float(weights.mean())):
        return other, one, 1 - weights
    return one, other, weights
