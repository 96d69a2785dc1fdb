"""How far carried layers are believed, and how they are made to mix to the input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import FULL_TRUST, SIDES, Mixture, Side, project
from stages.motion.flow import box

NOISE = 0.015
"""Root mean square that carried layers may leave unexplained before they are trusted by half."""

WINDOW = 48
"""Parts of the shorter side of which one is the radius of the near mean of :func:`trust_of`."""

LEAST_RADIUS = 2
"""Least radius of that mean, in pixels."""

FLAT = 3e-4
"""Mean square gradient, in values of [0, 1] per pixel, of what is as good as flat."""


def trust_of(mixture: Mixture, layers: Pair) -> Tensor:
    """Return how far carried layers are believed, ``1 / (1 + e / NOISE²)``, in [0, 1].

    e is the mean square of what they leave unexplained around a pixel: the larger one of a mean
    over a near and over a wide square.

    layers: of the mixed frames, ``(n, 3, H, W)``, before they are made to mix to the input.
    Returns ``(n, 1, H, W)``.
    """
    frames = mixture.frames[mixture.mixed]
    weights = mixture.weight[mixture.mixed]
    radius = max(LEAST_RADIUS, round(min(mixture.size) / WINDOW))
    trusted = []
    for frame, outgoing, incoming, weight in zip(frames, *layers, weights, strict=True):
        rest = (mixture.dissolve(weight).mix(outgoing, incoming) - frame) ** 2
        near = box(rest.mean(0)[None, None], radius)
        trusted.append(1 / (1 + torch.maximum(near, box(near, radius)) / NOISE**2))
    return torch.cat(trusted)


def reconcile(mixture: Mixture, layers: Pair) -> Pair:
    """Return carried layers that mix to the input; the one more likely to be wrong moves more.

    A flow that is slightly off makes a larger error where the layer changes more from pixel to
    pixel, and it is off by more the farther the frame is from the clean one that it was carried
    from. So a layer is trusted as ``1 / (d (FLAT + g))``, with its distance d in frames and the
    mean square g of its gradient around a pixel.

    layers: of the mixed frames, ``(n, 3, H, W)``, as the result.
    """
    distance = torch.arange(
        1, mixture.count + 1, dtype=torch.float32, device=layers[0].device
    ).view(-1, 1, 1, 1)
    error_out = distance * (FLAT + _mean_square_gradient(layers[0]))
    error_in = distance.flip(0) * (FLAT + _mean_square_gradient(layers[1]))
    ratio = (error_in / error_out).sqrt_()
    return project(mixture, *layers, trust=(ratio, 1 / ratio))


def _mean_square_gradient(layer: Tensor) -> Tensor:
    """Return the mean square gradient around each pixel of ``(n, 3, H, W)``: ``(n, 1, H, W)``."""
    found = []
    for frame in layer:  # One at a time, because the temporaries take several times as much.
        padded = functional.pad(frame[None], (1, 1, 1, 1), mode="replicate")
        across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
        down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
        square = (across**2 + down**2).mean(1, keepdim=True) / 4
        found.append(box(box(square, 1), 1))
    return torch.cat(found)


def clarity(mixture: Mixture, side: Side, frame: int, others: Sequence[int]) -> Tensor:
    """Return how clear a scene is in other frames, relative to one frame, at most 1.

    The input shows a scene with the weight that the scene has in it, so its layer is worse where it
    is fainter. Of two frames the clearer one should teach the fainter one. So what a fainter frame
    brings counts by the ratio of the two weights. With a matte all count fully, because the weights
    differ within a frame.

    frame: a mixed frame. others: frames of the window in which the scene is visible.
    Returns ``(K, 1, 1, 1)`` in (0, 1].
    """
    if mixture.has_matte:
        return mixture.weight.new_ones(len(others), 1, 1, 1)
    # A few numbers, which are chosen on the CPU: a GPU would only wait for their places.
    incoming = mixture.weight.flatten().cpu()
    own = incoming if side == "incoming" else 1 - incoming
    ratio = (own[list(others)] / own[frame]).clamp(max=1)
    return ratio.view(-1, 1, 1, 1).to(mixture.weight.device)


def mix_offers(
    mixture: Mixture, frame: int, offers: Sequence[Pair], known: Pair, data: float
) -> Pair:
    """Return the layers ``(3, H, W)`` of a frame that agree with offers and mix to the input.

    offers: for each side a value ``(3, H, W)`` and its trust. known: the value of a locked side,
    which is trusted fully instead. data: weight of the mixture, relative to the trusts.
    """
    values, trusts = [], []
    for side, own, (value, trust) in zip(SIDES, known, offers, strict=True):
        locked = mixture.locked == side
        values.append(own if locked else value)
        trusts.append(torch.full_like(trust, FULL_TRUST) if locked else trust)
    model = mixture.dissolve(mixture.weight[frame], (trusts[0], trusts[1]), data)
    return model.distribute_residual(mixture.frames[frame], values[0], values[1])
