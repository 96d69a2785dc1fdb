"""Estimate the airlight as a field: brighter near the sun or a lamp, and of another tint elsewhere.

Where the haze is opaque a frame shows the airlight itself. Such places are even, as haze has no
texture; they change over the picture as slowly as light does; and they are connected to the
brightest haze. The transmission is no test for them, because its smooth estimate never falls to
zero in a sky (0.4 in two real fogs); it only weighs them. Without an opaque place, the highlights
may tell the field, as they tell the one colour in :mod:`stages.dehaze.airlight`, but only if they
agree all over the picture.

Elsewhere a frame cannot tell a dimmer airlight from thinner haze before something dark. There the
field continues from the nearest places that tell, and without any it stays one colour. With haze
made by a field (15 % from left to right, a glow, two tints), up to nine tenths of the one colour's
error disappear and the clear picture gains up to 5 dB; where nothing tells, nothing changes. An
even place is a lit wall if highlights require as bright an airlight: such walls, taken for a sky,
cost 2 to 7 dB.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.dehaze.airlight import LEAST_AIRLIGHT, LEAST_THROUGH, MOST_THROUGH
from stages.dehaze.model import local_max
from stages.dehaze.veil import envelope, grid_size, transmission_of
from stages.motion.flow import box, resize
from stages.optim.losses import gradients

NODES = 6
"""Nodes of the field along the longer side."""
ROUNDS = 3
"""Rounds in which transmission and field are estimated in turn."""
WINDOW = 0.01
"""Radius in which evenness is measured, in parts of the longer side."""
EVEN_DEVIATION = 0.012
"""Standard deviation below which a place is even, in values of [0, 1]."""
STEEPEST_LIGHT = 1.0
"""Largest change of log brightness by a light, over the longer side of the picture."""
LEAST_EVENNESS = 0.3
"""Least evenness of the places of an opaque sky, 0 to 1."""
SEED_BRIGHTNESS = 0.95
"""Least brightness of the places from which a sky spreads, in parts of the brightest airlight."""
CROSSED_GAP = 0.03
"""Widest gap, such as a wire or a pole, that a sky crosses, in parts of the longer side."""
DIMMEST = 0.65
"""Least value of the field, in parts of the brightest airlight."""
OUTLIER_DISTANCE = 0.03
"""Distance from the field, in log brightness, from which a place is more likely a thing."""
DOUBTED_VIEW = 0.4
"""How sure it may seem that the airlight is in view, 0 to 1, without being believed.

Lit walls, taken for a sky, came to 0.36.
"""
DOUBTED_PART = 0.01
"""Part of the picture up to which airlight in view is not believed."""
BELIEVED_PART = 0.03
"""Part of the picture from which airlight in view is believed."""
FIELD_STIFFNESS = 3e-4
"""Weight of the field's differences between nodes, where all of the picture shows the airlight."""
PULL_TO_CONSTANT = 1e-5
"""Weight of the field's difference from one colour, in the same case."""
HIGHLIGHT_PART = 0.01
"""Part of the haze in a region of the picture in which highlights may be above white."""
SURFACE_DISTANCE = 0.02
"""Distance, in log brightness, up to which a region fits a smooth surface."""
LEAST_AGREEMENT = 0.9
"""Least part of the haze that has to fit it."""
LEAST_HAZE_TRANSMISSION = 0.8
"""Mean transmission above which there is too little haze to tell its light."""
CHANCE_OFFSET = 0.015
"""Log brightness by which a field differs from one colour by chance. Twice as much counts fully."""
LEAST_SIDE = 16
"""Least side, in pixels, of pictures that have a field."""
TURNS = 6
"""Turns of the re-weighted fits."""
FIRST_ENVELOPE_TURNS = 10
"""Turns of the first envelope of the transmission; later ones start from the one before."""


