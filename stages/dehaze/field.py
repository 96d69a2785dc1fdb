"""The airlight as a field: one for the whole clip, but brighter near the sun or a lamp and of another tint elsewhere.

Where the haze is opaque a frame shows the airlight itself. Such places are even, as haze has no texture; they change over the picture as
slowly as light does; and they hang together with the brightest haze. The transmission does not tell them: drawn as smoothly as it is, it
never falls to nothing in a sky (0.4 in two real fogs), and only weighs them. Without an opaque place the highlights may speak, as they do
for the one colour in :mod:`stages.dehaze.airlight`, but only if they agree all over the picture.

Everywhere else a frame cannot tell a dimmer airlight from thinner haze before something dark, so there the field is carried on from the
nearest places that speak, and without any it stays one colour. With a haze made by a field (15 % from left to right, a glow, two tints)
up to nine tenths of the one colour's error go, and the clear picture gains up to 5 dB; where nothing speaks nothing changes. An even
place is a wall with light on it, if highlights ask for as bright an airlight: taken for a sky it cost 2 to 7 dB.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.dehaze.airlight import DARKEST
from stages.dehaze.veil import envelope, grid_size, transmission_of
from stages.motion.flow import box, resize
from stages.optim.losses import gradients

NODES = 6  # of the field along the longer side
ROUNDS = 3  # of finding the transmission under the field and the field where that is low
WINDOW = 0.01  # radius in which evenness is judged, of the longer side
TEXTURE = 0.012  # standard deviation that even places have less than
STEEP = 1.0  # change of log brightness, if it went on over the longer side, that is no light's but a thing's
EVEN = 0.3  # evenness of places that an opaque sky reaches over
SEED, GAP = 0.95, 0.03  # of the brightest airlight from which a sky spreads, and what it passes over, of the longer side: wires, poles
DIMMEST = 0.65  # of the brightest airlight that the field falls to
STRAY = 0.03  # distance in log brightness from the field, from which a place is rather a thing
DOUBTFUL = 0.4  # sureness up to which the airlight is not seen; walls came to 0.36
FEW, ENOUGH = 0.01, 0.03  # part of the picture up to which the airlight in view is not believed, and from which it is
SMOOTH, CONSTANT = 3e-4, 1e-5  # stiffness of the field and its pull to one colour, against all the picture speaking
SPECKS = 0.01  # part of the haze of a part of the picture, in which highlights may be above white
TOGETHER, NEARLY_ALL = 0.02, 0.9  # distance in log brightness that parts may have from a surface, and how much of the haze must lie on it
THIN = 0.8  # mean transmission above which there is too little haze to tell its light by
SAME = 0.015  # log brightness by which a field differs from one colour by chance; from twice as much it counts in full
SMALLEST = 16  # pixels of a side, below which there is no telling
TURNS = 6  # of the re-weighted fit


def nodes_of(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the field's grid for pictures of ``size``."""
    longer = max(size)
    return max(1, round(NODES * size[0] / longer)), max(1, round(NODES * size[1] / longer))


def find_field(frames: Tensor, airlight: Tensor, black: float, seen: float) -> Tensor:
    """The airlight's field ``(1, 3, h, w)`` of working pictures ``(T, 3, H, W)``, around the one colour ``airlight`` ``(1, 3, 1, 1)``.

    Without evidence it is that colour. black: see :func:`stages.dehaze.veil.transmission_of`. seen: how sure the airlight is seen
    itself, 0 to 1, as :func:`stages.dehaze.airlight.find_airlight` has it; without that an even place is rather a wall with light on it.
    """
    size = (frames.shape[-2], frames.shape[-1])
    if min(nodes_of(size)) < 2 or min(size) < SMALLEST:
        return airlight
    coarse = grid_size(size)
    values = resize(frames, coarse).clamp_min(1e-3).log().double() - airlight.log()
    bright = values.mean(1, keepdim=True).exp()
    even = resize(evenness(frames), coarse).double()
    even = even * reached(even * (bright > DIMMEST) > EVEN, bright > SEED)
    sure = min(1.0, (seen - DOUBTFUL) / (1 - DOUBTFUL) * 2) * min(1.0, (float(even.mean()) - FEW) / (ENOUGH - FEW))
    if seen <= DOUBTFUL or sure <= 0:
        return _by_white(frames, airlight, black)
    field, log = airlight, None
    for _ in range(ROUNDS):
        log = envelope(frames, field, start=log, turns=5 if log is not None else 10)
        field = _lit(airlight, sure * _fitted(values, even * (1 - log.exp().clamp(0, 1)).square(), nodes_of(size)))
    return field


def _lit(airlight: Tensor, offset: Tensor) -> Tensor:
    """A log field ``(1, 3, h, w)`` around one colour, as an airlight; as that colour where it hardly differs, which is chance."""
    told = (float(offset.abs().max()) - SAME) / SAME
    return (airlight.log() + min(1.0, max(0.0, told)) * offset).exp().clamp(DARKEST, 1).float()


