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

from stages.mixing.matte_composite import MatteComposite
from stages.optim.fit import OnStep, fit
from stages.optim.losses import exclusion, squared_reconstruction
from stages.optim.published import WEIGHTS, InputJitter, PublishedNetworks, published_plan


class PublishedLayerNetworks(nn.Module):
    """Two :class:`models.skip.Skip` networks, and a weight for each picture.

    pictures: number of pictures that each network draws. mixtures: number of frames; if there are
    more frames than pictures, all are mixtures of the same pictures. size: height and width. seed:
    for weights and noise.
    """

    def __init__(self, pictures: int, mixtures: int, size: tuple[int, int], seed: int) -> None:
        super().__init__()
        self.networks = PublishedNetworks.walking((3, 3), pictures, size, seed)
        # Weights start apart: two equal mixtures would say nothing about the layers.
        spread = torch.zeros(mixtures)
        if mixtures > pictures:
            spread = torch.linspace(1, -1, mixtures)
        self.logits = nn.Parameter(spread)

    def forward(self, index: Tensor, jitter: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draw both layers ``(B, 3, H, W)`` of the pictures ``index`` ``(B,)``."""
        one, other = self.networks(index, jitter)
        return one, other

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
    jitter = InputJitter(seed)

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del progress
        drawn = index[:1] * 0 if shared else index
        one, other = module(drawn, jitter.draw(module.networks, len(drawn)))
        weight = module.weights()[index].view(-1, 1, 1, 1)
        picture = MatteComposite(weight).mix(other, one)
        return {
            "reconstruction": squared_reconstruction(picture, target[index]),
            "exclusion": exclusion(one, other),
        }

    fit(module, terms, WEIGHTS, published_plan(steps), frames=count, seed=seed, on_step=on_step)
    one, other = module.networks.render(torch.arange(1 if shared else count))
    weights = module.weights().detach().cpu()
    if float(weights.mean()) < 0.5 - 1e-6 or not math.isfinite(float(weights.mean())):
        return other, one, 1 - weights
    return one, other, weights
