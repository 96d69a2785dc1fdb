"""Read the airlight's field where haze is opaque, such as in a sky.

A frame shows the airlight itself there. Such places are even, because haze has no texture. They
change over the picture as slowly as light does, and they are connected to the brightest haze.

The transmission is no test for them, because its smooth estimate never falls to zero in a sky (0.4
in two real fogs). It only weighs them.

A lit wall is even, too. It is told from a sky by highlights that require as bright an airlight.
Such walls, taken for a sky, cost 2 to 7 dB.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.dehaze.field_grid import DIMMEST, field_around, nodes_of, refined_envelope
from stages.dehaze.model import fraction_between
from stages.motion.flow import box, box_max, resize
from stages.optim.losses import gradients

# Which places are even.
EVENNESS_RADIUS = 0.01  # of the square in which evenness is measured, in parts of the longer side
EVEN_DEVIATION = 0.012
"""Standard deviation in that square, in values of [0, 1], that lowers evenness to 1/e."""
STEEPEST_LIGHT = 1.0
"""Change of log brightness over the picture's longer side that lowers evenness to 1/e.

Light changes more slowly over a picture.
"""

# Which even places are opaque haze.
LEAST_EVENNESS = 0.3  # of a place of a sky, 0 to 1
SEED_BRIGHTNESS = 0.95
"""Least brightness of the places from which a sky spreads, in parts of the brightest airlight."""
CROSSED_GAP = 0.03
"""Widest gap, such as a wire or a pole, that a sky crosses, in parts of the longer side."""

# Whether opaque haze is believed.
DOUBTED_VIEW = 0.4
"""Certainty that the airlight is in view, 0 to 1, up to which a sky is not believed.

