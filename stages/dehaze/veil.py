"""Estimate the transmission as a smooth upper envelope of what the darkest pixels allow.

Nothing is darker than black, so every pixel bounds its transmission from below
(:func:`stages.dehaze.model.dark_bound`); the bound is met where something black is in view. To
assume that it is met in every patch (the dark channel) makes white walls and skies far too dark.
Here the transmission is a surface that is smooth except at edges and along motion. It should not
pass below the bounds and is drawn down to those near it. Bounds far below it belong to a bright
surface, not to thick haze, and are ignored.

Within a surface of one colour the distance from the airlight, ``|I - A| = t |J - A|``, changes as
the transmission does, apart from shading (Fattal, SIGGRAPH 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.dehaze.model import dark_bound, over_picture
from stages.motion.flow import consistency, flows, lookup, resize, resize_flow, sample
from stages.optim.conjugate_gradients import conjugate_gradients
from stages.optim.fit import OnStep
from stages.optim.losses import gradients

GRID = 4
"""Pixels of the working picture per point of the grid. Depth has no finer detail than its edges,
which come from the guide."""
STIFFNESS = 10.0
"""Weight of the surface's smoothness, relative to one bound."""
FOLLOWED_PART = 0.6
"""Part of a change in log |I - A| that is the transmission's; the rest is shading."""
SEAM_CHANGE = 0.1
"""Change of log |I - A| between neighbouring points that is more likely a seam of two surfaces."""
LEAST_DISTANCE = 0.03
"""Distance from the airlight below which its changes are noise."""
EDGE = 0.05
"""Mean difference of colour at which the surface may bend e times as much."""
LEAST_STIFFNESS = 1e-3
"""Stiffness left at the strongest edge, as part of :data:`STIFFNESS`."""
PULL = 0.1
"""Weight of a bound just below the surface, relative to 1 for a bound above it."""
REACH = 0.1
"""Distance from the surface, in log t, at which the weight of a bound is halved."""
LEAST_BOUND = 0.08
"""Least bound of the transmission; lower ones count as this."""
MOTION_STIFFNESS = 10.0
"""Weight of the surface's differences along the motion, relative to one bound."""
FIRST_WIDENING = 10.0
"""Factor of :data:`REACH` in the first turn."""
START_QUANTILE = 0.9
"""Quantile of the log bounds at which the surface starts."""
FLOW_TOLERANCE = 2.0
"""There-and-back error of a flow, in pixels, at which its trust has fallen to 1/e."""
ITERATIONS = 30
"""Conjugate gradient iterations per turn."""
SOLVED = 1e-12
"""Mean squared residual below which a system counts as solved."""


@dataclass(frozen=True)
class MotionTies:
    """Motion between consecutive frames, on the grid.

    flow: from frame t to t + 1, ``(T - 1, 2, h, w)`` in grid points. trust: its confidence,
    ``(T - 1, 1, h, w)`` from 0 to 1.
    """

    flow: Tensor
    trust: Tensor


