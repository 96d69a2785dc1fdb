"""Estimate the light laid over one picture, from the contrast of texture that it lowers.

Light that a pane adds to a texture raises the mean and leaves the ripples as they are. For one
material, the standard deviation s and the mean m of what lies behind the pane rise and fall
together, so ``s / (m - R)`` is a property of the material (Weber contrast). Where the same texture
has less contrast in one place than in another, the difference is R.

The same texture is recognised by features that neither R nor shade changes: the relative colours of
its ripples, their skewness and their fineness. R makes the contrast of alike textures alike, near
by and across the picture. The loss is robust and logarithmic, because an edge or a new material is
an outlier. R is also smooth, except at edges of the picture, and lies between 0 and the lower
envelope.

Only places that are evenly full of ripples count. They are found by the ratio of the geometric and
the arithmetic mean of the ripples' energy (spectral flatness), since an edge between two plain
surfaces is not texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stages.optim.descent import Descent, Losses, ParameterGroup, Weights, weighted
from stages.optim.losses import Schedule, constant
from stages.transparency.filters import gaussian_blur, lower_envelope

WINDOW = 4.0
"""Standard deviation, in pixels, of the Gaussian window in which contrast is measured."""
RIPPLE_BLUR = 2.5
"""Standard deviation, in pixels, of the blur that separates ripples from shading."""
STEP = 2
"""Pixels of the picture per point of the grid."""
NEAR = ((0, 5), (5, 0), (5, 5), (5, -5), (0, 10), (10, 0))
"""Rows and columns on the grid between a point and the near points it is compared with."""
FAR_PAIRS = 48000
"""Number of random pairs of points across the picture."""
SAME_TEXTURE_DISTANCE = 0.35
"""Distance of two kinds (:class:`TextureGrid`) up to which they are mostly the same texture."""
LEAST_PAIR_LIKENESS = 0.02
"""Likeness of a pair of points up to which it is left out: it would cost time and tell little."""
TEXTURE_SPREAD = 0.3
"""Standard deviation of log contrast within one texture."""
RIPPLE_NOISE = 0.004
"""Standard deviation, in light, below which ripples count as noise."""
PIXEL_NOISE = 0.001
"""The same for single pixels."""
LEAST_ENERGY, LEAST_BAND_ENERGY = 1e-9, 1e-8
"""Added to the squares of ripples, and of ripples in one band, which are divided by."""
LEAST_LIGHT = 1e-4
"""Least light that is divided by, or whose logarithm is taken."""
FINENESS_WEIGHT, SKEWNESS_WEIGHT, COLOR_DIVISOR = 0.5, 0.2, 1.5
"""How much each feature of a texture counts in the distance of two kinds."""
EVENNESS_POWER = 3
"""Power of the spectral flatness that is the evenness of a place."""
ENVELOPE_BLUR, ENVELOPE_REACH, ENVELOPE_SMOOTHING = 0.5, 2, 1.0
"""The lower envelope: blur before the least value, reach of that, blur after it; in pixels."""
HALF_EVENNESS = 0.3
"""Evenness at which a place counts half."""
SMOOTHNESS = 3.0
"""Weight of the changes of R from point to point."""
HALF_SMOOTHNESS_EDGE = 0.03
"""Change of light at which the weight of the smoothness is halved."""
WEIGHTS: dict[str, Schedule] = {"contrast": constant(1.0), "reflection": constant(1.0)}
"""The weight of every loss: differences of contrast with the changes of R, and the mean of R."""
FIRST_LOGIT = -2.0
"""Logit of the part of the most light that the fit begins with: 0.12."""
STEPS = 150
"""Steps of Adam."""
RATE = 0.1
"""Adam's learning rate."""