Lit walls, taken for a sky, came to 0.36.
"""
BELIEVED_VIEW = 0.7  # the same from which a sky is believed
DOUBTED_PART = 0.01  # part of the picture up to which a sky is not believed
BELIEVED_PART = 0.03  # the same from which it is believed

# How the field is fitted to it. The weights are relative to a sky that fills the picture.
ROUNDS = 3  # in which transmission and field are estimated in turn
TURNS = 6  # of the re-weighted least squares in each round
OUTLIER_DISTANCE = 0.03
"""Distance from the field, in log brightness, at which a place counts half: it may be a thing."""
STIFFNESS = 3e-4  # weight of the squared differences between neighbouring nodes
PULL_TO_CONSTANT = 1e-5  # weight of the squared differences between the nodes and their mean


def opaque_places(frames: Tensor, offset: Tensor) -> Tensor:
    """Return how likely places show opaque haze, ``(T, 1, h, w)`` from 0 to 1.

    They are even, nearly as bright as the airlight, and connected to the brightest haze.

    frames: ``(T, 3, H, W)`` in [0, 1]. offset: their log colours minus that of the airlight, at the
    size of the envelope's grid, ``(T, 3, h, w)``.
    """
    brightness = offset.mean(1, keepdim=True).exp()
    even = resize(evenness(frames), (offset.shape[-2], offset.shape[-1])).double()
    candidates = even * (brightness > DIMMEST) > LEAST_EVENNESS
    return even * reached(candidates, brightness > SEED_BRIGHTNESS)


def trust_in_sky(opaque: Tensor, in_view: float) -> float:
    """Return how far opaque places are believed to show the airlight, 0 to 1.

    opaque: from :func:`opaque_places`. in_view: how sure it is that the airlight is in view, from 0
    to 1.
    """
    extent = fraction_between(float(opaque.mean()), DOUBTED_PART, BELIEVED_PART)
    return fraction_between(in_view, DOUBTED_VIEW, BELIEVED_VIEW) * extent


def field_by_sky(
    frames: Tensor, airlight: Tensor, offset: Tensor, opaque: Tensor, trust: float
) -> Tensor:
    """Return the airlight's field ``(1, 3, h, w)``, fitted to opaque places.

    frames, offset: as in :func:`opaque_places`. airlight: the one colour, ``(1, 3, 1, 1)``.
    opaque: from :func:`opaque_places`. trust: from :func:`trust_in_sky`.
    """
    nodes = nodes_of((frames.shape[-2], frames.shape[-1]))
    field = airlight
    log_transmission: Tensor | None = None
    for _ in range(ROUNDS):
        log_transmission = refined_envelope(frames, field, log_transmission)
        haze = 1 - log_transmission.exp().clamp(0, 1)
        weight = opaque * haze.square()
        field = field_around(airlight, trust * _fitted(offset, weight, nodes))
    return field


def reached(candidates: Tensor, seeds: Tensor) -> Tensor:
    """Return the candidates that are connected to the seeds among them, ``(T, 1, h, w)``.

    A connection may cross gaps up to :data:`CROSSED_GAP`.

    candidates, seeds: ``(T, 1, h, w)`` of bool. The result is 0 or 1, as float.
    """
    gap = max(1, round(CROSSED_GAP * max(candidates.shape[-2:])))
    connected = (candidates & seeds).float()
    while True:
        further = box_max(connected, gap) * candidates
        if torch.equal(further, connected):
            return connected
        connected = further


def evenness(frames: Tensor) -> Tensor:
    """Return how even, and how slowly changing, places are, ``(T, 1, H, W)`` from 0 to 1.

    frames: ``(T, 3, H, W)`` in [0, 1].
    """
    longer = max(frames.shape[-2:])
    radius = max(1, round(EVENNESS_RADIUS * longer))
    gray = frames.mean(1, keepdim=True)
    mean = box(gray, radius)
    variance = (box(gray.square(), radius) - mean.square()).clamp_min(0)
    squared_slope = _squared_differences(mean.clamp_min(1e-3).log(), 2 * radius)
    steepness = squared_slope * (longer / (4 * radius * STEEPEST_LIGHT)) ** 2
    return torch.exp(-variance / EVEN_DEVIATION**2 - steepness)


def _squared_differences(values: Tensor, reach: int) -> Tensor:
    """Return the squared length of central differences over ``2 reach`` pixels, ``(T, 1, H, W)``.

    values: ``(T, 1, H, W)``.
    """
    padded = F.pad(values, (reach,) * 4, mode="replicate")
    across = padded[..., reach:-reach, 2 * reach :] - padded[..., reach:-reach, : -2 * reach]
    down = padded[..., 2 * reach :, reach:-reach] - padded[..., : -2 * reach, reach:-reach]
    return across.square() + down.square()


def _fitted(offset: Tensor, weight: Tensor, nodes: tuple[int, int]) -> Tensor:
    """Fit the field's offset ``(1, 3, *nodes)`` to log colours by re-weighted least squares.

    Minimises, for offsets y of the places, the field g and its interpolation B g::

        mean(weight d² log(1 + |y - B g|² / d²)) + s |difference of g|² + c |g - mean|²

    where d is :data:`OUTLIER_DISTANCE`, s is :data:`STIFFNESS` and c is :data:`PULL_TO_CONSTANT`.

    offset: as in :func:`opaque_places`. weight: how sure each place is to show the airlight,
    ``(T, 1, h, w)``.
    """
    basis, penalty = _grid_system(nodes, (offset.shape[-2], offset.shape[-1]))
    values = offset.flatten(2)
    sure = weight.flatten(2)
    trusted = sure
    field = values.new_zeros(3, len(basis))
    for _ in range(TURNS):
        total = trusted.mean().clamp_min(1e-12)
        middle = (trusted * values).mean((0, 2), keepdim=True) / total
        matrix = (basis * trusted.mean((0, 1))) @ basis.T / basis.shape[1] + penalty
        right = basis @ (trusted * (values - middle)).mean(0).T / basis.shape[1]
        field = torch.linalg.solve(matrix, right).T + middle[0]
        missed = (values - field @ basis).square().mean(1, keepdim=True)
        trusted = sure / (1 + missed / OUTLIER_DISTANCE**2)
    return field.view(1, 3, *nodes)


def _grid_system(nodes: tuple[int, int], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the interpolation of a field, and the matrix of its penalties, in double precision.

    The interpolation has a row for each of N nodes and a column for each place, ``(N, h w)``. The
    matrix is ``(N, N)``.

    nodes: rows and columns of the field. size: rows and columns of the places, (h, w).
    """
    count = nodes[0] * nodes[1]
    unit = torch.eye(count, dtype=torch.float64).view(count, 1, *nodes)
    basis = F.interpolate(unit, size=size, mode="bicubic", align_corners=False).flatten(1)
    steps = torch.cat([each.flatten(1) for each in gradients(unit)], 1)
    identity = torch.eye(count, dtype=torch.float64)
    return basis, STIFFNESS * steps @ steps.T + PULL_TO_CONSTANT * identity
