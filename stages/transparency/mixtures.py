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
from stages.transparency.separated_light import SeparatedLight

STRONGEST = 0.3
"""Part of the gradients that is used, the strongest; the others are mostly noise."""
SAMPLES = 60_000
"""Largest number of gradients that is used."""
QUANTILE_SAMPLES = 200_000
"""Gradients from which the weakest of the strong ones is computed, about."""
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
    def fits(self) -> bool:
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
    def are_unmixed(self) -> bool:
        """Whether the layers differ from the pictures; two frames of a clip have none that do."""
        beyond = self.before + self.after
        return beyond > NEARLY_PURE_ENDS or (beyond > PURE_ENDS and self.dependence < INDEPENDENT)


def separate_mixtures(light: Tensor) -> SeparatedLight:
    """Unmix K pictures ``(K, 3, H, W)`` of the same two layers into layers ``(1, 3, H, W)``.

    The figures hold the weight of the transmission in each picture.
    """
    line = fit_line(light)
    first, second, weights = unmix(line, find_ends(line))
    figures = {f"weight_{number + 1}": float(weight) for number, weight in enumerate(weights)}
    return SeparatedLight("unmixing", (first[None], second[None]), figures)


def fit_line(pictures: Tensor) -> Line:
    """Fit the line of least squared distance to pictures ``(K, 3, H, W)``.

    It goes through their mean along the first principal component.
    """
    mean = pictures.mean(0)
    deviation = (pictures - mean).flatten(1).double()
    values, vectors = torch.linalg.eigh(deviation @ deviation.T / deviation.shape[1])
    # The first picture lies towards the start.
    place = vectors[:, -1] * (1 if float(vectors[0, -1]) <= 0 else -1)
    along = (place[:, None] * deviation).sum(0).view_as(mean).to(mean)
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
    at_start, at_end = (line.start - a * along).clamp(0, 1), (line.end + b * along).clamp(0, 1)
    weights = (1 + b - line.places) / (1 + a + b)
    if float(weights.mean()) >= 0.5:
        return at_start, at_end, weights
    return at_end, at_start, 1 - weights


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
    farthest = _reach(ends[0], ends[1]), _reach(ends[1], ends[0])
    strong = _strong_gradients(ends)
    if not strong.numel():
        return Ends(*farthest, dependence=0.0)
    # Finer near zero, because the ratio of the weights counts.
    spaced = torch.linspace(0, 1, CANDIDATES, dtype=torch.float64)
    before, after = (torch.expm1(spaced * math.log1p(limit)) for limit in farthest)
    # Each layer's term has one unknown, so all pairs cost no more than the two lists.
    term_a = torch.stack([_mean_log(strong[0], strong[1], float(a)) for a in before])
    term_b = torch.stack([_mean_log(strong[1], strong[0], float(b)) for b in after])
    cost = term_a[:, None] + term_b[None] - torch.log(1 + before[:, None] + after[None])
    best = int(cost.argmin())
    strength = float((strong**2).sum(0).log().mean())
    return Ends(
        before=float(before[best // CANDIDATES]),
        after=float(after[best % CANDIDATES]),
        dependence=float(cost.flatten()[best]) - strength,
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
    strength = both.norm(dim=0)
    if both.numel():
        strength = strength[strength > 0]
    if not strength.numel():
        return both[:, :0]
    step = max(1, len(strength) // QUANTILE_SAMPLES)
    least = torch.quantile(strength[::step], 1 - STRONGEST)
    both = both[:, both.norm(dim=0) >= least.clamp_min(1e-9)]
    return both[:, :: max(1, both.shape[1] // SAMPLES)]


def _reach(near: Tensor, far: Tensor) -> float:
    """Return how far beyond ``near``, seen from ``far``, nearly all values stay within [0, 1]."""
    direction = (near - far).flatten().double()
    value = near.flatten().double()
    # Rounded values may lie a little outside, which says nothing where both ends are black.
    free = torch.where(direction > 0, 1 - value, value) + ROUNDING_SLACK
    room = free / direction.abs().clamp_min(1e-9)
    rank = max(1, round(OUTSIDE_PART * room.numel()))
    return min(FARTHEST, max(0.0, float(room.kthvalue(rank).values)))