@dataclass(frozen=True)
class TextureGrid:
    """Texture measured at the N points of a grid over the picture, row by row.

    mean: mean light, ``(N, 3)``. ripple: logarithm of the ripples' standard deviation, ``(N, 3)``.
    kind: numbers that are alike for the same texture, whatever light lies over it, ``(N, D)``.
    strength: how much texture there is, ``(N,)`` from 0 to 1. rows, columns: of the grid.
    """

    mean: Tensor
    ripple: Tensor
    kind: Tensor
    strength: Tensor
    rows: int
    columns: int


@dataclass(frozen=True)
class TexturePairs:
    """Pairs of grid points whose textures are compared.

    first, second: the numbers of the points, ``(P,)``. likeness: how alike the textures of each
    pair are, ``(P,)`` from 0 to 1.
    """

    first: Tensor
    second: Tensor
    likeness: Tensor


def light_from_contrast(light: Tensor) -> Tensor:
    """Estimate the light over one picture ``(1, 3, H, W)``; zero where its texture says nothing.

    Returns a tensor of the same shape.
    """
    texture = _measure_texture(light)
    pairs = _choose_pairs(texture)
    if not len(pairs.likeness):
        return torch.zeros_like(light)
    grid = (texture.rows, texture.columns)
    most = torch.minimum(_envelope_at_grid(light), texture.mean)
    smoothness = _smoothness_weights(functional.interpolate(light, grid, mode="area")[0])
    ripple_difference = texture.ripple[pairs.second] - texture.ripple[pairs.first]
    scale = texture.mean.mean().clamp_min(LEAST_LIGHT)
    # The fitted light is a part of the most, which a sigmoid keeps between 0 and 1.
    logit = torch.full_like(most, FIRST_LOGIT, requires_grad=True)

    def evaluate(step: int, weights: Weights) -> Losses:
        reflection = torch.sigmoid(logit) * most
        behind = (texture.mean - reflection).clamp_min(LEAST_LIGHT).log()
        # Not behind[second]: with several threads its gradient adds up in a random order.
        difference = behind.index_select(0, pairs.second) - behind.index_select(0, pairs.first)
        deviation = (ripple_difference - difference) / TEXTURE_SPREAD
        field = (reflection / scale).T.reshape(3, *grid)
        roughness = sum(
            (weight * change.abs()).sum()
            for weight, change in zip(smoothness, _changes(field), strict=True)
        )
        contrast = (pairs.likeness[:, None] * torch.log1p(deviation**2)).sum() + roughness
        losses = {"contrast": contrast / len(texture.mean), "reflection": field.mean()}
        return weighted(losses, weights)

    group = ParameterGroup([logit], constant(RATE))
    with torch.enable_grad():
        Descent([group], betas=(0.9, 0.999), name="the fit of the contrast").run(
            evaluate, WEIGHTS, STEPS
        )
    fitted = (torch.sigmoid(logit.detach()) * most).T.reshape(1, 3, *grid)
    return functional.interpolate(fitted, light.shape[-2:], mode="bilinear", align_corners=False)


def _measure_texture(light: Tensor) -> TextureGrid:
    """Measure the texture of one picture ``(1, 3, H, W)`` at the points of the grid."""
    finest = gaussian_blur(light, 1.0)
    shading = gaussian_blur(light, RIPPLE_BLUR)
    ripples = light - shading
    energy = gaussian_blur(ripples**2, WINDOW).clamp_min(0)
    total = energy.mean(1, keepdim=True) + LEAST_ENERGY
    fine_energy, coarse_energy = (
        gaussian_blur((detail**2).mean(1, keepdim=True), WINDOW).clamp_min(0) + LEAST_BAND_ENERGY
        for detail in (light - finest, finest - shading)
    )
    fineness = FINENESS_WEIGHT * (fine_energy / coarse_energy).log()
    channels = energy / total / COLOR_DIVISOR
    skewness = SKEWNESS_WEIGHT * (gaussian_blur(ripples**3, WINDOW) / total**1.5)
    between_channels = gaussian_blur(ripples * ripples.roll(1, 1), WINDOW) / total
    kind = torch.cat([fineness, channels, skewness, between_channels], 1)
    evenness = _spectral_flatness(light - finest) ** EVENNESS_POWER
    half_even = HALF_EVENNESS**EVENNESS_POWER
    strength = total / (total + RIPPLE_NOISE**2) * evenness / (evenness + half_even)
    ripple = ((energy + LEAST_ENERGY).sqrt() + RIPPLE_NOISE / 2).log()
    rows, columns = strength[..., ::STEP, ::STEP].shape[-2:]
    return TextureGrid(
        mean=_at_grid_points(gaussian_blur(light, WINDOW)),
        ripple=_at_grid_points(ripple),
        kind=_at_grid_points(kind),
        strength=_at_grid_points(strength)[:, 0],
        rows=rows,
        columns=columns,
    )


