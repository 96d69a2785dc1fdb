"""The losses by name, one equation each, and the schedules of their weights.

Pictures are ``(B, C, H, W)`` in [0, 1], weights of pixels ``(B, 1, H, W)`` in [0, 1]. Each loss
returns a scalar of 0 or more, whose size does not depend on the number of pixels or frames.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Schedule = Callable[[float], float]
"""A number as a function of progress, from 0 at the first step to 1 at the end."""

LEAST_RATE = 1e-3
"""Smallest factor of the learning rate, so that the first and the last step change something."""

EXCLUSION_SCALES = 3
"""Sizes at which shared edges are counted (Zhang et al., CVPR 2018, section 3.2)."""

ROOT_FLOOR = 1e-12
"""Added under the fourth root of the exclusion loss, whose slope is infinite at zero."""

LEAST_HALVED_SIDE = 4
"""Pixels of the shorter side from which a picture is halved once more for the exclusion loss."""

EDGE = 0.05
"""Change of the guide, in values of [0, 1], that lets a picture jump e times as freely."""

CURVE_OFFSET = 0.1
"""Weight of a curve's offset, relative to 1 for its bends."""


def constant(value: float) -> Schedule:
    """Return a schedule that is ``value`` throughout."""
    return lambda progress: value


def ramp(start: float, end: float, until: float = 1.0) -> Schedule:
    """Return a straight line from ``start`` to ``end``, reached at progress ``until`` and kept."""
    return lambda progress: start + (end - start) * min(1.0, progress / until)


def warm_and_decay(warm: float) -> Schedule:
    """Return the factor of a learning rate: from 0 up to 1 until ``warm``, then down to 0.

    Both parts are straight lines. The factor is never below :data:`LEAST_RATE`.
    """

    def factor(progress: float) -> float:
        rise = progress / warm if warm > 0 else 1.0
        fall = (1 - progress) / (1 - warm) if warm < 1 else 1.0
        return max(LEAST_RATE, min(rise, fall))

    return factor


def one_until(end: float) -> Schedule:
    """Return a schedule that is 1 before progress ``end``, and 0 from there on."""
    return lambda progress: 1.0 if progress < end else 0.0


def decay_from_half(full: float) -> Schedule:
    """Return a learning rate: ``full`` for the first half, then straight down to 0 at the end."""
    return lambda progress: full * min(1.0, 2 * (1 - progress))


def reconstruction(picture: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return ``mean(v |x - I|)``: how far a picture or mixture ``x`` is from the input ``I``.

    weight: ``v`` per pixel; 1 unless given.
    """
    error = (picture - target).abs()
    return error.mean() if weight is None else (weight * error).mean()


def squared_reconstruction(picture: Tensor, target: Tensor) -> Tensor:
    """Return ``mean((x - I)²)``, Double-DIP's loss (Gandelsman et al., CVPR 2019, eq. 2).

    picture: ``x``, a picture or mixture. target: ``I``.
    """
    return F.mse_loss(picture, target)


def agreement(layer: Tensor, given: Tensor, trust: Tensor) -> Tensor:
    """Return ``mean(u |x - g|)``: how far a layer is from a known one with the trust ``u``."""
    return (trust * (layer - given).abs()).mean()


def gradients(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences to the right and to the lower neighbour.

    Their shapes are ``(B, C, H, W - 1)`` and ``(B, C, H - 1, W)``.
    """
    return picture[..., :, 1:] - picture[..., :, :-1], picture[..., 1:, :] - picture[..., :-1, :]


def exclusion(one: Tensor, other: Tensor, scales: int = EXCLUSION_SCALES) -> Tensor:
    """Return how many edges two layers share (Zhang et al. 2018, eq. 4; Double-DIP, eq. 3).

    It is the mean over scales, directions and pairs of channels of
    ``mean(tanh(|d x| / 2)² tanh(|d y| / 2)²)^(1/4)``.

    scales: how many, each half as large as the one before.
    """
    values = []
    for scale in range(scales):
        if scale and min(one.shape[-2:]) >= LEAST_HALVED_SIDE:
            one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
        for d, e in zip(gradients(one), gradients(other), strict=True):
            if d.numel():
                edges = torch.tanh(d / 2).square().unsqueeze(2)
                shared = edges * torch.tanh(e / 2).square().unsqueeze(1)
                values.append((shared.mean((0, 3, 4)) + ROOT_FLOOR).pow(0.25).mean())
    return torch.stack(values).mean() if values else one.sum() * 0


def mask_consistency(matte: Tensor) -> Tensor:
    """Return ``mean(relu(m_t - m_(t+1)))``: how much a wipe closes instead of opening.

    The mixture determines how far a soft edge has come; this loss determines its direction.

    matte: consecutive frames, ``(T, 1, H, W)``. The loss of a single frame is 0.
    """
    if matte.shape[0] < 2:
        return matte.sum() * 0
    return torch.relu(matte[:-1] - matte[1:]).mean()


def steady_matte(matte: Tensor, index: Tensor) -> Tensor:
    """Return ``mean|m_(t+1) - m_t|`` over the consecutive frames of a batch.

    Double-DIP calls it mask consistency. Other than :func:`mask_consistency`, it takes no side: the
    matte may grow or shrink, but not quickly.

    matte: ``(B, 1, H, W)``. index: the frames' numbers, ``(B,)``, rising. The loss is 0 where no
    two frames follow each other.
    """
    follows = (index.diff() == 1).nonzero()[:, 0]
    if not len(follows):
        return torch.zeros_like(matte).sum()
    return (matte[follows + 1] - matte[follows]).abs().mean()


def carried_consistency(matte: Tensor, carried: Tensor, trust: Tensor) -> Tensor:
    """Return ``mean(u |m_(t+1) - warp(m_t)|)``: how far a matte is from moving with its object.

    carried: the matte of the frame before, warped along the flow. trust: ``u``.
    """
    return (trust * (matte - carried).abs()).mean()


def binary_push(matte: Tensor) -> Tensor:
    """Return ``mean(4 m (1 - m))``: 0 for a matte of zeros and ones, 1 for one half everywhere."""
    return (4 * matte * (1 - matte)).mean()


def smoothness(picture: Tensor, guide: Tensor | None = None, edge: float = EDGE) -> Tensor:
    """Return the total variation ``mean(|d x|)``, summed over both directions.

    guide: a picture at whose edges ``x`` may jump; then it is ``mean(exp(-|d g| / edge) |d x|)``.
    edge: the difference of the guide that counts as an edge.
    """
    total = picture.sum() * 0
    for number, d in enumerate(gradients(picture)):
        if d.numel():
            step = d.abs()
            if guide is not None:
                jump = gradients(guide)[number].abs().mean(1, keepdim=True)
                step = step * torch.exp(-jump / edge)
            total = total + step.mean()
    return total


def curve_steadiness(curve: Tensor, given: Tensor) -> Tensor:
    """Return how much a curve differs from a given one, mostly in form.

    ``mean((d² (c - g))²) + mean((c - g)²) / 10``, for weights ``(n,)``. Bends count ten times as
    much as the offset, because the search finds a curve's form better than its place.
    """
    moved = curve - given
    bends = moved.diff(n=2) if len(moved) > 2 else moved.new_zeros(1)
    return bends.square().mean() + CURVE_OFFSET * moved.square().mean()
