"""The matte of a wipe or an iris: one soft edge that passes over the picture, the same for all frames.

``m_t(x) = ease(clip((e_t - place(x)) / soft, 0, 1))``. ``place`` is the order in which the picture changes, in one of the forms of
:mod:`stages.find.forms`; ``e_t`` is free and rises; ``ease`` goes from even to smoothstep. All are fitted to the mixed frames
against layers that are known by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.find.forms import FORMS
from stages.find.wipes import block_weights, pixel_places, shape_of
from stages.mixing.mixture import Mixture, mix
from stages.motion.flow import resize
from stages.optim.penalties import charbonnier

SIDE = 256  # longer side at which the edge is fitted
STEPS = 300
LEAK = 0.02  # at the start; it would soften the edge in the end
STEADY = 0.05  # weight of a change of the edge's pace


class Edge(torch.nn.Module):
    """The matte's few numbers: ``terms`` of the order of change, its centre and shape, the softness, its ease and each frame's progress."""

    def __init__(
        self,
        form: str,
        terms: tuple[float, ...],
        centre: tuple[float, float],
        aspect: float,
        progress: Tensor,
        soft: float,
    ) -> None:
        super().__init__()
        self.form, self.aspect = form, aspect
        self.slope = torch.nn.Parameter(torch.tensor(terms[1:], dtype=torch.float32))
        self.centre = torch.nn.Parameter(torch.tensor(centre, dtype=torch.float32))
        self.stretch = torch.nn.Parameter(torch.zeros(()))
        self.soft = torch.nn.Parameter(torch.tensor(soft).log())
        self.ease = torch.nn.Parameter(torch.zeros(()))
        self.edge = torch.nn.Parameter(progress.clone())

    def numbers(self) -> dict[str, object]:
        """All that it is made of, as a checkpoint keeps it; :meth:`of` makes it again."""
        return {"form": self.form, "aspect": self.aspect, "values": dict(self.state_dict())}

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> Edge:
        """The edge with these :meth:`numbers`."""
        values = numbers["values"]
        edge = cls(
            numbers["form"],
            (0.0, *values["slope"].tolist()),
            (0, 0),
            numbers["aspect"],
            torch.zeros_like(values["edge"]),
            1,
        )
        edge.load_state_dict(values)
        return edge

    def place(self, height: int, width: int) -> Tensor:
        """Order of change ``(H, W)``, in units of the picture's width times the slope."""
        x, y = (torch.from_numpy(part).float() for part in pixel_places(height, width, self.aspect))
        form = FORMS[self.form]
        if form.centred:
            x, y = x - self.centre[0], (y - self.centre[1]) * self.stretch.exp()
        maps = form.order(x, y, self.aspect)
        return torch.stack(
            [slope * part for slope, part in zip(self.slope, maps, strict=True)]
        ).sum(0)

    def forward(self, height: int, width: int, leak: float = 0.0) -> Tensor:
        """The matte ``(n, 1, H, W)`` in [0, 1]. A ``leak`` lets the gradient through where it is clipped: a far edge is still drawn."""
        ramp = (self.edge.view(-1, 1, 1) - self.place(height, width)) / self.soft.exp()
        even = ramp.clamp(0, 1)
        # Clipped in its value alone, so that it finds its way back from beyond.
        ease = self.ease + (self.ease.clamp(0, 1) - self.ease).detach()
        clipped = even + ease * even * (1 - even) * (2 * even - 1)
        return (clipped + leak * (ramp - clipped) if leak else clipped)[:, None]


def fit_matte(
    mixture: Mixture, layers: tuple[Tensor, Tensor], means: Tensor, previous: Edge | None = None
) -> tuple[Tensor, Edge] | None:
    """The matte ``(n, 1, H, W)`` of the mixed frames, or ``None`` where no wipe or iris explains them.

    layers: both scenes in the mixed frames, ``(n, 3, H, W)``, as well as they are known; means: the mean weight of each frame, ``(n,)``.
    """
    frames = mixture.frames[mixture.mixed]
    height, width = frames.shape[-2:]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(12, round(height * scale)), max(16, round(width * scale)))
    small, a, b = (resize(part, size) for part in (frames, *layers))
    edge = previous or _first_guess(small, a, b, height / width, means)
    if edge is None:
        return None
    optimiser = torch.optim.Adam(edge.parameters(), lr=0.01)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 0.01 * min(1.0, 2 * (STEPS - step) / STEPS)
        optimiser.zero_grad()
        leak = LEAK * max(0.0, 1 - 2 * step / STEPS)
        rest = mix(a, b, edge(*size, leak=leak).clamp(-0.2, 1.2), mixture.space) - small
        pace = edge.edge[1:] - edge.edge[:-1]
        loss = charbonnier(rest) + (-pace).clamp_min(0).sum()
        if len(pace) > 1:
            loss = loss + STEADY * (pace[1:] - pace[:-1]).abs().mean()
        torch.autograd.backward(loss)
        optimiser.step()
    with torch.no_grad():
        return edge(height, width), edge


def _first_guess(small: Tensor, a: Tensor, b: Tensor, aspect: float, means: Tensor) -> Edge | None:
    """The edge that the search's block times tell."""
    pictures = [np.ascontiguousarray(part.permute(0, 2, 3, 1).numpy()) for part in (small, a, b)]
    weights, power = block_weights(*pictures)
    shape = shape_of(weights, power.mean(0), aspect)
    if shape is None:
        return None
    span = max(shape.last - shape.first, 1e-6)
    terms = (0.0, *(term / span for term in shape.terms[1:]))
    edge = Edge(shape.form, terms, shape.centre, aspect, torch.zeros(len(small)), 0.1)
    with torch.no_grad():
        place = edge.place(small.shape[-2], small.shape[-1]).flatten()
        ordered = place.sort().values
        ranks = (means.clamp(0, 1) * (len(ordered) - 1)).round().long()
        edge.edge.copy_(ordered[ranks] + 0.05)
    return edge
