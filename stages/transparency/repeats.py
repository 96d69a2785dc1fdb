"""Separate two repeating textures that add up in one picture.

With ``D_u I(x) = I(x + u) - I(x)``, a texture A that repeats after the shift u has ``D_u A = 0``.
So if A repeats after u and B after v, then ``D_u D_v (A + B) = 0``. No ordinary picture has such
shifts unless it repeats as a whole, so this tells a sum of two textures without a fit:

    contrast of the picture --autocorrelation--> shifts u after which much of it repeats
    D_u of the picture      --autocorrelation--> the shift v after which the rest repeats

The layers follow in closed form from all shifts of both kinds: they minimise
``mean_u |D_u A|² + mean_v |D_v (I - A)|²``, which is linear in A (conjugate gradients). Only what
repeats after both kinds of shifts remains open. An even level always does: each layer gets half of
it, as far as both stay above black.

Pictures are ``(3, H, W)``. Shifts are rows and columns, in pixels; rows are not negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from stages.mixing.layer_sum import to_space
from stages.optim.conjugate_gradients import conjugate_gradients
from stages.transparency.filters import gaussian_blur

SIDE = 192
"""Largest side of the middle part that is searched for shifts, in pixels."""
LEAST_SIDE = 48
"""Smallest side of a picture that is searched; a smaller one shows too few repeats."""
REACH = 0.25
"""Longest shift as a part of that side, so that a texture is seen at least four times."""
SHORTEST = 3
"""Length of the shortest shift: neighbouring pixels are alike in every picture."""
BLUR = 16.0
"""Standard deviation in pixels of what counts as contrast; even light repeats after any shift."""
TRIED = 8
"""Most shifts u that are tried."""
LEAST_CHANGE = 0.1
"""Least ``|D_u I|²``, in parts of that of noise, of a shift that tells two textures apart.

After a shift with less, both repeat."""
EVIDENCE = 0.03
"""Most ``|D_u D_v I|²`` of a sum of two textures, in parts of what either shift alone leaves.

Sums of drawn textures have 0.0002 to 0.03, also in the wrong space. The least of 90 photographs at
two sizes is 0.27. Checked cloth and blinds, drawn with soft edges and noise, have 0.047 to 0.09;
tartan has 0.013.
"""
LEAST_VARIANCE = 1e-4
"""Least variance of the contrast; rounding to 8 bits has 1.3e-6."""
SAME_EVIDENCE = 2.0
"""A shift is one of v's kind if it leaves at most so many times as much as v."""
MOST_SHIFTS = 8
"""Most shifts of each kind that the layers are fitted to."""
ITERATIONS = 150
"""Steps of conjugate gradients."""
EVEN_SPLIT_WEIGHT = 1e-4
"""Weight of an even division of what repeats after all shifts, relative to 1 for the shifts."""
SOLVED = 1e-9
"""Mean squared residual below which the layers count as solved."""

Shift = tuple[int, int]


@dataclass(frozen=True)
class TwoTextures:
    """The shifts after which each of two textures repeats.

    residual: the part of the picture's change that both kinds together leave, 0 for an exact sum
        (:func:`residual_in_quarters`).
    """

    first: tuple[Shift, ...]
    second: tuple[Shift, ...]
    residual: float


def texture_space(pictures: Tensor) -> str | None:
    """Return the space in which one of ``pictures`` is the clearest sum of two textures, if any is.

    pictures: ``(T, 3, H, W)``, encoded.
    """
    residuals: dict[str, float] = {}
    for space in ("gamma", "linear"):
        found = [find_textures(picture) for picture in to_space(pictures, space)]
        if sums := [each.residual for each in found if each is not None]:
            residuals[space] = min(sums)
    return min(residuals, key=residuals.__getitem__) if residuals else None


