"""Takes one transition apart: where the two blocks, motion and networks, meet."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from stages.carry import Carried, carry, carried_layers, extrapolated, known_motion
from stages.clip import Frames
from stages.flow import box
from stages.matte import fit_matte
from stages.mixing import Mixture, mix, project
from stages.plan import FitSettings
from stages.shots import Space, Transition
from stages.sweep import turn


@dataclass(frozen=True)
class Separated:
    """Both layers of the mixed frames, ``(n, 3, H, W)``, and what was learnt about how they mix."""

    outgoing: Tensor
    incoming: Tensor
    mix: tuple[float, ...]
    matte: Tensor | None
    space: Space
    seconds: dict[str, float] = field(default_factory=dict)
    report: dict[str, float] = field(default_factory=dict)


def open_mixture(window: Frames, transition: Transition) -> Mixture:
    first = transition.first_frame - window.first
    last = transition.last_frame - window.first
    weight = torch.zeros(len(window), 1, 1, 1)
    weight[first : last + 1, 0, 0, 0] = torch.tensor(transition.mix)
    weight[last + 1 :] = 1
    locked = "outgoing" if transition.outgoing is None else "incoming" if transition.incoming is None else None
    color = None
    if locked:
        digits = (transition.color or "#000000").lstrip("#")
        color = torch.tensor([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    return Mixture(window.pixels, weight, first, last, transition.space, locked, color)


def unexplained(mixture: Mixture, layers: tuple[Tensor, Tensor]) -> Tensor:
    frames, weight = mixture.frames[mixture.mixed], mixture.weight[mixture.mixed]
    radius = max(2, round(min(frames.shape[-2:]) / 48))
    out = []
    for f, a, b, w in zip(frames, *layers, weight, strict=True):
        e = box(((mix(a, b, w, mixture.space) - f) ** 2).mean(0)[None, None], radius)
        out.append(torch.maximum(e, box(e, 2 * radius)))
    return torch.cat(out)


def whole(mixture: Mixture, layers: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    a, b = mixture.frames.clone(), mixture.frames.clone()
    a[mixture.mixed], b[mixture.mixed] = layers
    return a, b


def separate_transition(window: Frames, transition: Transition, *, settings: FitSettings, progress: Callable[[float, str], None]) -> Separated:
    began = time.monotonic()
    mixture = open_mixture(window, transition)
    n = len(transition)
    matte = None
    edge = None
    for round_, levels in enumerate([[(4, 150), (2, 100)], [(1, 80)]]):
        if transition.kind in ("wipe", "iris", "other") :
            if round_ == 0:
                size = window.pixels.shape[-2:]
                k = known_motion(mixture, "outgoing"), known_motion(mixture, "incoming")
                layers = carried_layers(mixture, (torch.zeros(n, 2, *size), torch.zeros(n, 2, *size)))
            else:
                layers = carried.layers
            found = fit_matte(mixture, layers, transition.kind, torch.tensor(transition.mix), edge)
            if found:
                matte, edge = found
                weight = mixture.weight.expand(-1, 1, *window.pixels.shape[-2:]).clone()
                weight[mixture.mixed] = matte
                mixture = replace(mixture, weight=weight)
        carried = carry(mixture, levels, start=None if round_ == 0 else carried.flows)
    anchors = project(mixture, *carried.layers)
    trust = 30 / (1 + unexplained(mixture, carried.layers) / 0.015**2)
    layers = whole(mixture, anchors)
    for _ in range(3):
        layers = turn(mixture, layers, anchors, trust)
    out = layers[0][mixture.mixed], layers[1][mixture.mixed]
    w = mixture.weight[mixture.mixed].mean((1, 2, 3))
    return Separated(out[0], out[1], tuple(float(x) for x in w), matte, mixture.space, {"fit": time.monotonic() - began}, {})