def _spectral_flatness(detail: Tensor) -> Tensor:
    """Return the flatness of a picture's finest detail ``(1, 3, H, W)``, ``(1, 1, H, W)``, 0 to 1.

    It is the ratio of the geometric and the arithmetic mean of the energy in a window.
    """
    energy = (detail**2).mean(1, keepdim=True) + PIXEL_NOISE**2
    return gaussian_blur(energy.log(), WINDOW).exp() / gaussian_blur(energy, WINDOW)


def _choose_pairs(texture: TextureGrid) -> TexturePairs:
    """Choose the pairs of grid points that are compared: near ones, and far ones at random."""
    rows, columns = texture.rows, texture.columns
    number = torch.arange(rows * columns).view(rows, columns)
    chosen: list[tuple[Tensor, Tensor]] = []
    for down, right in NEAR:
        if down < rows and abs(right) < columns:
            left, width = max(0, -right), columns - abs(right)
            one = number[: rows - down, left : left + width]
            other = number[down:, left + right : left + right + width]
            chosen.append((one.flatten(), other.flatten()))
    draw = torch.Generator().manual_seed(0)
    count = min(FAR_PAIRS, 4 * rows * columns)
    far = torch.randint(rows * columns, (2, count), generator=draw)
    chosen.append((far[0], far[1]))
    first, second = (torch.cat(each) for each in zip(*chosen, strict=True))
    distance = (texture.kind[first] - texture.kind[second]).square().sum(1)
    strength = (texture.strength[first] * texture.strength[second]).sqrt()
    likeness = (-distance / (2 * SAME_TEXTURE_DISTANCE**2)).exp() * strength
    kept = (likeness > LEAST_PAIR_LIKENESS) & (first != second)
    return TexturePairs(first[kept], second[kept], likeness[kept])


def _envelope_at_grid(light: Tensor) -> Tensor:
    """Return the least light around each grid point, slightly blurred, ``(N, 3)``.

    light: ``(1, 3, H, W)``.
    """
    least = lower_envelope(gaussian_blur(light, ENVELOPE_BLUR), ENVELOPE_REACH)
    return _at_grid_points(gaussian_blur(least, ENVELOPE_SMOOTHING))


def _smoothness_weights(light: Tensor) -> list[Tensor]:
    """Return the weight of R's changes to the right and down: less at edges of the picture.

    light: ``(3, rows, columns)``, at the grid points.
    """
    return [
        SMOOTHNESS / (1 + (change.abs().mean(0, keepdim=True) / HALF_SMOOTHNESS_EDGE) ** 2)
        for change in _changes(light)
    ]


def _changes(field: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences of ``(3, rows, columns)`` to the right and to the lower neighbour."""
    return field.diff(dim=-1), field.diff(dim=-2)


def _at_grid_points(picture: Tensor) -> Tensor:
    """Return the values of a picture ``(1, C, H, W)`` at the N grid points, ``(N, C)``."""
    return picture[0, :, ::STEP, ::STEP].flatten(1).T.contiguous()
