"""Double-DIP as published for transparent layers (Gandelsman et al. 2019, section 4.1): two networks, a tenth of exclusion, nothing else.

For comparison with ``--preset paper``. Every frame is ``w A + (1 - w) B`` in encoded values, with one weight w a picture that is learnt;
for one picture or a clip it starts, and by symmetry all but stays, at one half.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.noise import walking_noise
from models.skip import Skip
from stages.optim.fit import FitPlan, OnStep, fit
from stages.optim.losses import constant, exclusion, squared_reconstruction

DEPTH = 2  # channels of the noise
JITTER = 1e-3
BATCH = 8
WEIGHTS = {"reconstruction": constant(1.0), "exclusion": constant(0.1)}


class TwoPublished(nn.Module):
    """Two :class:`models.skip.Skip` networks and a weight for each picture. ``pictures``: how many each network draws; the other frames
    are further mixtures of the same ones (``mixtures``)."""

    noise: Tensor

    def __init__(self, pictures: int, mixtures: int, size: tuple[int, int], seed: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Skip(DEPTH, 3, seed=2 * seed + number) for number in (0, 1))
        self.register_buffer("noise", torch.stack([walking_noise(pictures, DEPTH, size, 2 * seed + number) for number in (0, 1)]))
        # Apart at the start, as two equal mixtures would say nothing about the layers.
        spread = torch.linspace(1, -1, mixtures) if mixtures > pictures else torch.zeros(mixtures)
        self.logits = nn.Parameter(spread)

    def forward(self, index: Tensor, jitter: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Both layers' pictures ``(B, 3, H, W)`` for the pictures ``index``."""
        noise = self.noise[:, index] if jitter is None else self.noise[:, index] + jitter
        return self.layers[0](noise[0]), self.layers[1](noise[1])

    def weights(self) -> Tensor:
        """The first layer's weight in every mixture, ``(K,)``."""
        return torch.sigmoid(self.logits)


def fit_published(
    frames: Tensor, *, shared: bool, steps: int, seed: int, device: torch.device, on_step: OnStep | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Layers A and B, ``(1, 3, H, W)`` if ``shared`` by all ``frames`` ``(T, 3, H, W)`` and a picture a frame otherwise, and A's weights
    ``(T,)``; on the CPU."""
    count, size = len(frames), (frames.shape[-2], frames.shape[-1])
    module = TwoPublished(1 if shared else count, count, size, seed).to(device)
    target = frames.to(device)
    shaken = torch.Generator().manual_seed(seed)

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del progress
        drawn = index[:1] * 0 if shared else index
        jitter = JITTER * torch.randn(2, len(drawn), *module.noise.shape[2:], generator=shaken).to(device)
        one, other = module(drawn, jitter)
        weight = module.weights()[index].view(-1, 1, 1, 1)
        picture = weight * one + (1 - weight) * other
        return {"reconstruction": squared_reconstruction(picture, target[index]), "exclusion": exclusion(one, other)}

    plan = FitPlan(steps, batch=BATCH, rate=1e-3, code_rate=1e-3, warm_up=0, decay=False, betas=(0.9, 0.999))
    fit(module, terms, WEIGHTS, plan, frames=count, seed=seed, on_step=on_step)
    # With the batch's own statistics, as published: the networks never leave their training mode.
    with torch.no_grad():
        drawn = torch.arange(1 if shared else count, device=device)
        parts = [module(drawn[at : at + BATCH]) for at in range(0, len(drawn), BATCH)]
        weights = module.weights().cpu()
    one, other = torch.cat([part[0] for part in parts]).cpu(), torch.cat([part[1] for part in parts]).cpu()
    if float(weights.mean()) < 0.5 - 1e-6 or not math.isfinite(float(weights.mean())):
        return other, one, 1 - weights
    return one, other, weights
