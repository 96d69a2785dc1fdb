"""The transmission as the smooth upper envelope of what the darkest pixels allow.

Nothing can be darker than black, so every pixel bounds its transmission from below (:func:`stages.dehaze.model.dark_bound`); where
something black is in view the bound is met. Taking it as met in every patch (the dark channel) makes white walls and skies far too dark.
Here the transmission is a surface that is smooth but at edges and along motion, that should not pass below the bounds and is drawn down
to those near it: bounds far below it tell of a bright surface, not of thick haze, and are ignored. Inside a surface of one colour the
frame's distance from the airlight, ``|I - A| = t |J - A|``, changes as the transmission does, but for shading (Fattal, SIGGRAPH 2008).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.dehaze.model import dark_bound, spread
from stages.motion.flow import consistency, flows, resize, resize_flow, warp
from stages.optim.fit import OnStep
from stages.optim.losses import gradients

GRID = 4  # pixels of the working picture to a side of the grid's; a depth has no finer detail than its edges, which come from the guide
STIFFNESS = 10.0  # of the surface, against one bound
FOLLOWED = 0.6  # part of a change in log |I - A| that is the transmission's; the rest is shading
SHADES = 0.1  # the change, from one point of the grid to the next, that is rather a seam between two surfaces
LEAST_DISTANCE = 0.03  # from the airlight, below which its changes are noise
EDGE = 0.05  # mean difference of colour at which the surface may bend 2.7 times as much
LOOSE = 1e-3  # stiffness that is left at the strongest edge
PULL, REACH = 0.1, 0.1  # how strongly a bound just below the surface draws it, and the distance (in log t) at which it does so half
FAINT = 0.08  # bounds below this are as good as none
TIED = 10.0  # stiffness along the motion
WIDE = 10.0  # times REACH that the first turn reaches
ITERATIONS = 30  # of conjugate gradients in a turn


@dataclass(frozen=True)
class Ties:
    """Motion on the grid: for frame t its flow to t + 1, ``(T - 1, 2, h, w)``, and how far it is trusted, ``(T - 1, 1, h, w)``."""

    flow: Tensor
    trust: Tensor


def grid_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the grid for working pictures of ``size``."""
    return max(1, round(size[0] / GRID)), max(1, round(size[1] / GRID))


def find_ties(frames: Tensor) -> Ties | None:
    """How consecutive working frames ``(T, 3, H, W)`` move; ``None`` for one frame."""
    if len(frames) < 2:
        return None
    size = grid_size((frames.shape[-2], frames.shape[-1]))
    pairs = [(t, t + 1) for t in range(len(frames) - 1)]
    found = flows(frames, pairs + [(u, t) for t, u in pairs])
    forward = torch.stack([found[t, u] for t, u in pairs])
    backward = torch.stack([found[u, t] for t, u in pairs])
    return Ties(resize_flow(forward, size), resize(consistency(forward, backward, 2.0), size))


def envelope(
    frames: Tensor,
    airlight: Tensor,
    ties: Ties | None = None,
    start: Tensor | None = None,
    turns: int = 14,
    on_step: OnStep | None = None,
) -> Tensor:
    """Log transmission on the grid, ``(T, 1, h, w)``, of working pictures ``(T, 3, H, W)`` under an airlight ``(1, 3, 1, 1)`` or a field.

    Minimises over x, for log bounds y of the darkest pixel around each point, and weights c at edges and of flow::

        sum r(x - y) + STIFFNESS sum c (d x - g)² + TIED sum c (x_t - warp(x_(t+1)))²

    with r(u) = u² for u < 0 and PULL REACH² log(1 + (u / REACH)²) (Cauchy) above, by re-weighted least squares; g is the part of
    ``d log |I - A|`` that is followed. start: an earlier answer.
    """
    size = grid_size((frames.shape[-2], frames.shape[-1]))
    bound = dark_bound(frames, spread(airlight, (frames.shape[-2], frames.shape[-1])))
    bound = F.pad(bound, (GRID // 2 + 1, GRID // 2) * 2, mode="replicate")
    y = resize(F.max_pool2d(bound, GRID + 2, 1), size).clamp(FAINT, 1).log().double()
    small = resize(frames, size).double()
    stiff = [STIFFNESS * (torch.exp(-d.abs().mean(1, keepdim=True) / EDGE) + LOOSE) for d in gradients(small)]
    distance = (small - spread(airlight, size)).square().mean(1, keepdim=True).sqrt().clamp_min(LEAST_DISTANCE).log()
    followed = [FOLLOWED * d * torch.exp(-((d / SHADES) ** 2)) for d in gradients(distance)]
    lean = _transposed([c * g for c, g in zip(stiff, followed, strict=True)], y)

    def tension(x: Tensor) -> Tensor:
        total = sum(((c * d.square()).sum() for c, d in zip(stiff, gradients(x), strict=True)), x.sum() * 0)
        if ties is not None:
            total = total + TIED * (ties.trust * (x[:-1] - warp(x[1:], ties.flow.to(x))).square()).sum()
        return total

    # From above: what lies far below the surface must not draw it from the first turn on.
    x = y.flatten(1).quantile(0.9, 1).view(-1, 1, 1, 1).expand_as(y).clone() if start is None else start.double()
    for turn in range(turns):
        over = x - y
        # Every bound draws at first, then only the near ones, lest the answer depend on the start.
        reach = REACH * (1 if start is not None else max(1.0, WIDE ** (1 - 2 * turn / turns)))
        weight = torch.where(over < 0, torch.ones_like(over), PULL / (1 + (over / reach).square()))
        before, x = x, _solve(weight, weight * y + lean, tension, x, ITERATIONS)
        if on_step is not None:
            on_step((turn + 1) / turns, {"moved": float((x - before).square().mean().sqrt())})
    return x


def transmission_of(log: Tensor, black: float) -> Tensor:
    """The transmission ``(T, 1, h, w)`` in (0, 1] of an envelope; ``black``: how far the darkest things are from black, in log t."""
    return (log + black).exp().clamp(0, 1).float()


def _transposed(steps: list[Tensor], like: Tensor) -> Tensor:
    """The transpose of :func:`stages.optim.losses.gradients`: what differences ``steps`` say of each point, in the shape of ``like``."""
    across, down = steps
    pulled = torch.zeros_like(like)
    pulled[..., :, 1:] += across
    pulled[..., :, :-1] -= across
    pulled[..., 1:, :] += down
    pulled[..., :-1, :] -= down
    return pulled


def _solve(weight: Tensor, target: Tensor, tension: Callable[[Tensor], Tensor], x: Tensor, iterations: int) -> Tensor:
    """Conjugate gradients on ``weight x + tension'(x) / 2 = target``, with ``tension`` a quadratic form; from ``x`` on."""

    def apply(p: Tensor) -> Tensor:
        with torch.enable_grad():
            p = p.detach().requires_grad_()
            (slope,) = torch.autograd.grad(tension(p), p)
        return weight * p.detach() + slope / 2

    rest = target - apply(x)
    direction, size = rest, (rest * rest).sum()
    for _ in range(iterations):
        if float(size) < 1e-12 * rest.numel():
            break
        turned = apply(direction)
        step = size / (direction * turned).sum()
        x, rest = x + step * direction, rest - step * turned
        before, size = size, (rest * rest).sum()
        direction = rest + (size / before) * direction
    return x