def textures_of(light: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return both layers of a picture or of a static clip, if it is the sum of two textures.

    light: ``(T, 3, H, W)`` in the space in which layers add up; so are the layers, and they add up
    to it. The texture of more contrast comes first.
    """
    textures = find_textures(light.mean(0))
    if textures is None:
        return None
    reflection = torch.minimum(separate_textures(light.mean(0), textures)[1], light)
    return light - reflection, reflection


def find_textures(picture: Tensor) -> TwoTextures | None:
    """Return the shifts of two textures, if ``picture`` ``(3, H, W)`` is their sum, else ``None``.

    It holds in the space in which the picture is given.
    """
    side = min(SIDE, *picture.shape[-2:])
    if side < LEAST_SIDE:
        return None
    values = contrast(middle(picture, side))
    noise = 2 * float(values.square().mean())
    if noise < 2 * LEAST_VARIANCE:
        return None
    reach = int(REACH * side)
    change = changes(values, reach) / noise
    usable = _long_enough(reach) & (change > LEAST_CHANGE)
    best = _best_shifts(values, change, usable, noise)
    if best is None or best.residual > EVIDENCE:
        return None
    residual = residual_in_quarters(values, best.first, best.second)
    if residual > EVIDENCE:
        return None
    # The first texture repeats after the shifts that undo what the second shift leaves.
    kinds = [
        _shifts_of_kind(_change_left(values, shift, reach, noise), usable)
        for shift in (best.second, best.first)
    ]
    return TwoTextures(kinds[0] or (best.first,), kinds[1] or (best.second,), residual)


def separate_textures(picture: Tensor, textures: TwoTextures) -> tuple[Tensor, Tensor]:
    """Return the two layers of a picture ``(3, H, W)``, that of more contrast first.

    They add up to the picture, and both lie within [0, I].
    """
    mean = picture.mean((-2, -1), keepdim=True)
    first = _solve(picture - mean, textures)
    # The level of a layer is open between what keeps it and what keeps the other above black.
    lowest = -first.amin((-2, -1), keepdim=True)
    highest = (picture - first).amin((-2, -1), keepdim=True)
    level = torch.maximum(torch.minimum(mean / 2, highest), lowest)
    first = torch.minimum((first + level).clamp_min(0), picture)
    second = picture - first
    return (first, second) if first.var() >= second.var() else (second, first)


def contrast(picture: Tensor) -> Tensor:
    """Return a picture ``(3, H, W)`` without its coarse light.

    A quadratic surface is taken off first: next to the outer edge, the blur would leave some of it.
    """
    height, width = picture.shape[-2:]
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    surfaces = torch.stack([torch.ones_like(x), x, y, x * y, x * x, y * y], -1).flatten(0, 1)
    values = picture.flatten(1).T
    fitted = surfaces @ torch.linalg.lstsq(surfaces, values).solution
    flat: Tensor = (values - fitted).T.reshape(picture.shape)
    return flat - gaussian_blur(flat[None], BLUR)[0]


def residual_in_quarters(values: Tensor, first: Shift, second: Shift) -> float:
    """Return the part of the change that both shifts leave, in the quarter where it is largest.

    It is relative to what the better of the two shifts leaves by itself. A quarter without texture
    counts as 1, because a sum of two textures is one everywhere.

    values: the contrast, ``(3, H, W)``.
    """
    both = difference(difference(values, first), second)
    parts = []
    for across in (slice(None, both.shape[-1] // 2), slice(both.shape[-1] // 2, None)):
        for down in (slice(None, both.shape[-2] // 2), slice(both.shape[-2] // 2, None)):
            residual, *alone = (
                float(centered(each, both)[:, down, across].square().mean())
                for each in (both, difference(values, first), difference(values, second))
            )
            parts.append(residual / min(alone) if min(alone) > LEAST_VARIANCE else 1.0)
    return max(parts)


def centered(values: Tensor, other: Tensor) -> Tensor:
    """Return the middle of ``values`` ``(3, H, W)`` that is as large as ``other``."""
    top, left = (
        (whole - part) // 2 for whole, part in zip(values.shape[-2:], other.shape[-2:], strict=True)
    )
    return values[:, top : top + other.shape[-2], left : left + other.shape[-1]]


def middle(picture: Tensor, side: int) -> Tensor:
    """Return the middle square of a picture ``(3, H, W)``."""
    top, left = ((length - side) // 2 for length in picture.shape[-2:])
    return picture[:, top : top + side, left : left + side]


def difference(values: Tensor, shift: Shift) -> Tensor:
    """Return ``D_u`` of ``(3, H, W)``, where both pixels lie in the picture."""
    there, here = _overlap(values, shift)
    return there - here


def changes(values: Tensor, reach: int) -> Tensor:
    """Return the mean square of :func:`difference` for every shift, ``(reach + 1, 2 reach + 1)``.

    Entry ``(a, b)`` is that of the shift ``(a, b - reach)``. Computed by Fourier transforms.
    """
    height, width = values.shape[-2:]
    size = (height + reach, width + reach)
    spectrum = torch.fft.rfft2(values.double(), size)
    squares = torch.fft.rfft2(values.double().square().sum(0), size)
    ones = torch.fft.rfft2(torch.ones(height, width, dtype=torch.double), size)
    products = torch.fft.irfft2(spectrum.abs().square().sum(0), size)
    counts = torch.fft.irfft2(ones.abs().square(), size)
    sums = torch.fft.irfft2(squares.conj() * ones + ones.conj() * squares, size)
    change: Tensor = (sums - 2 * products) / (len(values) * counts.clamp_min(1))
    columns = torch.arange(-reach, reach + 1) % size[1]
    return change[: reach + 1, columns].float()


def _overlap(values: Tensor, shift: Shift) -> tuple[Tensor, Tensor]:
    """Return views of the pixels of ``values`` ``(..., H, W)`` at both ends of a shift.

    The first view has the pixels that it leads to, the second those that it leads from.
    """
    down, right = shift
    height, width = values.shape[-2:]
    there = values[..., down:, max(0, right) : width + min(0, right)]
    here = values[..., : height - down, max(0, -right) : width - max(0, right)]
    return there, here


def _long_enough(reach: int) -> Tensor:
    """Return which shifts are long enough, one of each pair of opposites."""
    rows = torch.arange(reach + 1)[:, None]
    columns = torch.arange(-reach, reach + 1)
    return (torch.hypot(rows.float(), columns.float()) >= SHORTEST) & ((rows > 0) | (columns > 0))


def _index(shift: Shift, reach: int) -> tuple[int, int]:
    """Return the row and column of a shift in the result of :func:`changes`."""
    return shift[0], shift[1] + reach


class _ShiftPair(NamedTuple):
    """Two shifts, and the change that both leave, in parts of what the better one leaves."""

    residual: float
    first: Shift
    second: Shift


def _best_shifts(values: Tensor, change: Tensor, usable: Tensor, noise: float) -> _ShiftPair | None:
    """Return the pair of usable shifts that together leave the least change; ``None`` if none is.

    values: the contrast, ``(3, H, W)``. change: what each shift leaves, in parts of that of
    ``noise``, ``(reach + 1, 2 reach + 1)``. usable: the same shape, of bool.
    """
    reach = change.shape[0] - 1
    best: _ShiftPair | None = None
    for first in _lowest(change, usable, TRIED):
        left = _change_left(values, first, reach, noise)
        for second in _lowest(left, usable, 1):
            alone = min(float(change[_index(shift, reach)]) for shift in (first, second))
            residual = float(left[_index(second, reach)]) / alone
            if best is None or residual < best.residual:
                best = _ShiftPair(residual, first, second)
    return best


def _change_left(values: Tensor, shift: Shift, reach: int, noise: float) -> Tensor:
    """Return what every second shift leaves of a picture's change, ``(reach + 1, 2 reach + 1)``.

    values: ``(3, H, W)``. shift: the first one. The result is in parts of that of ``noise``.
    """
    return changes(difference(values, shift), reach) / (2 * noise)


def _lowest(change: Tensor, usable: Tensor, count: int) -> list[Shift]:
    """Return the usable shifts at which ``change`` has its lowest local minima, best first.

    change: by shift, ``(reach + 1, 2 reach + 1)``. usable: the same, of bool.
    """
    reach = change.shape[0] - 1
    values = torch.where(usable, change, torch.inf)
    nearby = -functional.max_pool2d(-values[None, None], 5, 1, 2)[0, 0]
    places = ((values <= nearby) & usable).nonzero()
    order = values[places[:, 0], places[:, 1]].argsort(stable=True)[:count]
    return [(int(row), int(column) - reach) for row, column in places[order]]


def _shifts_of_kind(left: Tensor, usable: Tensor) -> tuple[Shift, ...]:
    """Return all shifts of the kind of the best one.

    left: the change that each leaves, by shift, as in :func:`_lowest`.
    """
    reach = left.shape[0] - 1
    found = _lowest(left, usable, MOST_SHIFTS)
    least = min(float(left[_index(shift, reach)]) for shift in found)
    most = max(SAME_EVIDENCE * least, LEAST_CHANGE * EVIDENCE)
    return tuple(shift for shift in found if float(left[_index(shift, reach)]) <= most)


def _solve(picture: Tensor, textures: TwoTextures) -> Tensor:
    """Return the first layer of a picture ``(3, H, W)`` of mean zero, by conjugate gradients."""

    def normal(layer: Tensor) -> Tensor:
        return (
            _squared_difference(layer, textures.first)
            + _squared_difference(layer, textures.second)
            + EVEN_SPLIT_WEIGHT * layer
        )

    target = _squared_difference(picture, textures.second) + EVEN_SPLIT_WEIGHT * picture / 2
    return conjugate_gradients(normal, target, picture / 2, iterations=ITERATIONS, tolerance=SOLVED)


def _squared_difference(layer: Tensor, shifts: Sequence[Shift]) -> Tensor:
    """Return the mean over ``shifts`` of ``D_uᵀ D_u`` of a layer ``(3, H, W)``."""
    total = torch.zeros_like(layer)
    for shift in shifts:
        change = difference(layer, shift) / len(shifts)
        there, here = _overlap(total, shift)
        there.add_(change)
        here.sub_(change)
    return total
