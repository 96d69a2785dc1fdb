"""Unmix several pictures of the same two layers: ``I_k = w_k A + (1 - w_k) B``, all of it unknown.

The pictures lie on a line, ``I(s) = P + s (Q - P)``. A lies on it at ``s = -a`` and B at ``s = 1 +
b``, so only a, b >= 0 have to be found. They make the gradients of the two layers independent
(maximum likelihood ICA with a heavy-tailed density: Bell and Sejnowski 1995; Levin and Weiss 2007
for the density), within the range that values in [0, 1] allow. The layers then follow in closed
form.

Pictures are in the space in which they mix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import resize
from stages.optim.losses import gradients

STRONGEST = 0.3
"""Part of the gradients that is used, the strongest; the others are mostly noise."""
SAMPLES = 60_000
"""Largest number of gradients that is used."""
NEGLIGIBLE = 0.1 / 255
"""Gradients below this count as none."""
FARTHEST = 40.0
"""Largest a and b that are tried; the pictures' weights then differ by a fortieth."""
CANDIDATES = 240
"""Number of values of a, and of b, that are tried."""
ROUNDING_SLACK = 1 / 255
"""How far any value may lie outside [0, 1], for rounding."""
OUTSIDE_PART = 1e-3
"""Part of a layer's values that may lie outside [0, 1], for noise."""
PIXELS = 1024 * 1024
"""Largest number of pixels on which the weights are found."""
IDENTICAL = 1 / 255
"""Root mean square difference of the line's ends below which the pictures count as identical."""
INDEPENDENT = -2.6
"""Dependence of the gradients of two unlike pictures. Measured: -3 to -4 for unmixed layers, -1.5
to -2.5 for two frames of a moving clip."""
PURE_ENDS = 0.1
"""a + b below which the ends of the line are the layers."""
NEARLY_PURE_ENDS = 0.25
"""a + b below which the ends of the line are nearly the layers."""
MOST_DISTANCE = 0.012
"""Root mean square distance from the line above which pictures are not mixtures."""
MOST_DISTANCE_PART = 0.15
"""The same as a part of the line's length."""


@dataclass(frozen=True)
class Line:
    """The line on which K pictures lie.

    start, end: its ends, ``(3, H, W)``. places: each picture's place on it, ``(K,)`` from 0 to 1.
    residual: root mean square distance of the pictures from it. length: that of ``end - start``.
    """

    start: Tensor
    end: Tensor
    places: Tensor
    residual: float
    length: float

    @property
    def holds(self) -> bool:
        """Whether the pictures differ and lie on the line; two different pictures always do."""
        most = min(MOST_DISTANCE, MOST_DISTANCE_PART * self.length)
        return self.length > IDENTICAL and self.residual < most


@dataclass(frozen=True)
class Ends:
    """How far beyond the line's ends the layers lie.

    before, after: a and b, in lengths of the line. dependence: how much the layers' gradients say
    about each other, without unit; comparable between spaces, lower means more independent.
    """

    before: float
    after: float
    dependence: float

    @property
    def hold(self) -> bool:
        """Whether the layers differ from the pictures; two frames of a clip have none that do."""
        beyond = self.before + self.after
        return beyond > NEARLY_PURE_ENDS or (beyond > PURE_ENDS and self.dependence < INDEPENDENT)


def fit_line(pictures: Tensor) -> Line:
    """Fit the line of least squared distance to pictures ``(K, 3, H, W)``.

    It goes through their mean along the first principal component.
    """
    mean = pictures.mean(0)
    away = (pictures - mean).flatten(1).double()
    values, vectors = torch.linalg.eigh(away @ away.T / away.shape[1])
    # The first picture lies towards the start.
    place = vectors[:, -1] * (1 if float(vectors[0, -1]) <= 0 else -1)
    along = (place[:, None] * away).sum(0).view_as(mean).to(mean)
    low, high = float(place.min()), float(place.max())
    return Line(
        start=mean + low * along,
        end=mean + high * along,
        places=((place - low) / max(high - low, 1e-12)).to(mean),
        residual=float(values[:-1].clamp_min(0).sum() / len(pictures)) ** 0.5,
        length=float(values[-1].clamp_min(0)) ** 0.5 * (high - low),
    )


