"""The matte of a wipe or an iris: one soft edge that passes over the picture, fitted to it.

``m_t(x) = ease(clip((e_t - order(x)) / soft, 0, 1))``. ``order`` is the order in which the picture
changes, in one of the patterns of :mod:`stages.kinds`; the progress ``e_t`` of each frame is free
but rises; ``ease`` goes from even to smoothstep. All are fitted to the mixed frames, against layers
that are known by then. Axes: n mixed frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.find.wipes import block_weights, fit_pattern, pixel_places
from stages.kinds import PATTERNS
from stages.mixing.mixture import Mixture
from stages.motion.flow import resize
from stages.optim.descent import Descent, Losses, ParameterGroup, Weights, weighted
from stages.optim.losses import Schedule, constant, decay_from_half
from stages.optim.penalties import charbonnier

SIDE = 256  # pixels of the longer side at which the edge is fitted
LEAST_SIZE = (12, 16)  # pixels (H, W) of the fit at least: the search's blocks
STEPS = 300  # of Adam
RATE = 0.01  # learning rate; it falls to 0 over the second half of the steps
# Gradient that a clipped matte lets through at the start. It falls to 0 over the first half of the
# steps, because it would soften the edge.
LEAK = 0.02
BETAS = (0.9, 0.999)  # Adam's defaults
WEIGHTS: dict[str, Schedule] = {
    "unexplained": constant(1.0),
    "falling": constant(1.0),
    "bend": constant(0.05),
}
"""The weight of every loss of the fit: what the matte leaves unexplained, progress that falls, and
changes of the edge's speed."""
OVERSHOOT = 0.2  # how far a leaking matte may be outside of [0, 1]
FIRST_SOFTNESS = 0.1  # width of the edge that the fit begins with, as part of its whole way


class SoftEdge(torch.nn.Module):
    """The few numbers of a matte.

    pattern: a name of :data:`stages.kinds.PATTERNS`.
    terms: a constant, which is not used, and the weights of the pattern's maps.
    center: in picture widths from the middle.
    aspect: height / width of the picture.
    progress: of each frame, ``(n,)``, in the units of the order of change.
    soft: width of the edge in the same units.
    """

    def __init__(
        self,
        pattern: str,
        terms: tuple[float, ...],
        center: tuple[float, float],
        aspect: float,
        progress: Tensor,
        soft: float,
    ) -> None:
        super().__init__()
        self.pattern, self.aspect = pattern, aspect
        self.slope = torch.nn.Parameter(torch.tensor(terms[1:], dtype=torch.float32))
        self.center = torch.nn.Parameter(torch.tensor(center, dtype=torch.float32))
        self.stretch = torch.nn.Parameter(torch.zeros(()))
        self.soft = torch.nn.Parameter(torch.tensor(soft).log())
        self.ease = torch.nn.Parameter(torch.zeros(()))
        self.edge = torch.nn.Parameter(progress.clone())

    def numbers(self) -> dict[str, object]:
        """Return all that it consists of, as a checkpoint holds it; :meth:`of` is the inverse."""
        return {"form": self.pattern, "aspect": self.aspect, "values": dict(self.state_dict())}

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> SoftEdge:
        """Return the edge that has these :meth:`numbers`."""
        values = numbers["values"]
        terms = (0.0, *values["slope"].tolist())
        progress = torch.zeros_like(values["edge"])
        edge = cls(numbers["form"], terms, (0, 0), numbers["aspect"], progress, 1)
        edge.load_state_dict(values)
        return edge

    def order(self, height: int, width: int) -> Tensor:
        """Return the order of change ``(H, W)``, in picture widths times the slope."""
        x, y = (torch.from_numpy(part).float() for part in pixel_places(height, width, self.aspect))
        pattern = PATTERNS[self.pattern]
        if pattern.centered:
            x, y = x - self.center[0], (y - self.center[1]) * self.stretch.exp()
        maps = pattern.order(x, y, self.aspect)
        return torch.stack(
            [slope * part for slope, part in zip(self.slope, maps, strict=True)]
        ).sum(0)

    def forward(self, height: int, width: int, leak: float = 0.0) -> Tensor:
        """Return the matte ``(n, 1, H, W)`` in [0, 1].

        leak: gradient that passes where the matte is clipped, so that a far edge still moves. The
        matte then exceeds [0, 1] a little.
        """
        ramp = (self.edge.view(-1, 1, 1) - self.order(height, width)) / self.soft.exp()
        even = ramp.clamp(0, 1)
        # Only the value is clipped, not the gradient: so it finds its way back from outside [0, 1].
        ease = self.ease + (self.ease.clamp(0, 1) - self.ease).detach()
        clipped = even + ease * even * (1 - even) * (2 * even - 1)
        return (clipped + leak * (ramp - clipped) if leak else clipped)[:, None]


