"""Several pictures of the same two layers in different proportions: ``I_k = w_k A + (1 - w_k) B``, with nothing known but the pictures.

The pictures lie on a line, ``I(s) = P + s (Q - P)``; A lies on it at ``s = -a`` and B at ``s = 1 + b``: a, b >= 0 are all that is open.
They are found by making the gradients of the two layers independent (maximum likelihood ICA with a heavy-tailed density: Bell and
Sejnowski 1995; Levin and Weiss 2007 for the density), within what layers of values in [0, 1] allow. The layers then follow in closed form.
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

STRONG = 0.3  # part of the gradients that are looked at, the strongest: the others are noise, which has no say
SAMPLES = 60_000  # of them at most
ROUND = 0.1 / 255  # gradients below this count as none
FARTHEST = 40.0  # a and b at most: weights that differ by a fortieth
TRIED = 240  # values of a and of b
SLACK = 1 / 255  # that any value may lie outside [0, 1], for rounding
OUTSIDE = 1e-3  # part of a layer's values that may lie outside [0, 1], for noise
PIXELS = 1024 * 1024  # that the weights are looked for on
SAME = 1 / 255  # root mean square difference between the line's ends below which pictures count as one and the same
INDEPENDENT = (
    -2.6
)  # dependence of the gradients of two unlike pictures: -3 to -4 when unmixed, -1.5 to -2.5 for two frames of a moving clip
PURE, NEARLY_PURE = 0.1, 0.25  # lengths beyond the line's ends, both together, below which the ends are, or nearly are, the layers
UNEXPLAINED = 0.012, 0.15  # root mean square off the line, and its part of the line's length, above which pictures are no mixtures


@dataclass(frozen=True)
class Line:
    """The line on which K pictures lie: its ends ``(3, H, W)`` and each picture's place ``(K,)`` on it, 0 to 1.

    residual: root mean square of what it leaves unexplained. length: that of ``end - start``.
    """

    start: Tensor
    end: Tensor
    places: Tensor
    residual: float
    length: float

    @property
    def holds(self) -> bool:
        """Whether the pictures differ and lie on the line, as two different ones always do."""
        return self.length > SAME and self.residual < min(UNEXPLAINED[0], UNEXPLAINED[1] * self.length)


@dataclass(frozen=True)
class Ends:
    """How far beyond the line's ends the layers lie, ``before`` and ``after`` (a and b above), in lengths of the line.

    dependence: how much the layers' gradients say about each other there, without unit; comparable between spaces.
    """

    before: float
    after: float
    dependence: float

    @property
    def hold(self) -> bool:
        """Whether two layers were found that are not just the pictures themselves: so come out two that only look alike (a clip's)."""
        beyond = self.before + self.after
        return beyond > NEARLY_PURE or (beyond > PURE and self.dependence < INDEPENDENT)


def fit_line(pictures: Tensor) -> Line:
    """The line through ``(K, 3, H, W)`` with the least squared residual: their mean and first principal component."""
    mean = pictures.mean(0)
    away = (pictures - mean).flatten(1).double()
    values, vectors = torch.linalg.eigh(away @ away.T / away.shape[1])
    place = vectors[:, -1] * (1 if float(vectors[0, -1]) <= 0 else -1)  # the first picture towards the start
    along = (place[:, None] * away).sum(0).view_as(mean).to(mean)
    low, high = float(place.min()), float(place.max())
    residual = float(values[:-1].clamp_min(0).sum() / len(pictures)) ** 0.5
    length = float(values[-1].clamp_min(0)) ** 0.5 * (high - low)
    return Line(mean + low * along, mean + high * along, ((place - low) / max(high - low, 1e-12)).to(mean), residual, length)


def unmix(line: Line, ends: Ends) -> tuple[Tensor, Tensor, Tensor]:
    """The layers A and B ``(3, H, W)`` in [0, 1] and A's weights ``(K,)``. A is the one of which the pictures have more in all."""
    a, b = ends.before, ends.after
    along = line.end - line.start
    one, other = (line.start - a * along).clamp(0, 1), (line.end + b * along).clamp(0, 1)
    weights = (1 + b - line.places) / (1 + a + b)
    return (one, other, weights) if float(weights.mean()) >= 0.5 else (other, one, 1 - weights)


def find_ends(line: Line) -> Ends:
    """Where on ``line`` the layers lie.

    The least of ``mean log |g_A| + mean log |g_B| - log(1 + a + b)``, which is what independent heavy-tailed gradients make likely; the
    last term is the determinant of the unmixing. Less ``2 mean log |(g_P, g_Q)|`` it does not depend on how strong the gradients are, and
    is comparable between spaces: the lower, the more the gradients lie on two lines.
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
    # Finer near zero: what counts is the ratio of the weights.
    spaced = torch.linspace(0, 1, TRIED, dtype=torch.float64)
    tried = [torch.expm1(spaced * math.log1p(limit)) for limit in far]
    # Each layer's term depends on its own unknown alone, so all pairs cost no more than the two lists.
    one = torch.stack([_surprise(strong[0], strong[1], float(a)) for a in tried[0]])
    other = torch.stack([_surprise(strong[1], strong[0], float(b)) for b in tried[1]])
    total = one[:, None] + other[None] - torch.log(1 + tried[0][:, None] + tried[1][None])
    best = int(total.argmin())
    size = float((strong**2).sum(0).log().mean())
    return Ends(float(tried[0][best // TRIED]), float(tried[1][best % TRIED]), float(total.flatten()[best]) - size)


def _surprise(near: Tensor, far: Tensor, beyond: float) -> Tensor:
    """``mean log |g|`` of the layer that lies ``beyond`` the near end; noise is kept alike in every direction of the plane."""
    length = math.hypot(1 + beyond, beyond)
    layer = ((1 + beyond) * near - beyond * far) / length
    return 0.5 * (layer**2 + ROUND**2).log().mean() + math.log(length)


def _strong_gradients(ends: Tensor) -> Tensor:
    """The strongest gradients of both ends, ``(2, n)``, of pictures at half the size, which halves the noise."""
    small = functional.avg_pool2d(ends.double(), 2) if min(ends.shape[-2:]) >= 8 else ends.double()
    both = torch.cat([d.flatten(1) for d in gradients(small)], 1)
    size = both.norm(dim=0)
    size = size[size > 0] if both.numel() else size
    if not size.numel():
        return both[:, :0]
    least = torch.quantile(size[:: max(1, len(size) // 200_000)], 1 - STRONG)
    both = both[:, both.norm(dim=0) >= least.clamp_min(1e-9)]
    return both[:, :: max(1, both.shape[1] // SAMPLES)]


def _reach(near: Tensor, far: Tensor) -> float:
    """How far beyond ``near``, seen from ``far``, nearly all values stay within [0, 1]."""
    away = (near - far).flatten().double()
    place = near.flatten().double()
    # Rounded values may lie a little outside, which says nothing where both ends are black.
    room = (torch.where(away > 0, 1 - place, place) + SLACK) / away.abs().clamp_min(1e-9)
    rank = max(1, round(OUTSIDE * room.numel()))
    return min(FARTHEST, max(0.0, float(room.kthvalue(rank).values)))
