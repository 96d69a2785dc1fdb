"""The matte of a transition without a pattern: every pixel changes at a time of its own.

Random pixels, bars and any other shape have one thing in common: a pixel goes from the outgoing to
the incoming scene once and does not come back. So its weight never falls. That alone is enough to
measure the matte, if both scenes are known from elsewhere. Where neighbouring pixels change
together, they are measured together, because errors of the scenes then average out.

Axes: n mixed frames. The weight of a pixel is that of the incoming scene.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from stages.mixing.blend import blend
from stages.mixing.forward_model import Pair

MEAN_WEIGHT_STRENGTH = 3e-3
"""How much the mean weight of a frame counts for each of its pixels, as a squared difference.

Where the scenes differ by this much, squared and summed over RGB, it counts as much as what the
pixel itself shows. Where they hardly differ, a pixel shows nothing, and gets the mean weight.
"""

SUDDEN_ERROR_RATIO = 1.6
"""Most squared error of sudden changes, relative to that of gradual ones, for them to be preferred.

A sudden change has a single number for each pixel, so it always explains the frames a little worse.
"""

NEIGHBORHOODS = ((2, 2), (0, 2), (2, 0), (0, 0))
"""Radii in pixels, down and across, of the neighbourhoods that may have one weight: both ways, in a
row, in a column, and the pixel alone."""

LAYER_ERROR = 0.05
"""Standard deviation of a layer's error at full size, in values of [0, 1]."""

LEAST_CHANCE = 0.02
"""Least chance of either scene that the matte of a smaller size leaves to a pixel."""

SINGLE_SCENE_ERROR_RATIO = 0.5
"""Most squared error of weights 0 and 1, relative to that of their means, for them to be used."""

PIXELS_AT_ONCE = 1 << 16
"""Pixels whose weights are computed together."""


@dataclass(frozen=True)
class PixelEvidence:
    """What the mixed frames say about the weight of each pixel, by least squares.

    along: ``(I - A) . (B - A)``, and contrast: ``|B - A|²``, ``(n, 1, H, W)``. The weight of a
    pixel by itself is their ratio. gain: how much better the incoming scene alone explains a pixel
    than the outgoing one alone, in squared error, ``(n, 1, H, W)``. means: the mean weight of each
    frame, ``(n, 1, 1, 1)``. outgoing_error: mean over all pixels of ``|I - A|²``.
    """

    along: Tensor
    contrast: Tensor
    gain: Tensor
    means: Tensor
    outgoing_error: float

    @classmethod
    def of(
        cls, frames: Tensor, layers: Pair, means: Tensor, certainty: Tensor | None = None
    ) -> PixelEvidence:
        """Return the evidence of ``frames``; arguments as of :func:`pixel_matte`."""
        outgoing, incoming = layers
        difference = incoming - outgoing
        change = frames - outgoing
        counted = torch.ones_like(change[:, :1]) if certainty is None else certainty
        along = counted * (change * difference).sum(1, keepdim=True)
        contrast = counted * difference.square().sum(1, keepdim=True)
        gain = 2 * along - contrast
        outgoing_error = float((counted * change.square().sum(1, keepdim=True)).mean())
        return cls(along, contrast, gain, means.view(-1, 1, 1, 1), outgoing_error)

    def over_neighborhood(self, radii: tuple[int, int]) -> PixelEvidence:
        """Return the evidence of each pixel's neighbourhood together."""
        along, contrast, gain = (mean_of(part, radii) for part in self._parts())
        return replace(self, along=along, contrast=contrast, gain=gain)

    def over_neighbors(self, radii: tuple[int, int]) -> PixelEvidence:
        """Return the evidence of each pixel's neighbourhood without the pixel itself.

        Where that is the pixel alone, it is the evidence of the pixel in the frames before and
        after.
        """
        count = (2 * radii[0] + 1) * (2 * radii[1] + 1)
        if count == 1:
            along, contrast, gain = (_neighbors_in_time(part) for part in self._parts())
        else:
            along, contrast, gain = (
                (count * mean_of(part, radii) - part) / (count - 1) for part in self._parts()
            )
        return replace(self, along=along, contrast=contrast, gain=gain)

    def weights(self) -> Tensor:
        """Return the weight of each pixel in each frame by itself, in [0, 1]."""
        top = self.along + MEAN_WEIGHT_STRENGTH * self.means
        return (top / (self.contrast + MEAN_WEIGHT_STRENGTH)).clamp(0, 1)

    def gradual(self) -> Tensor:
        """Return the weights that do not fall and explain the frames best."""
        top = self.along + MEAN_WEIGHT_STRENGTH * self.means
        return rising_weights(top, self.contrast + MEAN_WEIGHT_STRENGTH)

    def sudden(self) -> Tensor:
        """Return the weights 0 and 1 that change once and explain the frames best."""
        gains = self.gain.cumsum(0)
        gains = torch.cat([torch.zeros_like(gains[:1]), gains])
        # The pixel changes where the frames before it have lost least by their outgoing scene.
        times = gains.argmin(0, keepdim=True)
        numbers = torch.arange(len(self.gain), device=gains.device).view(-1, 1, 1, 1)
        return (numbers >= times).to(self.gain.dtype)

    def error(self, weight: Tensor) -> float:
        """Return the squared error that weights ``(n, 1, H, W)`` leave.

        It is summed over RGB; the mean is taken over all pixels.
        """
        gained = float((weight * (2 * self.along - weight * self.contrast)).mean())
        return self.outgoing_error - gained

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.along, self.contrast, self.gain