def nodes_of(size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the field's grid for pictures of ``size``."""
    longer = max(size)
    return max(1, round(NODES * size[0] / longer)), max(1, round(NODES * size[1] / longer))


def find_field(frames: Tensor, airlight: Tensor, black: float, seen: float) -> Tensor:
    """Estimate the airlight's field ``(1, 3, h, w)``; without evidence return ``airlight`` itself.

    frames: working pictures ``(T, 3, H, W)``. airlight: the one colour, ``(1, 3, 1, 1)``. black:
    see :func:`stages.dehaze.veil.transmission_of`. seen: how sure it is that the airlight is in
    view, 0 to 1, from :func:`stages.dehaze.airlight.find_airlight`; otherwise an even place is
    rather a lit wall.
    """
    size = (frames.shape[-2], frames.shape[-1])
    if min(nodes_of(size)) < 2 or min(size) < LEAST_SIDE:
        return airlight
    values = resize(frames, grid_size(size)).clamp_min(1e-3).log().double() - airlight.log()
    sky = _opaque_places(frames, values)
    in_view = min(1.0, (seen - DOUBTED_VIEW) / (1 - DOUBTED_VIEW) * 2)
    sure = in_view * min(1.0, (float(sky.mean()) - DOUBTED_PART) / (BELIEVED_PART - DOUBTED_PART))
    if seen <= DOUBTED_VIEW or sure <= 0:
        return _field_by_white(frames, airlight, black)
    field = airlight
    log: Tensor | None = None
    for _ in range(ROUNDS):
        log = envelope(frames, field, start=log, turns=_envelope_turns(log))
        weight = sky * (1 - log.exp().clamp(0, 1)).square()
        field = _airlight_of(airlight, sure * _fitted(values, weight, nodes_of(size)))
    return field


def _opaque_places(frames: Tensor, values: Tensor) -> Tensor:
    """Return how likely places show opaque haze, such as a sky, ``(T, 1, h, w)`` from 0 to 1.

    They are even, nearly as bright as the airlight, and connected to the brightest haze.

    frames: ``(T, 3, H, W)``. values: their log colours relative to the airlight, at the size of
    the envelope's grid, ``(T, 3, h, w)``.
    """
    bright = values.mean(1, keepdim=True).exp()
    even = resize(evenness(frames), (values.shape[-2], values.shape[-1])).double()
    candidates = even * (bright > DIMMEST) > LEAST_EVENNESS
    return even * reached(candidates, bright > SEED_BRIGHTNESS)


def _envelope_turns(start: Tensor | None) -> int:
    """Return the turns of an envelope: half as many from an earlier answer, which is near."""
    return FIRST_ENVELOPE_TURNS if start is None else FIRST_ENVELOPE_TURNS // 2


def _airlight_of(airlight: Tensor, offset: Tensor) -> Tensor:
    """Return the airlight of a log field ``(1, 3, h, w)`` around one colour ``(1, 3, 1, 1)``.

    A field that hardly differs from the one colour, which is chance, becomes that colour.
    """
    told = (float(offset.abs().max()) - CHANCE_OFFSET) / CHANCE_OFFSET
    log = airlight.log() + min(1.0, max(0.0, told)) * offset
    return log.exp().clamp(LEAST_AIRLIGHT, 1).float()


def _field_by_white(frames: Tensor, airlight: Tensor, black: float) -> Tensor:
    """Return the airlight's field by the rule that every part of the pictures has something white.

    Most regions of a picture contain no white, and their brightest values then lie anywhere below.
    So the field is accepted only if nearly all regions fit one smooth surface, which is no chance;
    otherwise ``airlight`` is returned.
    """
    size = (frames.shape[-2], frames.shape[-1])
    nodes = nodes_of(size)
    field = airlight
    log: Tensor | None = None
    for _ in range(ROUNDS + 1):
        log = envelope(frames, field, start=log, turns=_envelope_turns(log))
        through = resize(transmission_of(log, black), size).clamp(LEAST_THROUGH, MOST_THROUGH)
        brightest = _highlights(frames, through, nodes)
        offset = (brightest / airlight).log().double().flatten(2)[0].T
        thick = F.adaptive_avg_pool2d(1 - through, nodes).square().mean((0, 1))
        thick = thick.double().flatten()[:, None]
        surface, missed = _smooth_surface(offset, thick, nodes)
        fits = float((thick * (missed < SURFACE_DISTANCE)).sum() / thick.sum()) >= LEAST_AGREEMENT
        too_dim = float(surface.min()) < math.log(DIMMEST)
        # Where there is hardly any haze, the light varies over the things themselves.
        if not fits or too_dim or float(through.mean()) > LEAST_HAZE_TRANSMISSION:
            return airlight
        field = _airlight_of(airlight, surface.T.view(1, 3, *nodes))
    return field


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
    found = torch.empty(1, 3, *parts)
    for i, (top, bottom) in enumerate(pairwise(rows)):
        for j, (left, right) in enumerate(pairwise(columns)):
            thick = 1 - transmission[..., top:bottom, left:right].flatten()
            part = least[..., top:bottom, left:right].transpose(0, 1).flatten(1)
            values, order = part.sort(1, descending=True)
            share = thick[order].cumsum(1) / thick.sum()
            at = (share < HIGHLIGHT_PART).sum(1, keepdim=True).clamp(max=len(thick) - 1)
            found[0, :, i, j] = values.gather(1, at)[:, 0]
    return found.clamp(LEAST_AIRLIGHT, 1)


def reached(candidates: Tensor, seeds: Tensor) -> Tensor:
    """Return the candidates that are connected to the seeds among them, ``(T, 1, h, w)``.

    A connection may cross gaps up to :data:`CROSSED_GAP`.

    candidates, seeds: ``(T, 1, h, w)`` of bool. The result is 0 or 1, as float.
    """
    gap = max(1, round(CROSSED_GAP * max(candidates.shape[-2:])))
    found = (candidates & seeds).float()
    while True:
        further = local_max(found, gap) * candidates
        if torch.equal(further, found):
            return found
        found = further


def evenness(frames: Tensor) -> Tensor:
    """Return how even, and how slowly changing, places are, ``(T, 1, H, W)`` from 0 to 1."""
    longer = max(frames.shape[-2:])
    radius = max(1, round(WINDOW * longer))
    gray = frames.mean(1, keepdim=True)
    mean = box(gray, radius)
    rough = (box(gray.square(), radius) - mean.square()).clamp_min(0)
    log = mean.clamp_min(1e-3).log()
    reach = 2 * radius
    padded = F.pad(log, (reach,) * 4, mode="replicate")
    across = padded[..., reach:-reach, 2 * reach :] - padded[..., reach:-reach, : -2 * reach]
    down = padded[..., 2 * reach :, reach:-reach] - padded[..., : -2 * reach, reach:-reach]
    slope = (across.square() + down.square()) * (longer / (2 * reach * STEEPEST_LIGHT)) ** 2
    return torch.exp(-rough / EVEN_DEVIATION**2 - slope)


def _fitted(offset: Tensor, weight: Tensor, nodes: tuple[int, int]) -> Tensor:
    """Fit the log field ``(1, 3, *nodes)`` to log colours, both relative to the one colour.

    Minimises, for values y, the field g and its interpolation B g, with re-weighted least squares::

        mean(weight d² log(1 + |y - B g|² / d²)) + s |difference of g|² + c |g - mean|²

    where d is :data:`OUTLIER_DISTANCE`, s is :data:`FIELD_STIFFNESS` and c is
    :data:`PULL_TO_CONSTANT`.

    offset: log colours ``(T, 3, h, w)``. weight: how sure each place is to show the
    airlight, ``(T, 1, h, w)``.
    """
    count = nodes[0] * nodes[1]
    size = (offset.shape[-2], offset.shape[-1])
    unit = torch.eye(count, dtype=torch.float64).view(count, 1, *nodes)
    basis = F.interpolate(unit, size=size, mode="bicubic", align_corners=False).flatten(1)
    steps = torch.cat([d.flatten(1) for d in gradients(unit)], 1)
    identity = torch.eye(count, dtype=torch.float64)
    held = FIELD_STIFFNESS * steps @ steps.T + PULL_TO_CONSTANT * identity
    values, seen = offset.flatten(2), weight.flatten(2)
    trusted = seen
    found = torch.zeros(3, count, dtype=torch.float64)
    for _ in range(TURNS):
        total = trusted.mean().clamp_min(1e-12)
        middle = (trusted * values).mean((0, 2), keepdim=True) / total
        matrix = (basis * trusted.mean((0, 1))) @ basis.T / basis.shape[1] + held
        right = basis @ (trusted * (values - middle)).mean(0).T / basis.shape[1]
        found = torch.linalg.solve(matrix, right).T + middle[0]
        missed = (values - found @ basis).square().mean(1, keepdim=True)
        trusted = seen / (1 + missed / OUTLIER_DISTANCE**2)
    return found.view(1, 3, *nodes)
