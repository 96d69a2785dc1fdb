"""Estimate light laid over one picture from the texture contrast that it lowers.

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
LEAST_PAIR_WEIGHT = 0.02
"""Weight of a pair of points up to which it is left out: it would cost time and tell little."""
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
    """Texture measured at the N points of the grid.

    mean: mean light, ``(N, 3)``. ripple: logarithm of the ripples' standard deviation, ``(N, 3)``.
    kind: numbers that are alike for the same texture, whatever light lies over it, ``(N, D)``.
    strength: how much texture there is, ``(N,)`` from 0 to 1.
    """

    mean: Tensor
    ripple: Tensor
    kind: Tensor
    strength: Tensor


def light_from_contrast(light: Tensor) -> Tensor:
    """Estimate the light over one picture ``(1, 3, H, W)``; zero where its texture says nothing.

    Returns a tensor of the same shape.
    """
    texture, (rows, columns) = measure(light)
    first, second, weight = pairs(texture, rows, columns)
    if not len(weight):
        return torch.zeros_like(light)
    most = torch.minimum(_envelope_at_grid(light), texture.mean)
    stiffness = _stiffness(functional.interpolate(light, (rows, columns), mode="area")[0])
    wanted = texture.ripple[second] - texture.ripple[first]
    scale = texture.mean.mean().clamp_min(LEAST_LIGHT)
    # The fitted light is a part of the most, which a sigmoid keeps between 0 and 1.
    logit = torch.full_like(most, FIRST_LOGIT, requires_grad=True)

    def evaluate(step: int, weights: Weights) -> Losses:
        found = torch.sigmoid(logit) * most
        behind = (texture.mean - found).clamp_min(LEAST_LIGHT).log()
        # Not behind[second]: with several threads its gradient adds up in a random order.
        difference = behind.index_select(0, second) - behind.index_select(0, first)
        apart = (wanted - difference) / TEXTURE_SPREAD
        field = (found / scale).T.reshape(3, rows, columns)
        changes = sum(
            (stiff * change.abs()).sum()
            for stiff, change in zip(stiffness, _changes(field), strict=True)
        )
        contrast = (weight[:, None] * torch.log1p(apart**2)).sum() + changes
        losses = {"contrast": contrast / (rows * columns), "reflection": field.mean()}
        return weighted(losses, weights)

    group = ParameterGroup([logit], constant(RATE))
    with torch.enable_grad():
        Descent([group], betas=(0.9, 0.999), name="the fit of the contrast").run(
            evaluate, WEIGHTS, STEPS
        )
    answer = (torch.sigmoid(logit.detach()) * most).T.reshape(1, 3, rows, columns)
    return functional.interpolate(answer, light.shape[-2:], mode="bilinear", align_corners=False)


def lower_envelope(picture: Tensor, reach: int) -> Tensor:
    """Return each channel's least value within ``reach`` pixels, of ``(1, C, H, W)``."""
    padded = functional.pad(picture, (reach,) * 4, mode="replicate")
    return -functional.max_pool2d(-padded, 2 * reach + 1, 1)


def _envelope_at_grid(light: Tensor) -> Tensor:
    """Return the least light around each grid point, slightly blurred, ``(N, 3)``.

    light: ``(1, 3, H, W)``.
    """
    least = lower_envelope(smooth(light, ENVELOPE_BLUR), ENVELOPE_REACH)
    return flat(smooth(least, ENVELOPE_SMOOTHING))


def _stiffness(light: Tensor) -> list[Tensor]:
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


def measure(light: Tensor) -> tuple[TextureGrid, tuple[int, int]]:
    """Measure the texture of one picture ``(1, 3, H, W)``.

    Returns the texture, and the grid's rows and columns.
    """
    finest = smooth(light, 1.0)
    ripples = light - smooth(light, RIPPLE_BLUR)
    energy = smooth(ripples**2, WINDOW).clamp_min(0)
    total = energy.mean(1, keepdim=True) + LEAST_ENERGY
    bands = [
        smooth((detail**2).mean(1, keepdim=True), WINDOW).clamp_min(0) + LEAST_BAND_ENERGY
        for detail in (light - finest, finest - smooth(light, RIPPLE_BLUR))
    ]
    skew = smooth(ripples**3, WINDOW) / total**1.5
    across = smooth(ripples * ripples.roll(1, 1), WINDOW) / total
    fineness = FINENESS_WEIGHT * (bands[0] / bands[1]).log()
    kind = torch.cat([fineness, energy / total / COLOR_DIVISOR, SKEWNESS_WEIGHT * skew, across], 1)
    single = ((light - finest) ** 2).mean(1, keepdim=True) + PIXEL_NOISE**2
    flatness = smooth(single.log(), WINDOW).exp() / smooth(single, WINDOW)
    even = flatness**EVENNESS_POWER
    half_even = HALF_EVENNESS**EVENNESS_POWER
    strength = total / (total + RIPPLE_NOISE**2) * even / (even + half_even)
    ripple = ((energy + LEAST_ENERGY).sqrt() + RIPPLE_NOISE / 2).log()
    grid = strength[..., ::STEP, ::STEP].shape[-2:]
    texture = TextureGrid(
        flat(smooth(light, WINDOW)), flat(ripple), flat(kind), flat(strength)[:, 0]
    )
    return texture, (grid[0], grid[1])


def pairs(texture: TextureGrid, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Choose pairs of grid points whose textures are compared: near ones, and far ones at random.

    rows, columns: of the grid.
    Returns the numbers of the first and of the second points, ``(P,)`` each, and how alike the
    textures of each pair are, ``(P,)`` from 0 to 1.
    """
    place = torch.arange(rows * columns).view(rows, columns)
    ends: list[tuple[Tensor, Tensor]] = []
    for down, right in NEAR:
        if down < rows and abs(right) < columns:
            left, width = max(0, -right), columns - abs(right)
            one = place[: rows - down, left : left + width]
            other = place[down:, left + right : left + right + width]
            ends.append((one.flatten(), other.flatten()))
    draw = torch.Generator().manual_seed(0)
    count = min(FAR_PAIRS, 4 * rows * columns)
    far = torch.randint(rows * columns, (2, count), generator=draw)
    ends.append((far[0], far[1]))
    first, second = (torch.cat(each) for each in zip(*ends, strict=True))
    distance = (texture.kind[first] - texture.kind[second]).square().sum(1)
    strength = (texture.strength[first] * texture.strength[second]).sqrt()
    weight = (-distance / (2 * SAME_TEXTURE_DISTANCE**2)).exp() * strength
    kept = (weight > LEAST_PAIR_WEIGHT) & (first != second)
    return first[kept], second[kept], weight[kept]


def flat(picture: Tensor) -> Tensor:
    """Return the grid points of a picture ``(1, C, H, W)`` as ``(N, C)``."""
    return picture[0, :, ::STEP, ::STEP].flatten(1).T.contiguous()


def smooth(picture: Tensor, spread: float) -> Tensor:
    """Blur ``(1, C, H, W)`` by a Gaussian of ``spread`` pixels; edge pixels are repeated."""
    radius = max(1, round(3 * spread))
    x = torch.arange(-radius, radius + 1, dtype=picture.dtype)
    kernel = torch.exp(-0.5 * (x / spread) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(picture.shape[1], -1, -1, -1)
    padded = functional.pad(picture, (radius,) * 4, mode="replicate")
    once = functional.conv2d(padded, kernel, groups=picture.shape[1])
    return functional.conv2d(once, kernel.transpose(-1, -2), groups=picture.shape[1])