def grid_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the grid for working pictures of ``size``."""
    return max(1, round(size[0] / GRID)), max(1, round(size[1] / GRID))


def find_ties(frames: Tensor) -> MotionTies | None:
    """Estimate how consecutive working frames ``(T, 3, H, W)`` move; ``None`` for one frame."""
    if len(frames) < 2:
        return None
    size = grid_size((frames.shape[-2], frames.shape[-1]))
    pairs = [(t, t + 1) for t in range(len(frames) - 1)]
    flow_of_pair = flows(frames, pairs + [(u, t) for t, u in pairs])
    forward = torch.stack([flow_of_pair[t, u] for t, u in pairs])
    backward = torch.stack([flow_of_pair[u, t] for t, u in pairs])
    trust = consistency(forward, backward, FLOW_TOLERANCE)
    return MotionTies(resize_flow(forward, size), resize(trust, size))


def envelope(
    frames: Tensor,
    airlight: Tensor,
    ties: MotionTies | None = None,
    start: Tensor | None = None,
    turns: int = 14,
    on_step: OnStep | None = None,
) -> Tensor:
    """Fit the log transmission ``(T, 1, h, w)`` on the grid.

    Minimises over x, for log bounds y of the darkest pixel around each point, and weights c at
    edges and of flow::

        sum r(x - y) + STIFFNESS sum c (d x - g)²
            + MOTION_STIFFNESS sum c (x_t - warp(x_(t+1)))²

    with r(u) = u² for u < 0 and PULL REACH² log(1 + (u / REACH)²) (Cauchy) above, by re-weighted
    least squares. g is the part of ``d log |I - A|`` that is followed.

    frames: working pictures ``(T, 3, H, W)``. airlight: ``(1, 3, 1, 1)`` or a field. ties: motion
    between the frames. start: an earlier answer. turns: of re-weighting. on_step: called with the
    progress and how far the last turn moved the surface.
    """
    y = _log_bounds(frames, airlight)
    stiffness, followed = _stiffness(frames, airlight)
    # What the terms with g add to the right-hand side of the linear systems.
    pull_by_followed = _add_transposed(
        torch.zeros_like(y), [c * g for c, g in zip(stiffness, followed, strict=True)]
    )
    smoothness = _SmoothnessCost(stiffness, ties)
    if start is None:
        # Start above, so that bounds far below the surface do not draw it from the first turn on.
        x = y.flatten(1).quantile(START_QUANTILE, 1).view(-1, 1, 1, 1).expand_as(y).clone()
    else:
        x = start.double()
    for turn in range(turns):
        above = x - y
        # All bounds draw at first and only near ones later, so the start does not matter.
        widening = FIRST_WIDENING ** (1 - 2 * turn / turns)
        reach = REACH if start is not None else REACH * max(1.0, widening)
        near = PULL / (1 + (above / reach).square())
        weight = torch.where(above < 0, torch.ones_like(above), near)
        before = x
        x = _solve(weight, weight * y + pull_by_followed, smoothness, x)
        if on_step is not None:
            on_step((turn + 1) / turns, {"moved": float((x - before).square().mean().sqrt())})
    return x


def _log_bounds(frames: Tensor, airlight: Tensor) -> Tensor:
    """Return y of :func:`envelope`: the log bound of the darkest pixel around each grid point."""
    full = (frames.shape[-2], frames.shape[-1])
    bound = dark_bound(frames, over_picture(airlight, full))
    bound = F.pad(bound, (GRID // 2 + 1, GRID // 2) * 2, mode="replicate")
    highest = resize(F.max_pool2d(bound, GRID + 2, 1), grid_size(full))
    return highest.clamp(LEAST_BOUND, 1).log().double()


def _stiffness(frames: Tensor, airlight: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return c and g of :func:`envelope`, each for differences across and down the grid.

    c is lower at edges of the frames. g is the change of the surface that costs nothing.
    """
    size = grid_size((frames.shape[-2], frames.shape[-1]))
    small = resize(frames, size).double()
    stiffness = [
        STIFFNESS * (torch.exp(-d.abs().mean(1, keepdim=True) / EDGE) + LEAST_STIFFNESS)
        for d in gradients(small)
    ]
    distance = (small - over_picture(airlight, size)).square().mean(1, keepdim=True).sqrt()
    distance = distance.clamp_min(LEAST_DISTANCE).log()
    followed = [
        FOLLOWED_PART * d * torch.exp(-((d / SEAM_CHANGE) ** 2)) for d in gradients(distance)
    ]
    return stiffness, followed


def transmission_of(log_transmission: Tensor, black: float) -> Tensor:
    """Return the transmission ``(T, 1, h, w)`` in (0, 1] of an :func:`envelope` of this shape.

    black: how far the darkest things are from black, in log t.
    """
    return (log_transmission + black).exp().clamp(0, 1).float()


def _add_transposed(total: Tensor, differences: list[Tensor]) -> Tensor:
    """Add the transpose of :func:`stages.optim.losses.gradients` to ``total``, and return it.

    total: ``(T, 1, h, w)``, changed in place. differences: to the right and down, to which the
    transpose is applied.
    """
    across, down = differences
    total[..., :-1, :] -= down
    total[..., 1:, :] += down
    total[..., :, :-1] -= across
    total[..., :, 1:] += across
    return total


class _SmoothnessCost:
    """The part of :func:`envelope`'s cost that compares points with each other, without ``g``.

    It is ``sum c (d x)² + MOTION_STIFFNESS sum c (x_t - warp(x_(t+1)))²``. Its slope is written
    out, because autograd takes several times as long on grids this small.

    stiffness: the weights c of the differences to the right and down. ties: motion between frames.
    """

    def __init__(self, stiffness: list[Tensor], ties: MotionTies | None) -> None:
        self.stiffness = stiffness
        self.places: Tensor | None = None
        if ties is not None:
            self.places = lookup(ties.flow.double())
            self.trust = MOTION_STIFFNESS * ties.trust.double()

    def half_slope(self, x: Tensor) -> Tensor:
        """Return half the derivative at ``x`` ``(T, 1, h, w)``, in the same shape."""
        slope = torch.zeros_like(x)
        if self.places is not None:
            with torch.enable_grad():
                later = x[1:].detach().requires_grad_()
                carried = sample(later, self.places)
                missed = self.trust * (x[:-1] - carried.detach())
                # A sum, because for other outputs PyTorch imports SymPy first, for a second.
                total = (carried * missed).sum()
            (back,) = torch.autograd.grad(total, later)
            slope[1:] -= back
            slope[:-1] += missed
        across, down = gradients(x)
        return _add_transposed(slope, [self.stiffness[0] * across, self.stiffness[1] * down])


def _solve(weight: Tensor, target: Tensor, smoothness: _SmoothnessCost, x: Tensor) -> Tensor:
    """Solve ``weight x + smoothness'(x) / 2 = target`` by conjugate gradients, from ``x`` on."""

    def product(vector: Tensor) -> Tensor:
        return weight * vector + smoothness.half_slope(vector)

    return conjugate_gradients(product, target, x, iterations=ITERATIONS, tolerance=SOLVED)