def _by_white(frames: Tensor, airlight: Tensor, black: float) -> Tensor:
    """The field under which the brightest thing in nearly every part of the pictures is white; ``airlight`` where no slow one does that.

    That of some parts it is not is the rule, and then they lie anywhere below: only where nearly all of them lie on one surface with few
    bends can this be no chance.
    """
    size, nodes = (frames.shape[-2], frames.shape[-1]), nodes_of((frames.shape[-2], frames.shape[-1]))
    field, log = airlight, None
    y, x = (torch.linspace(-1, 1, count, dtype=torch.float64) for count in nodes)
    powers = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
    bends = torch.stack([(y[:, None] ** p * x[None] ** q).flatten() for p, q in powers], 1)
    for _ in range(ROUNDS + 1):
        log = envelope(frames, field, start=log, turns=5 if log is not None else 10)
        through = resize(transmission_of(log, black), size).clamp(0.02, 0.98)
        offset = (_highlights(frames, through, nodes) / airlight).log().double().flatten(2)[0].T
        thick = F.adaptive_avg_pool2d(1 - through, nodes).square().mean((0, 1)).double().flatten()[:, None]
        trusted = thick
        for _ in range(TURNS):
            surface = bends @ torch.linalg.lstsq(trusted * bends, trusted * offset).solution
            missed = (offset - surface).abs().amax(1, keepdim=True)
            trusted = thick / (1 + (missed / STRAY).square()).sqrt()
        together = float((thick * (missed < TOGETHER)).sum() / thick.sum()) >= NEARLY_ALL
        # Where hardly any haze is, light falls off on the things themselves.
        if not together or float(surface.min()) < math.log(DIMMEST) or float(through.mean()) > THIN:
            return airlight
        field = _lit(airlight, surface.T.view(1, 3, *nodes))
    return field


def _highlights(frames: Tensor, transmission: Tensor, parts: tuple[int, int]) -> Tensor:
    """The least airlight in parts of pictures, ``(1, 3, *parts)``, under which but SPECKS of the haze there is no more than white.

    See :func:`stages.dehaze.airlight.find_airlight`: no channel of the clear picture is above 1, so ``A >= (I - t) / (1 - t)``.
    """
    least = (frames - transmission) / (1 - transmission)
    rows, columns = ([size * k // count for k in range(count + 1)] for size, count in zip(frames.shape[-2:], parts, strict=True))
    found = torch.empty(1, 3, *parts)
    for i, (top, bottom) in enumerate(pairwise(rows)):
        for j, (left, right) in enumerate(pairwise(columns)):
            thick = 1 - transmission[..., top:bottom, left:right].flatten()
            values, order = least[..., top:bottom, left:right].transpose(0, 1).flatten(1).sort(1, descending=True)
            share = thick[order].cumsum(1) / thick.sum()
            at = (share < SPECKS).sum(1, keepdim=True).clamp(max=len(thick) - 1)
            found[0, :, i, j] = values.gather(1, at)[:, 0]
    return found.clamp(DARKEST, 1)


def reached(open_: Tensor, seeds: Tensor) -> Tensor:
    """The open places ``(T, 1, h, w)`` that can be reached from the seeds among them."""
    gap = max(1, round(GAP * max(open_.shape[-2:])))
    found = (open_ & seeds).float()
    while True:
        further = F.max_pool2d(found, 2 * gap + 1, 1, gap) * open_
        if torch.equal(further, found):
            return found
        found = further


def evenness(frames: Tensor) -> Tensor:
    """How even places of pictures ``(T, 3, H, W)`` are, and how slowly they change, ``(T, 1, H, W)`` in [0, 1]."""
    longer = max(frames.shape[-2:])
    radius = max(1, round(WINDOW * longer))
    grey = frames.mean(1, keepdim=True)
    mean = box(grey, radius)
    rough = (box(grey.square(), radius) - mean.square()).clamp_min(0)
    log = mean.clamp_min(1e-3).log()
    reach = 2 * radius
    padded = F.pad(log, (reach,) * 4, mode="replicate")
    across = padded[..., reach:-reach, 2 * reach :] - padded[..., reach:-reach, : -2 * reach]
    down = padded[..., 2 * reach :, reach:-reach] - padded[..., : -2 * reach, reach:-reach]
    slope = (across.square() + down.square()) * (longer / (2 * reach * STEEP)) ** 2
    return torch.exp(-rough / TEXTURE**2 - slope)


def _fitted(offset: Tensor, weight: Tensor, nodes: tuple[int, int]) -> Tensor:
    """The log field on its nodes ``(1, 3, *nodes)``, from log colours ``(T, 3, h, w)``, both against the one colour.

    weight: how far places are the airlight's, ``(T, 1, h, w)``. Minimises, for values y and the field's interpolation B g, by re-weighted
    least squares ``mean(weight STRAY² log(1 + |y - B g|² / STRAY²)) + SMOOTH |d g|² + CONSTANT |g - mean|²``.
    """
    count, size = nodes[0] * nodes[1], (offset.shape[-2], offset.shape[-1])
    unit = torch.eye(count, dtype=torch.float64).view(count, 1, *nodes)
    basis = F.interpolate(unit, size=size, mode="bicubic", align_corners=False).flatten(1)
    steps = torch.cat([d.flatten(1) for d in gradients(unit)], 1)
    held = SMOOTH * steps @ steps.T + CONSTANT * torch.eye(count, dtype=torch.float64)
    values, seen = offset.flatten(2), weight.flatten(2)
    trusted, found = seen, torch.zeros(3, count, dtype=torch.float64)
    for _ in range(TURNS):
        middle = (trusted * values).mean((0, 2), keepdim=True) / trusted.mean().clamp_min(1e-12)
        matrix = (basis * trusted.mean((0, 1))) @ basis.T / basis.shape[1] + held
        right = basis @ (trusted * (values - middle)).mean(0).T / basis.shape[1]
        found = torch.linalg.solve(matrix, right).T + middle[0]
        missed = (values - found @ basis).square().mean(1, keepdim=True)
        trusted = seen / (1 + missed / STRAY**2)
    return found.view(1, 3, *nodes)
