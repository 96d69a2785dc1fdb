"""Measure how dark the darkest things are around each pixel: the floors of a picture.

Haze lifts black, and the more so the farther away a thing is. In a clear picture nearly every
textured window holds something dark, near or far (the dark channel prior: He et al., CVPR 2009,
section 3). Windows without texture, such as a wall or a sky, tell nothing: they may just be bright.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from stages.dehaze.model import LEAST_DIVISOR, local_mean, over_picture
from stages.motion.flow import box_max
from stages.optim.statistics import weighted_quantile

WINDOW_RADIUS = 0.022  # in parts of the longer side
BLACK_PART = 1e-3
"""Part of the picture, its darkest pixels, that shows what black is lifted to."""
DARKER_PART = 0.1
"""Part of the textured windows that may be darker than their common floor."""
BOUND_RANGE = (-0.2, 1.0)
"""Range of a pixel's bound of the transmission. It is below 0 where a pixel is brighter than the
airlight, and how much brighter tells nothing."""
LEAST_BOUND = 0.05  # of a window, so that its texture can be measured relative to it
# Texture counts by its variance v as v / (v + h²), where h is either of these standard deviations.
HALF_TEXTURE_CONTRAST = 0.1  # in parts of the window's largest bound; less is hardly texture
HALF_TEXTURE_NOISE = 0.01  # in values of [0, 1]; less may be noise


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
    """Measure the floors of working pictures ``(T, 3, h, w)`` in [0, 1].

    airlight: ``(1, 3, 1, 1)`` or a field, see :func:`stages.dehaze.model.over_picture`.
    """
    size = (frames.shape[-2], frames.shape[-1])
    radius = max(1, round(WINDOW_RADIUS * max(size)))
    everywhere = over_picture(airlight, size).clamp_min(LEAST_DIVISOR)
    bounds = (1 - frames / everywhere).clamp(*BOUND_RANGE)
    bound = bounds.amax(1).flatten()
    black = 1 - float(bound.kthvalue(max(1, round((1 - BLACK_PART) * len(bound)))).values)
    # A single dark pixel may be noise.
    smooth = F.avg_pool2d(F.pad(bounds, (1,) * 4, mode="replicate"), 3, 1)
    highest = box_max(smooth, radius)
    most = highest.amax(1, keepdim=True).clamp(LEAST_BOUND, 1)
    texture = _texture(smooth.amax(1, keepdim=True), most, radius)
    return Floors((1 - highest).clamp(0, 1), 1 - most, texture, max(0.0, black))


def _texture(bound: Tensor, most: Tensor, radius: int) -> Tensor:
    """Return how much texture the window around each pixel has, ``(T, 1, h, w)`` from 0 to 1.

    bound: of each pixel. most: the largest bound in its window. Both are ``(T, 1, h, w)``.
    radius: of the window in pixels.
    """
    mean = local_mean(bound, radius)
    variance = (local_mean(bound.square(), radius) - mean.square()).clamp_min(0)
    relative = variance / most.square()
    above_contrast = relative / (relative + HALF_TEXTURE_CONTRAST**2)
    above_noise = variance / (variance + HALF_TEXTURE_NOISE**2)
    return above_contrast * above_noise


def quantile_or_zero(values: Tensor, weights: Tensor, part: float) -> float:
    """Return the value below which ``part`` of the weight lies; 0 if nothing has a weight.

    values, weights: of the same shape, any. part: 0 to 1.
    """
    if float(weights.sum()) <= 0:
        return 0.0
    return float(weighted_quantile(values, weights.double(), part))
