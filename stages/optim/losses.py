"""Every loss by name, one equation each, and the schedules of their weights.

Pictures are ``(B, C, H, W)`` in [0, 1], weights of pixels ``(B, 1, H, W)`` in [0, 1]; each loss returns a scalar, 0 or more, whose size
does not depend on the number of pixels or frames.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Schedule = Callable[[float], float]
"""A weight as a function of progress, from 0 at the first step to 1 at the last."""


def constant(value: float) -> Schedule:
    """The same weight all along."""
    return lambda progress: value


def ramp(start: float, end: float, until: float = 1.0) -> Schedule:
    """A straight line from ``start`` to ``end``, which it reaches at progress ``until`` and then keeps."""
    return lambda progress: start + (end - start) * min(1.0, progress / until)


def warm_and_decay(warm: float) -> Schedule:
    """The learning rate's factor: up from 0 to 1 until progress ``warm``, then straight down to 0 at the end.

    Never quite 0, so that the first and the last step do something.
    """
    return lambda progress: max(
        1e-3,
        min(progress / warm if warm > 0 else 1.0, (1 - progress) / (1 - warm) if warm < 1 else 1.0),
    )


def reconstruction(picture: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """How far a picture, or a mixture of layers, is from the input: ``mean(v |x - I|)``, ``v`` is 1 unless given."""
    error = (picture - target).abs()
    return error.mean() if weight is None else (weight * error).mean()


def squared_reconstruction(picture: Tensor, target: Tensor) -> Tensor:
    """``mean((x - I)²)``, as published for Double-DIP (Gandelsman et al. 2019, eq. 2)."""
    return F.mse_loss(picture, target)


def agreement(layer: Tensor, given: Tensor, trust: Tensor) -> Tensor:
    """How far a layer is from one that is already believed in part: ``mean(u |x - g|)``, trust ``u`` per pixel."""
    return (trust * (layer - given).abs()).mean()


def gradients(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the right and lower neighbour: ``(B, C, H, W - 1)`` and ``(B, C, H - 1, W)``."""
    return picture[..., :, 1:] - picture[..., :, :-1], picture[..., 1:, :] - picture[..., :-1, :]


def exclusion(one: Tensor, other: Tensor, scales: int = 3) -> Tensor:
    """Edges that two layers share (Zhang et al. 2018, eq. 4; Double-DIP, eq. 3): the mean over scales and directions of

    ``mean(tanh(|d x| / 2)² tanh(|d y| / 2)²)^(1/4)`` over all pairs of channels, each scale half as large as the one before.
    """
    values = []
    for scale in range(scales):
        if scale and min(one.shape[-2:]) >= 4:
            one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
        for d, e in zip(gradients(one), gradients(other), strict=True):
            if d.numel():
                pairs = torch.tanh(d / 2).square().unsqueeze(2) * torch.tanh(
                    e / 2
                ).square().unsqueeze(1)
                # The root's slope is infinite at nothing shared.
                values.append((pairs.mean((0, 3, 4)) + 1e-12).pow(0.25).mean())
    return torch.stack(values).mean() if values else one.sum() * 0


def mask_consistency(matte: Tensor) -> Tensor:
    """A wipe only opens: ``mean(relu(m_t - m_(t+1)))`` over consecutive frames of ``matte`` ``(T, 1, H, W)``, 0 for one frame.

    The motion of a soft edge needs no more: its progress is held by the mixture, its direction by this.
    """
    if matte.shape[0] < 2:
        return matte.sum() * 0
    return torch.relu(matte[:-1] - matte[1:]).mean()


def carried_consistency(matte: Tensor, carried: Tensor, trust: Tensor) -> Tensor:
    """A matte that moves with what it marks: ``mean(u |m_(t+1) - warp(m_t)|)``; ``carried`` is the matte brought along the flow."""
    return (trust * (matte - carried).abs()).mean()


def binary_push(matte: Tensor) -> Tensor:
    """Towards 0 or 1: ``mean(4 m (1 - m))``, 1 for a matte of one half everywhere."""
    return (4 * matte * (1 - matte)).mean()


def smoothness(picture: Tensor, guide: Tensor | None = None, edge: float = 0.05) -> Tensor:
    """Total variation ``mean(|d x|)``; with a guide ``mean(exp(-|d g| / edge) |d x|)``, which lets it jump where the guide does."""
    total = picture.sum() * 0
    for number, d in enumerate(gradients(picture)):
        if d.numel():
            step = d.abs()
            if guide is not None:
                step = step * torch.exp(
                    -gradients(guide)[number].abs().mean(1, keepdim=True) / edge
                )
            total = total + step.mean()
    return total


def curve_steadiness(curve: Tensor, given: Tensor) -> Tensor:
    """How much a curve has left the form of a given one: ``mean((d² (c - g))²) + mean((c - g)²) / 10`` for ``(n,)`` weights.

    Bends are held ten times as much as the place: the search knows a curve's form better than its offset.
    """
    moved = curve - given
    bends = moved.diff(n=2) if len(moved) > 2 else moved.new_zeros(1)
    return bends.square().mean() + 0.1 * moved.square().mean()
