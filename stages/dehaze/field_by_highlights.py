"""Read the airlight's field from highlights, where no place shows the airlight itself.

Every part of a picture may have something white in it. If it has, its brightest values tell the
airlight there (:func:`stages.dehaze.airlight.find_airlight` uses this for the one colour).

Most regions of a picture contain no white, and their brightest values then lie anywhere below. So
the field is accepted only if nearly all regions fit one smooth surface, which is no chance.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.dehaze.airlight import LEAST_AIRLIGHT, LEAST_THROUGH, MOST_THROUGH
from stages.dehaze.field_grid import DIMMEST, field_around, nodes_of, refined_envelope
from stages.dehaze.veil import transmission_of
from stages.motion.flow import resize

ROUNDS = 4  # in which transmission and field are estimated in turn
HIGHLIGHT_PART = 0.01
"""Part of the haze in a region of the picture in which highlights may be above white."""

# Whether the regions fit one smooth surface.
TURNS = 6  # of the re-weighted least squares
OUTLIER_DISTANCE = 0.03
"""Distance from the surface, in log brightness, at which a region's weight falls to 0.7."""
LARGEST_MISS = 0.02  # distance from the surface, in log brightness, of a region that fits it
LEAST_AGREEMENT = 0.9  # part of the haze that lies in regions that fit it
MOST_TRANSMISSION = 0.8
"""Mean transmission above which there is too little haze to tell its light.

The light then varies over the things themselves.
"""


def field_by_highlights(frames: Tensor, airlight: Tensor, black: float) -> Tensor:
    """Return the airlight's field ``(1, 3, h, w)``, or ``airlight`` if regions do not agree on one.

    frames: working pictures ``(T, 3, H, W)``. airlight: the one colour, ``(1, 3, 1, 1)``. black:
    see :func:`stages.dehaze.veil.transmission_of`.
    """
    size = (frames.shape[-2], frames.shape[-1])
    nodes = nodes_of(size)
    field = airlight
    log_transmission: Tensor | None = None
    for _ in range(ROUNDS):
        log_transmission = refined_envelope(frames, field, log_transmission)
        through = resize(transmission_of(log_transmission, black), size)
        through = through.clamp(LEAST_THROUGH, MOST_THROUGH)
        if float(through.mean()) > MOST_TRANSMISSION:
            return airlight
        brightest = _highlights(frames, through, nodes)
        offset = (brightest / airlight).log().double().flatten(2)[0].T
        haze = F.adaptive_avg_pool2d(1 - through, nodes).square().mean((0, 1))
        haze = haze.double().flatten()[:, None]
        surface = _agreed_surface(offset, haze, nodes)
        if surface is None:
            return airlight
        field = field_around(airlight, surface.T.view(1, 3, *nodes))
    return field


def _agreed_surface(offset: Tensor, haze: Tensor, nodes: tuple[int, int]) -> Tensor | None:
    """Return the smooth surface ``(N, 3)`` of the regions' colours; ``None`` if they do not agree.

    offset: of N regions in ``nodes`` rows and columns, in log brightness, ``(N, 3)``. haze: how
    much haze each has, ``(N, 1)``.
    """
    surface, missed = _smooth_surface(offset, haze, nodes)
    agreement = float((haze * (missed < LARGEST_MISS)).sum() / haze.sum())
    is_too_dim = float(surface.min()) < math.log(DIMMEST)
    return None if agreement < LEAST_AGREEMENT or is_too_dim else surface


def _smooth_surface(
    offset: Tensor, weight: Tensor, nodes: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Fit a polynomial of second degree to the regions' log colours, by re-weighted least squares.

    offset: of N regions in ``nodes`` rows and columns, ``(N, 3)``. weight: ``(N, 1)``.

    Returns the surface ``(N, 3)``, and the largest distance of each region from it, ``(N, 1)``.
    """
    y, x = (torch.linspace(-1, 1, count, dtype=torch.float64) for count in nodes)
    powers = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
    terms = torch.stack([(y[:, None] ** p * x[None] ** q).flatten() for p, q in powers], 1)
    trusted = weight
    for _ in range(TURNS):
        surface = terms @ torch.linalg.lstsq(trusted * terms, trusted * offset).solution
        missed = (offset - surface).abs().amax(1, keepdim=True)
        trusted = weight / (1 + (missed / OUTLIER_DISTANCE).square()).sqrt()
    return surface, missed


def _highlights(frames: Tensor, transmission: Tensor, parts: tuple[int, int]) -> Tensor:
    """Return the least airlight in each region of pictures, ``(1, 3, *parts)``.

    With it, all but :data:`HIGHLIGHT_PART` of a region's haze is no brighter than white. No channel
    of the clear picture is above 1, so ``A >= (I - t) / (1 - t)``, as in
    :func:`stages.dehaze.airlight.find_airlight`.

    frames: ``(T, 3, H, W)``. transmission: ``(T, 1, H, W)``. parts: rows and columns.
    """
    least = (frames - transmission) / (1 - transmission)
    rows, columns = (
        [size * k // count for k in range(count + 1)]
        for size, count in zip(frames.shape[-2:], parts, strict=True)
    )
    airlights = torch.empty(1, 3, *parts)
    for i, (top, bottom) in enumerate(pairwise(rows)):
        for j, (left, right) in enumerate(pairwise(columns)):
            haze = 1 - transmission[..., top:bottom, left:right].flatten()
            part = least[..., top:bottom, left:right].transpose(0, 1).flatten(1)
            values, order = part.sort(1, descending=True)
            share = haze[order].cumsum(1) / haze.sum()
            at = (share < HIGHLIGHT_PART).sum(1, keepdim=True).clamp(max=len(haze) - 1)
            airlights[0, :, i, j] = values.gather(1, at)[:, 0]
    return airlights.clamp(LEAST_AIRLIGHT, 1)