def unmix(line: Line, ends: Ends) -> tuple[Tensor, Tensor, Tensor]:
    """Return the layers A and B ``(3, H, W)`` in [0, 1] and A's weights ``(K,)``.

    line, ends: from :func:`fit_line` and :func:`find_ends`. A is the one of larger mean weight.
    """
    a, b = ends.before, ends.after
    along = line.end - line.start
    one, other = (line.start - a * along).clamp(0, 1), (line.end + b * along).clamp(0, 1)
    weights = (1 + b - line.places) / (1 + a + b)
    if float(weights.mean()) >= 0.5:
        return one, other, weights
    return other, one, 1 - weights


def find_ends(line: Line) -> Ends:
    """Find where on ``line`` the layers lie.

    Minimises ``mean log |g_A| + mean log |g_B| - log(1 + a + b)``, which makes independent
    heavy-tailed gradients most likely; the last term is the determinant of the unmixing. ``2 mean
    log |(g_P, g_Q)|`` is subtracted from the result, so that it does not depend on how strong the
    gradients are and can be compared between spaces: the lower, the more the gradients lie on two
    lines.
    """
    ends = torch.stack([line.start, line.end])
    height, width = ends.shape[-2:]
    scale = math.sqrt(min(1.0, PIXELS / (height * width)))
    if scale < 1:
        ends = resize(ends, (max(1, round(height * scale)), max(1, round(width * scale))))
    far = _reach(ends[0], ends[1]), _reach(ends[1], ends[0])
    strong = _strong_gradients(ends)
    if not strong.numel():
        return Ends(far[0], far[1], 0.0)
    # Finer near zero, because the ratio of the weights counts.
    spaced = torch.linspace(0, 1, CANDIDATES, dtype=torch.float64)
    tried = [torch.expm1(spaced * math.log1p(limit)) for limit in far]
    # Each layer's term has one unknown, so all pairs cost no more than the two lists.
    one = torch.stack([_mean_log(strong[0], strong[1], float(a)) for a in tried[0]])
    other = torch.stack([_mean_log(strong[1], strong[0], float(b)) for b in tried[1]])
    total = one[:, None] + other[None] - torch.log(1 + tried[0][:, None] + tried[1][None])
    best = int(total.argmin())
    size = float((strong**2).sum(0).log().mean())
    return Ends(
        before=float(tried[0][best // CANDIDATES]),
        after=float(tried[1][best % CANDIDATES]),
        dependence=float(total.flatten()[best]) - size,
    )


def _mean_log(near: Tensor, far: Tensor, beyond: float) -> Tensor:
    """Return ``mean log |g|`` of the layer that lies ``beyond`` the near end.

    near, far: gradients ``(n,)`` of the two ends. The noise level is the same in all directions.
    """
    length = math.hypot(1 + beyond, beyond)
    layer = ((1 + beyond) * near - beyond * far) / length
    return 0.5 * (layer**2 + NEGLIGIBLE**2).log().mean() + math.log(length)


def _strong_gradients(ends: Tensor) -> Tensor:
    """Return the strongest gradients of both ends, ``(2, n)``.

    They are taken at half the size, which halves the noise.
    """
    small = ends.double()
    if min(ends.shape[-2:]) >= 8:
        small = functional.avg_pool2d(small, 2)
    both = torch.cat([d.flatten(1) for d in gradients(small)], 1)
    size = both.norm(dim=0)
    if both.numel():
        size = size[size > 0]
    if not size.numel():
        return both[:, :0]
    least = torch.quantile(size[:: max(1, len(size) // 200_000)], 1 - STRONGEST)
    both = both[:, both.norm(dim=0) >= least.clamp_min(1e-9)]
    return both[:, :: max(1, both.shape[1] // SAMPLES)]


def _reach(near: Tensor, far: Tensor) -> float:
    """Return how far beyond ``near``, seen from ``far``, nearly all values stay within [0, 1]."""
    away = (near - far).flatten().double()
    place = near.flatten().double()
    # Rounded values may lie a little outside, which says nothing where both ends are black.
    room = (torch.where(away > 0, 1 - place, place) + ROUNDING_SLACK) / away.abs().clamp_min(1e-9)
    rank = max(1, round(OUTSIDE_PART * room.numel()))
    return min(FARTHEST, max(0.0, float(room.kthvalue(rank).values)))
