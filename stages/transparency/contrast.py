"""Light over one picture, from texture that it washes out.

Light laid over a texture adds to its mean and leaves its ripples: standard deviation s and mean m of what is behind the pane go together
through light and shade, ``s / (m - R)`` being the material's own (Weber contrast), so where the same texture has less contrast in one
place than in another, R is what differs. The same texture is known by what neither R nor shade changes: the colours of its ripples
among themselves, their skewness and their fineness. R is looked for that makes contrast of alike textures alike, near by and across the
picture, by a robust logarithmic loss (an edge or a new material is an outlier), steady but at edges of the picture and between 0 and the
lower envelope. Only places evenly full of ripples say something (geometric against arithmetic mean of their energy, as in spectral
flatness): an edge between two plain surfaces is no texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 4.0  # spread of the window, in pixels, that contrast is measured in
FINE = 2.5  # spread up to which changes count as ripples
STEP = 2  # pixels of the picture to one of the grid
NEAR = ((0, 5), (5, 0), (5, 5), (5, -5), (0, 10), (10, 0))  # rows and columns of the grid from a place to those it is compared with
FAR = 48000  # pairs of places across the picture
ALIKE = 0.35  # distance of descriptors of the same texture
SPREAD = 0.3  # of log contrast within one texture
NOISE = 0.004  # standard deviation in light below which ripples are none
QUIET = 0.001  # the same, of one pixel
EVEN = 0.3  # evenness at which a place counts half
STEADY, EDGE = 3.0, 0.03  # weight of R's changes, and the change of light at which it is halved
LESS = 1.0  # weight of R itself
STEPS, RATE = 150, 0.1


@dataclass(frozen=True)
class Texture:
    """What is measured on the grid: mean and log ripple ``(N, 3)``, what tells textures apart ``(N, D)``, how much there is ``(N,)``."""

    mean: Tensor
    ripple: Tensor
    kind: Tensor
    strength: Tensor


def washed_out(light: Tensor) -> Tensor:
    """Light over one picture ``(1, 3, H, W)``, of its size; zero where nothing is said."""
    texture, (rows, columns) = measure(light)
    first, second, weight = pairs(texture, rows, columns)
    if not len(weight):
        return torch.zeros_like(light)
    floor = -functional.max_pool2d(functional.pad(-smooth(light, 0.5), (2,) * 4, mode="replicate"), 5, 1)
    most = torch.minimum(flat(smooth(floor, 1.0)), texture.mean)
    small = functional.interpolate(light, (rows, columns), mode="area")[0]
    stiff = [STEADY / (1 + (d.abs().mean(0, keepdim=True) / EDGE) ** 2) for d in (small.diff(dim=-1), small.diff(dim=-2))]
    wanted = texture.ripple[second] - texture.ripple[first]
    scale = texture.mean.mean().clamp_min(1e-4)
    guess = torch.full_like(most, -2.0, requires_grad=True)
    steps = torch.optim.Adam([guess], lr=RATE)
    with torch.enable_grad():
        for _ in range(STEPS):
            found = torch.sigmoid(guess) * most
            behind = (texture.mean - found).clamp_min(1e-4).log()
            # Not behind[second]: the gradient of that adds up in another order each time where there are several threads.
            apart = (wanted - (behind.index_select(0, second) - behind.index_select(0, first))) / SPREAD
            field = (found / scale).T.reshape(3, rows, columns)
            changes = sum((c * d.abs()).sum() for c, d in zip(stiff, (field.diff(dim=-1), field.diff(dim=-2)), strict=True))
            loss = (weight[:, None] * torch.log1p(apart**2)).sum() + changes
            loss = loss / (rows * columns) + LESS * field.mean()
            steps.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            steps.step()
    answer = (torch.sigmoid(guess.detach()) * most).T.reshape(1, 3, rows, columns)
    return functional.interpolate(answer, light.shape[-2:], mode="bilinear", align_corners=False)


def measure(light: Tensor) -> tuple[Texture, tuple[int, int]]:
    """The texture of one picture ``(1, 3, H, W)``, and the grid's rows and columns."""
    finest = smooth(light, 1.0)
    ripples = light - smooth(light, FINE)
    energy = smooth(ripples**2, WINDOW).clamp_min(0)
    total = energy.mean(1, keepdim=True) + 1e-9
    bands = [smooth((d**2).mean(1, keepdim=True), WINDOW).clamp_min(0) + 1e-8 for d in (light - finest, finest - smooth(light, FINE))]
    skew = smooth(ripples**3, WINDOW) / total**1.5
    across = smooth(ripples * ripples.roll(1, 1), WINDOW) / total
    kind = torch.cat([0.5 * (bands[0] / bands[1]).log(), energy / total / 1.5, 0.2 * skew, across], 1)
    single = ((light - finest) ** 2).mean(1, keepdim=True) + QUIET**2
    even = (smooth(single.log(), WINDOW).exp() / smooth(single, WINDOW)) ** 3
    strength = total / (total + NOISE**2) * even / (even + EVEN**3)
    ripple = ((energy + 1e-9).sqrt() + NOISE / 2).log()
    grid = strength[..., ::STEP, ::STEP].shape[-2:]
    return Texture(flat(smooth(light, WINDOW)), flat(ripple), flat(kind), flat(strength)[:, 0]), (grid[0], grid[1])


def pairs(texture: Texture, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Places that are compared, as numbers of the grid's points, and how much alike their textures are."""
    place = torch.arange(rows * columns).view(rows, columns)
    ends: list[tuple[Tensor, Tensor]] = []
    for down, right in NEAR:
        if down < rows and abs(right) < columns:
            left, width = max(0, -right), columns - abs(right)
            one, other = place[: rows - down, left : left + width], place[down:, left + right : left + right + width]
            ends.append((one.flatten(), other.flatten()))
    draw = torch.Generator().manual_seed(0)
    far = torch.randint(rows * columns, (2, min(FAR, 4 * rows * columns)), generator=draw)
    ends.append((far[0], far[1]))
    first, second = (torch.cat(each) for each in zip(*ends, strict=True))
    distance = (texture.kind[first] - texture.kind[second]).square().sum(1)
    weight = (-distance / (2 * ALIKE**2)).exp() * (texture.strength[first] * texture.strength[second]).sqrt()
    kept = (weight > 0.02) & (first != second)
    return first[kept], second[kept], weight[kept]


def flat(picture: Tensor) -> Tensor:
    """The grid's points of a picture ``(1, C, H, W)`` as ``(N, C)``."""
    return picture[0, :, ::STEP, ::STEP].flatten(1).T.contiguous()


def smooth(picture: Tensor, spread: float) -> Tensor:
    """Gaussian blur, edges repeated; ``(1, C, H, W)``."""
    radius = max(1, round(3 * spread))
    x = torch.arange(-radius, radius + 1, dtype=picture.dtype)
    kernel = torch.exp(-0.5 * (x / spread) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(picture.shape[1], -1, -1, -1)
    padded = functional.pad(picture, (radius,) * 4, mode="replicate")
    once = functional.conv2d(padded, kernel, groups=picture.shape[1])
    return functional.conv2d(once, kernel.transpose(-1, -2), groups=picture.shape[1])