def fit_matte(
    mixture: Mixture,
    layers: tuple[Tensor, Tensor],
    means: Tensor,
    previous: SoftEdge | None = None,
) -> tuple[Tensor, SoftEdge] | None:
    """Fit the matte of the mixed frames.

    layers: both scenes in the mixed frames, ``(n, 3, H, W)``, as well as they are known.
    means: the mean weight of each frame, ``(n,)``.
    previous: an edge to start from; it is changed in place.

    Returns the matte ``(n, 1, H, W)`` and its edge, or None where no wipe or iris explains the
    frames.
    """
    frames = mixture.frames[mixture.mixed]
    height, width = frames.shape[-2:]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(LEAST_SIZE[0], round(height * scale)), max(LEAST_SIZE[1], round(width * scale)))
    small, a, b = (resize(part, size) for part in (frames, *layers))
    edge = previous or _first_guess(small, (a, b), height / width, means)
    if edge is None:
        return None

    def evaluate(step: int, weights: Weights) -> Losses:
        leak = LEAK * max(0.0, 1 - 2 * step / STEPS)
        matte = edge(*size, leak=leak).clamp(-OVERSHOOT, 1 + OVERSHOOT)
        rest = mixture.dissolve(matte).mix(a, b) - small
        pace = edge.edge[1:] - edge.edge[:-1]
        losses = {"unexplained": charbonnier(rest), "falling": (-pace).clamp_min(0).sum()}
        if len(pace) > 1:
            losses["bend"] = (pace[1:] - pace[:-1]).abs().mean()
        return weighted(losses, weights)

    descent = Descent(
        [ParameterGroup(list(edge.parameters()), decay_from_half(RATE))],
        betas=BETAS,
        name="the fit of the matte",
    )
    descent.run(evaluate, WEIGHTS, STEPS)
    with torch.no_grad():
        return edge(height, width), edge


def _first_guess(
    small: Tensor, layers: tuple[Tensor, Tensor], aspect: float, means: Tensor
) -> SoftEdge | None:
    """Return the edge that the times at which blocks change suggest, or None without a pattern."""
    pictures = [np.ascontiguousarray(part.permute(0, 2, 3, 1).numpy()) for part in (small, *layers)]
    weights, power = block_weights(*pictures)
    pattern = fit_pattern(weights, power.mean(0), aspect)
    if pattern is None:
        return None
    span = max(pattern.last - pattern.first, 1e-6)
    terms = (0.0, *(term / span for term in pattern.terms[1:]))
    edge = SoftEdge(
        pattern.pattern, terms, pattern.center, aspect, torch.zeros(len(small)), FIRST_SOFTNESS
    )
    with torch.no_grad():
        order = edge.order(small.shape[-2], small.shape[-1]).flatten()
        ordered = order.sort().values
        ranks = (means.clamp(0, 1) * (len(ordered) - 1)).round().long()
        edge.edge.copy_(ordered[ranks] + FIRST_SOFTNESS / 2)
    return edge
