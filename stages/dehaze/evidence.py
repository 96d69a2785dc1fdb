"""Decide from the floors of a picture how much of what may be haze is believed to be haze.

Three floors tell hazy and clear pictures apart: that of the whole picture, that of all its textured
windows but the darkest tenth, and that of the upper part of the picture, which is mostly the
farthest.

A clear picture may have no black in it at all: a sunlit slope, a lit bridge at dusk, a drawing in
pale ink. Its floors are then low, and much the same everywhere, whereas light haze grows with the
distance. So low floors are believed only if the upper part of the picture has a higher one.

All numbers here were chosen on 91 clear pictures, 15 hazy ones and 80 with made haze.
"""

from __future__ import annotations

from stages.dehaze.floors import DARKER_PART, Floors, quantile_or_zero
from stages.dehaze.model import fraction_between

# The mean of the three floors. The weights add up to 1.
WINDOWS_WEIGHT = 0.35  # of the floor of all textured windows
WHOLE_WEIGHT = 0.45  # of the floor of the whole picture
UPPER_WEIGHT = 0.2  # of the floor of the upper part

# The upper part of the picture.
BANDS = 6  # equal bands of the picture, from the top
LEAST_TEXTURE = 0.15  # mean texture of a band that tells something, 0 to 1

# What a mean floor says by itself, in parts of the airlight.
NO_HAZE_FLOOR = 0.15  # up to it, there is no haze
LIGHT_HAZE_FLOOR = 0.19  # at it, there is light haze
SURE_HAZE_FLOOR = 0.28  # from it on, haze is sure
DENSE_HAZE_FLOOR = 0.35  # from it on, haze need not grow with the distance
LIGHT_HAZE_REMOVAL = 0.7
"""Part of a light haze's optical depth that is removed; more makes a picture too dark."""

# Whether haze grows with the distance: the upper part's floor in floors of all textured windows.
EVEN_FLOOR_RATIO = 1.1  # up to it, haze does not grow
RISING_FLOOR_RATIO = 1.3  # from it on, haze surely grows


def evidence(floors: Floors) -> float:
    """Return the part of the optical depth under these floors that is believed, 0 to 1."""
    windows = quantile_or_zero(floors.veil, floors.texture, DARKER_PART)
    upper = _upper_floor(floors)
    floor = WINDOWS_WEIGHT * windows + WHOLE_WEIGHT * floors.black + UPPER_WEIGHT * upper
    rises = fraction_between(upper / max(windows, 1e-3), EVEN_FLOOR_RATIO, RISING_FLOOR_RATIO)
    dense = fraction_between(floor, SURE_HAZE_FLOOR, DENSE_HAZE_FLOOR)
    return _believed(floor) * max(rises, dense)


def _believed(floor: float) -> float:
    """Return the part of the optical depth that the mean floor alone speaks for, 0 to 1.

    It rises to :data:`LIGHT_HAZE_REMOVAL` in light haze, and from there on to 1 where haze is sure.
    """
    if floor <= LIGHT_HAZE_FLOOR:
        return LIGHT_HAZE_REMOVAL * fraction_between(floor, NO_HAZE_FLOOR, LIGHT_HAZE_FLOOR)
    rest = (1 - LIGHT_HAZE_REMOVAL) * (floor - LIGHT_HAZE_FLOOR)
    return min(1.0, LIGHT_HAZE_REMOVAL + rest / (SURE_HAZE_FLOOR - LIGHT_HAZE_FLOOR))


def _upper_floor(floors: Floors) -> float:
    """Return the floor of the upper part of the picture; 0 if too few bands have texture.

    It is the floor that the upper two textured bands reach, and of which the third has half: the
    haze may thin by half until there.
    """
    height = floors.veil.shape[-2]
    cuts = [height * k // BANDS for k in range(BANDS + 1)]
    band_floors = []
    for top, bottom in zip(cuts, cuts[1:], strict=False):
        veil = floors.veil[..., top:bottom, :]
        texture = floors.texture[..., top:bottom, :]
        if texture.numel() and float(texture.mean()) > LEAST_TEXTURE:
            band_floors.append(quantile_or_zero(veil, texture, DARKER_PART))
    return min(band_floors[0], band_floors[1], 2 * band_floors[2]) if len(band_floors) > 2 else 0.0
