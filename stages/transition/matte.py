"""The matte of a wipe or an iris: one soft edge that passes over the picture, fitted to it.

``m_t(x) = ease(clip((e_t - order(x)) / soft, 0, 1))``. ``order`` is the order in which the picture
changes, in one of the patterns of :mod:`stages.kinds`; the progress ``e_t`` of each frame is free
but rises; ``ease`` goes from even to smoothstep. All are fitted to the mixed frames, against layers
that are known by then. Axes: n mixed frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
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

FIT_SIDE = 96  # pixels of the longer side at which the edge is fitted
LEAST_SIZE = (12, 16)  # pixels (H, W) of the fit at least: the search's blocks
FIT_STEPS = 300  # of Adam
REFIT_STEPS = 100  # where the edge was fitted before, to other layers
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
SMOOTH_WIDTH = 1.4  # width of a smooth ramp that is most like a straight one of width 1
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

    def with_other_ease(self) -> SoftEdge:
        """Return a like edge that is a straight ramp if this one is smooth, and the other way."""
        other = SoftEdge.of(self.numbers())
        straight = float(self.ease.detach()) < 0.5
        with torch.no_grad():
            soft = self.soft.exp()
            other.ease.fill_(1.0 if straight else 0.0)
            other.soft.copy_((soft * (SMOOTH_WIDTH if straight else 1 / SMOOTH_WIDTH)).log())
            # The middle of the edge stays where it is.
            other.edge.copy_(self.edge + (other.soft.exp() - soft) / 2)
        return other

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
    certainty: Tensor | None = None,
    effect: str | None = None,
) -> tuple[Tensor, SoftEdge] | None:
    """Fit the matte of the mixed frames.

    layers: both scenes in the mixed frames, ``(n, 3, H, W)``, as well as they are known.
    means: the mean weight of each frame, ``(n,)``.
    previous: an edge to start from; it is changed in place.
    certainty: how much each pixel counts, ``(n, 1, H, W)``, above 0; all alike unless given.
    effect: FFmpeg's name of the transition, where the search knows it.

    Returns the matte ``(n, 1, H, W)`` and its edge, or None where no wipe or iris explains the
    frames.
    """
    frames = mixture.frames[mixture.mixed]
    height, width = frames.shape[-2:]
    scale = min(1.0, FIT_SIDE / max(height, width))
    size = (max(LEAST_SIZE[0], round(height * scale)), max(LEAST_SIZE[1], round(width * scale)))
    small, a, b = (resize(part, size) for part in (frames, *layers))
    counted = 1.0 if certainty is None else resize(certainty, size)
    if previous is None:
        edge = _first_guess(small, (a, b), height / width, means)
        named = _named_guess(effect, height / width, len(small))
        if named is not None and (edge is None or edge.pattern != named.pattern):
            edge = _at_means(named, size, means)
        if edge is None:
            return None
        _fit_edge(edge, mixture, small, (a, b), FIT_STEPS, counted)
    else:
        # A straight ramp and a wider smooth one are alike, and descent hardly finds from one to the
        # other. With the better layers of now both are tried.
        tried = previous, previous.with_other_ease()
        losses = [_fit_edge(one, mixture, small, (a, b), REFIT_STEPS, counted) for one in tried]
        edge = tried[losses.index(min(losses))]
    with torch.no_grad():
        return edge(height, width), edge


def _fit_edge(
    edge: SoftEdge,
    mixture: Mixture,
    small: Tensor,
    layers: tuple[Tensor, Tensor],
    steps: int,
    counted: Tensor | float,
) -> float:
    """Fit an edge, in place, and return what it leaves unexplained.

    mixture: tells how layers are mixed. small, layers: the mixed frames and both scenes in them,
    ``(n, 3, h, w)``, at the size of the fit. counted: how much each pixel counts.
    """
    size = (small.shape[-2], small.shape[-1])

    def unexplained(leak: float = 0.0) -> Tensor:
        matte = edge(*size, leak=leak).clamp(-OVERSHOOT, 1 + OVERSHOOT)
        return charbonnier(counted * (mixture.dissolve(matte).mix(*layers) - small))

    def evaluate(step: int, weights: Weights) -> Losses:
        pace = edge.edge[1:] - edge.edge[:-1]
        losses = {
            "unexplained": unexplained(LEAK * max(0.0, 1 - 2 * step / steps)),
            "falling": (-pace).clamp_min(0).sum(),
        }
        if len(pace) > 1:
            losses["bend"] = (pace[1:] - pace[:-1]).abs().mean()
        return weighted(losses, weights)

    descent = Descent(
        [ParameterGroup(list(edge.parameters()), decay_from_half(RATE))],
        betas=BETAS,
        name="the fit of the matte",
    )
    descent.run(evaluate, WEIGHTS, steps)
    with torch.no_grad():
        return float(unexplained())


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
    return _at_means(edge, (small.shape[-2], small.shape[-1]), means)


def _named_guess(effect: str | None, aspect: float, count: int) -> SoftEdge | None:
    """Return the edge of FFmpeg's transition of this name, for ``count`` frames, or None."""
    for name, pattern in PATTERNS.items():
        maps = len(pattern.order(torch.zeros(1), torch.zeros(1), aspect))
        for place, slope in product(range(maps), (1.0, -1.0)):
            slopes = tuple(slope if number == place else 0.0 for number in range(maps))
            for soft in (FIRST_SOFTNESS, 1.0):
                if effect is not None and pattern.effect(slopes, soft, aspect) == effect:
                    return SoftEdge(name, (0.0, *slopes), (0, 0), aspect, torch.zeros(count), soft)
    return None


def _at_means(edge: SoftEdge, size: tuple[int, int], means: Tensor) -> SoftEdge:
    """Return the edge, put where the weights have these means in a picture of ``size``."""
    with torch.no_grad():
        ordered = edge.order(*size).flatten().sort().values
        ranks = (means.clamp(0, 1) * (len(ordered) - 1)).round().long()
        edge.edge.copy_(ordered[ranks] + edge.soft.exp() / 2)
    return edge
