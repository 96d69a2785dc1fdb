"""Measure how much in a picture speaks for haze, and the colour that haze shows over dark things.

Haze lifts black, and the more so the farther away a thing is. In a clear picture nearly every
textured window holds something dark, near or far (the dark channel prior: He et al., CVPR 2009,
section 3). Three floors tell hazy and clear pictures apart: that of the whole picture, that of all
its textured windows but the darkest tenth, and that of the upper part of the picture, which is
mostly the farthest. Windows without texture, such as a wall or a sky, tell nothing: they may just
be bright.

A clear picture may have no black in it at all: a sunlit slope, a lit bridge at dusk, a drawing in
pale ink. Its floors are then low, and much the same everywhere, whereas light haze grows with the
distance. So low floors are believed only if the upper part of the picture has a higher one.

The weights and floors were chosen on 91 clear pictures, 15 hazy ones and 80 with made haze.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.dehaze.model import fraction_between, local_max, local_mean, spread
from stages.optim.statistics import weighted_quantile

WINDOW = 0.022
"""Radius of a window, in parts of the longer side."""
HALF_TEXTURE_CONTRAST = 0.1
"""Standard deviation at which texture counts half, in parts of the window's largest bound."""
HALF_TEXTURE_NOISE = 0.01
"""Standard deviation at which texture counts half because of noise, in values of [0, 1]."""
BLACK_PART = 1e-3
"""Part of the picture, its darkest pixels, that shows what black is lifted to."""
DARKER_PART = 0.1
"""Part of the textured windows that may be darker than their floor."""
BANDS = 6
"""Number of bands of the picture, from the top."""
LEAST_TEXTURE = 0.15
"""Mean texture from which a band tells something."""
WIDE_WEIGHT, WHOLE_WEIGHT, UPPER_WEIGHT = 0.35, 0.45, 0.2
"""Weights of the floors of textured windows, of the whole picture and of its upper part."""
NO_HAZE_FLOOR = 0.15
"""Weighted mean of the floors up to which there is no haze."""
LIGHT_HAZE_FLOOR = 0.19
"""The same in light haze."""
SURE_HAZE_FLOOR = 0.28
"""The same from which haze is sure."""
DENSE_HAZE_FLOOR = 0.35
"""The same from which haze need not grow with the distance."""
LIGHT_HAZE_REMOVAL = 0.7
"""Part of a light haze's optical depth that is removed; more makes a picture too dark."""
EVEN_FLOOR_RATIO = 1.1
"""Ratio of the upper part's floor to all windows' up to which haze does not grow with distance."""
RISING_FLOOR_RATIO = 1.3
"""The same ratio from which haze surely grows with the distance."""
SURE_BLUENESS = 0.1
"""Log ratio of blue to red by which all windows have to be bluer than the airlight."""
AGREED_RANGE = 0.06
"""Range of that ratio over the windows up to which it is believed even if it is smaller."""
DISAGREED_RANGE = 0.1
"""The same range from which it is not."""


@dataclass(frozen=True)
class Floors:
    """The darkest things in the windows around the pixels of working pictures.

    channels: the least value of each channel, in parts of the airlight, ``(T, 3, h, w)``.
    veil: the largest veil that the darkest thing allows, ``(T, 1, h, w)`` in parts of the airlight.
    texture: how much texture the window has, ``(T, 1, h, w)`` from 0 to 1; the more, the more it
        tells.
    black: the veil over the darkest pixels of all.
    """

    channels: Tensor
    veil: Tensor
    texture: Tensor
    black: float


def find_floors(frames: Tensor, airlight: Tensor) -> Floors:
    """Measure the floors of working pictures ``(T, 3, h, w)``.

    airlight: ``(1, 3, 1, 1)`` or a field, see :func:`stages.dehaze.model.spread`.
    """
    size = (frames.shape[-2], frames.shape[-1])
    radius = max(1, round(WINDOW * max(size)))
    bounds = (1 - frames / spread(airlight, size).clamp_min(1e-3)).clamp(-0.2, 1)
    bound = bounds.amax(1).flatten()
    black = 1 - float(bound.kthvalue(max(1, round((1 - BLACK_PART) * len(bound)))).values)
    # A single dark pixel may be noise.
    smooth = F.avg_pool2d(F.pad(bounds, (1,) * 4, mode="replicate"), 3, 1)
    highest = local_max(smooth, radius)
    through = smooth.amax(1, keepdim=True)
    most = highest.amax(1, keepdim=True).clamp(0.05, 1)
    mean, square = local_mean(through, radius), local_mean(through.square(), radius)
    variance = (square - mean.square()).clamp_min(0)
    relative = variance / most.square()
    noise = HALF_TEXTURE_NOISE**2
    texture = relative / (relative + HALF_TEXTURE_CONTRAST**2) * (variance / (variance + noise))
    return Floors((1 - highest).clamp(0, 1), 1 - most, texture, max(0.0, black))