def pixel_matte(
    frames: Tensor, layers: Pair, means: Tensor, certainty: Tensor | None = None
) -> Tensor:
    """Return the weight of the incoming scene at each pixel, ``(n, 1, H, W)`` in [0, 1].

    frames: the mixed frames, ``(n, 3, H, W)``. layers: both scenes in them, as well as they are
    known. means: roughly the mean weight of each frame, ``(n,)``. certainty: how much each pixel
    counts beside its neighbours, ``(n, 1, H, W)``, above 0; all alike unless given.

    Over time the weight of a pixel does not fall. It is the one that explains the frames best by
    least squares; where a single step from 0 to 1 explains them nearly as well, it is that step.
    """
    by_pixel = PixelEvidence.of(frames, layers, means, certainty)
    by_neighborhood = by_pixel.over_neighborhood(neighborhood(by_pixel))
    gradual, sudden = by_neighborhood.gradual(), by_neighborhood.sudden()
    most_error = SUDDEN_ERROR_RATIO * by_pixel.error(gradual)
    return sudden if by_pixel.error(sudden) <= most_error else gradual


def finer_weight(frame: Tensor, layers: Pair, expected: Tensor) -> Tensor:
    """Return the weight of each pixel of a frame, ``(1, 1, H, W)``, from weights of a smaller size.

    Where each pixel shows one scene alone, a weight of the smaller size is only the mean of pixels
    with 0 and pixels with 1. So each pixel gets 0 or 1 if that explains the frame much better.

    frame, layers: ``(1, 3, H, W)``. expected: the weights of the smaller size, enlarged to
    ``(1, 1, H, W)``.
    """
    wrong = [(frame - layer).square().sum(1, keepdim=True) for layer in layers]
    chance = expected.clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)
    likely = (wrong[0] - wrong[1]) / (2 * LAYER_ERROR**2) + torch.logit(chance)
    sudden = (likely > 0).to(frame.dtype)

    def error(weight: Tensor) -> float:
        return float((blend(*layers, weight) - frame).square().mean())

    return sudden if error(sudden) <= SINGLE_SCENE_ERROR_RATIO * error(expected) else expected


def neighborhood(by_pixel: PixelEvidence) -> tuple[int, int]:
    """Return the radii of the neighbourhood whose other members tell most about a pixel.

    For the pixel alone, these are the frames before and after.
    """
    errors = [by_pixel.error(by_pixel.over_neighbors(radii).weights()) for radii in NEIGHBORHOODS]
    return NEIGHBORHOODS[errors.index(min(errors))]


def rising_weights(along: Tensor, contrast: Tensor) -> Tensor:
    """Return the weights ``(n, 1, H, W)`` in [0, 1] that never fall and fit best by least squares.

    along, contrast: the weight of a pixel by itself would be ``along / contrast``, and it counts by
    its contrast, above 0.

    This is isotonic regression: the weight at t is the largest, over all beginnings up to t, of the
    smallest mean, over all ends from t on (Barlow et al. 1972).
    """
    shape = along.shape
    top, bottom = along.reshape(len(along), -1), contrast.reshape(len(contrast), -1)
    parts = [
        _rising(top[:, begin : begin + PIXELS_AT_ONCE], bottom[:, begin : begin + PIXELS_AT_ONCE])
        for begin in range(0, top.shape[1], PIXELS_AT_ONCE)
    ]
    return torch.cat(parts, 1).view(shape).clamp(0, 1)


def _rising(top: Tensor, bottom: Tensor) -> Tensor:
    """Return the isotonic regression of ``top / bottom``, weighted by ``bottom``, ``(n, K)``."""
    zero = torch.zeros_like(top[:1])
    sums, weights = (torch.cat([zero, part.cumsum(0)]) for part in (top, bottom))
    best = torch.full_like(top, -torch.inf)
    for begin in range(len(top)):
        means = (sums[begin + 1 :] - sums[begin]) / (weights[begin + 1 :] - weights[begin])
        # The smallest mean over all ends from each frame on.
        smallest = means.flip(0).cummin(0).values.flip(0)
        best[begin:] = torch.maximum(best[begin:], smallest)
    return best


def mean_of(picture: Tensor, radii: tuple[int, int]) -> Tensor:
    """Return the mean around each pixel of ``(n, 1, H, W)``; outer pixels go on outside."""
    down, across = radii
    if not (down or across):
        return picture
    padded = functional.pad(picture, (across, across, down, down), mode="replicate")
    return functional.avg_pool2d(padded, (2 * down + 1, 2 * across + 1), 1)


def _neighbors_in_time(part: Tensor) -> Tensor:
    """Return the mean of the frames before and after each of ``(n, 1, H, W)``."""
    before, after = part.roll(1, 0), part.roll(-1, 0)
    before[0], after[-1] = after[0], before[-1]
    return (before + after) / 2