def evidence(floors: Floors) -> float:
    """Return the part of the optical depth under these floors that is believed, 0 to 1."""
    wide = quantile_or_zero(floors.veil, floors.texture, DARKER_PART)
    upper = _upper_floor(floors)
    floor = WIDE_WEIGHT * wide + WHOLE_WEIGHT * floors.black + UPPER_WEIGHT * upper
    rises = fraction_between(upper / max(wide, 1e-3), EVEN_FLOOR_RATIO, RISING_FLOOR_RATIO)
    dense = fraction_between(floor, SURE_HAZE_FLOOR, DENSE_HAZE_FLOOR)
    return _believed(floor) * max(rises, dense)


def _believed(floor: float) -> float:
    """Return the part of the optical depth that the mean floor alone speaks for, 0 to 1.

    It rises to :data:`LIGHT_HAZE_REMOVAL` in light haze, and from there on to 1 where haze is sure.
    """
    if floor <= LIGHT_HAZE_FLOOR:
        light = (floor - NO_HAZE_FLOOR) / (LIGHT_HAZE_FLOOR - NO_HAZE_FLOOR)
        return LIGHT_HAZE_REMOVAL * max(0.0, light)
    rest = (1 - LIGHT_HAZE_REMOVAL) * (floor - LIGHT_HAZE_FLOOR)
    return min(1.0, LIGHT_HAZE_REMOVAL + rest / (SURE_HAZE_FLOOR - LIGHT_HAZE_FLOOR))


def _upper_floor(floors: Floors) -> float:
    """Return the floor that all of the upper textured bands reach.

    A third band may have half of it: the floor may fade by half until there.
    """
    height = floors.veil.shape[-2]
    cuts = [height * k // BANDS for k in range(BANDS + 1)]
    found = []
    for top, bottom in zip(cuts, cuts[1:], strict=False):
        veil, texture = floors.veil[..., top:bottom, :], floors.texture[..., top:bottom, :]
        if texture.numel() and float(texture.mean()) > LEAST_TEXTURE:
            found.append(quantile_or_zero(veil, texture, DARKER_PART))
    return min(found[0], found[1], 2 * found[2]) if len(found) > 2 else 0.0


def veil_color(floors: Floors, airlight: Tensor) -> Tensor:
    """Return ``airlight`` ``(1, 3, 1, 1)`` with the colour that the veil shows over dark things.

    Over black a pixel shows the airlight's colour. Most scenes are rather warm, so reddish floors
    tell nothing. But where all veiled windows are bluer than the airlight, the air itself is blue;
    and where all of them agree, they show its colour exactly.

    floors: measured under ``airlight``.
    """
    half = quantile_or_zero(floors.veil, floors.texture, 0.5)
    weight = floors.texture * (floors.veil > half)
    least = floors.channels + 0.01
    blue, green = ((least[:, c : c + 1] / least[:, :1]).log() for c in (2, 1))
    parts = (DARKER_PART, 0.5, 1 - DARKER_PART)
    low, middle, high = (quantile_or_zero(blue, weight, part) for part in parts)
    agreement = (DISAGREED_RANGE - (high - low)) / (DISAGREED_RANGE - AGREED_RANGE)
    sure = min(1.0, max(0.0, low / SURE_BLUENESS, agreement))
    # Leaves make floors green; of air, blue grows faster than green.
    greener = min(quantile_or_zero(green, weight, 0.5), max(0.0, middle) / 2)
    shift = sure * torch.tensor([0.0, greener, middle]).view(1, 3, 1, 1)
    # The brightest channel stays as it is: where it is white, nothing is above white.
    return airlight * (shift - shift.max()).exp()


def quantile_or_zero(values: Tensor, weights: Tensor, part: float) -> float:
    """Return the value below which ``part`` of the weight lies; 0 if nothing has a weight."""
    if float(weights.sum()) <= 0:
        return 0.0
    return float(weighted_quantile(values, weights.double(), part))
