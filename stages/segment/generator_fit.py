"""Double-DIP on a window: fit generators of foreground, background and matte to the frames.

All frames share the three generators, whose input is noise that is coupled in time. The matte and
the colours that are already known enter the loss with a weight for each pixel. The fit draws the
colours that no frame shows, and moves the matte where that explains the input better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from models.generator import NARROW_WIDTHS, GeneratedLayer
from models.precision import probe
from stages.mixing.matte_composite import MatteComposite
from stages.motion.flow import warp
from stages.optim.fit import Draw, FitPlan, FitRun, fit
from stages.optim.losses import (
    Schedule,
    agreement,
    binary_push,
    carried_consistency,
    constant,
    ramp,
    reconstruction,
    steady_matte,
)
from stages.segment.motion import WindowMotion

WEIGHTS: dict[str, Schedule] = {
    "reconstruction": constant(1.0),
    "agreement": constant(0.5),
    "matte": constant(0.1),
    "mask_consistency": constant(0.1),
    "binary_push": ramp(0.0, 0.05),
}
"""The weight of every loss of :func:`fit_segments`."""

MOST_CHANGE = 4.0  # most log-odds that the matte's generator can add
EDGE = 0.02  # mattes are clamped this far from 0 and 1 before they become log-odds


@dataclass(frozen=True)
class SegmentEvidence:
    """What is known of a window before the fit, at the fit's size.

    Pictures are ``(T, 3, h, w)``, mattes and weights ``(T, 1, h, w)``, all in [0, 1].

    matte, trust: the matte and the confidence in it.
    foreground, shown: the foreground's colours, filled in where it is not, and the confidence in
    them. background, seen: the same for the background.
    motion: of frames of this size; ``None`` for pictures.
    """

    frames: Tensor
    matte: Tensor
    trust: Tensor
    foreground: Tensor
    shown: Tensor
    background: Tensor
    seen: Tensor
    motion: WindowMotion | None

    def to(self, device: torch.device) -> SegmentEvidence:
        """Return a copy on ``device``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(
            self, **{name: value.to(device) for name, value in values.items() if value is not None}
        )


@dataclass(frozen=True)
class Segments:
    """The fitted layers, on the CPU.

    foreground, background: ``(T, 3, h, w)`` in [0, 1]. matte: ``(T, 1, h, w)`` in [0, 1].
    """

    foreground: Tensor
    background: Tensor
    matte: Tensor


class ThreeLayers(nn.Module):
    """Generators of foreground, background and a change of the given matte, in log-odds."""

    given: Tensor

    def __init__(self, known: SegmentEvidence, *, seed: int, dtype: torch.dtype) -> None:
        super().__init__()
        count, _, height, width = known.frames.shape
        size = (height, width)
        self.foreground = GeneratedLayer(
            count, 3, size, seed=3 * seed, dtype=dtype, widths=NARROW_WIDTHS
        )
        self.background = GeneratedLayer(
            count, 3, size, seed=3 * seed + 1, dtype=dtype, widths=NARROW_WIDTHS
        )
        self.change = GeneratedLayer(
            count, 1, size, seed=3 * seed + 2, dtype=dtype, widths=NARROW_WIDTHS, start_gray=True
        )
        self.register_buffer("given", known.matte.clamp(EDGE, 1 - EDGE).logit())

    def forward(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return foreground, background and matte of the frames ``index`` ``(B,)``."""
        matte = torch.sigmoid(self.given[index] + MOST_CHANGE * (2 * self.change(index) - 1))
        return self.foreground(index), self.background(index), matte

    @torch.no_grad()
    def render(self) -> Segments:
        """Return all frames of the layers, on the CPU."""
        matte = torch.sigmoid(self.given + MOST_CHANGE * (2 * self.change.render() - 1))
        return Segments(self.foreground.render().cpu(), self.background.render().cpu(), matte.cpu())

    def code_parameters(self) -> list[nn.Parameter]:
        """Return the input codes, which learn faster."""
        return [
            p
            for layer in (self.foreground, self.background, self.change)
            for p in layer.noise.parameters()
        ]


def fit_segments(
    known: SegmentEvidence, run: FitRun, *, compare_in_place: bool = False
) -> Segments:
    """Fit the three generators to ``known.frames`` and render them.

    compare_in_place: whether consecutive mattes should agree at each pixel, where no motion is
    known; else they should along the motion.
    """
    known = known.to(run.device)
    module = ThreeLayers(known, seed=run.seed, dtype=probe(run.device).dtype).to(run.device)

    def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
        del progress
        foreground, background, matte = module(index)
        mixed = MatteComposite(matte).mix(background, foreground)
        if compare_in_place:
            consistency = steady_matte(matte, index)
        else:
            consistency = _consistency_along_flow(matte, index, known.motion)
        return {
            "reconstruction": reconstruction(mixed, known.frames[index]),
            "agreement": agreement(foreground, known.foreground[index], known.shown[index])
            + agreement(background, known.background[index], known.seen[index]),
            "matte": agreement(matte, known.matte[index], known.trust[index]),
            "binary_push": binary_push(matte),
            "mask_consistency": consistency,
        }

    plan = FitPlan(run.steps)
    draw = neighbors(len(known.frames), plan.batch)
    fit(module, terms, WEIGHTS, plan, frames=draw, seed=run.seed, on_step=run.on_step)
    return module.render()


def neighbors(frames: int, batch: int) -> Draw:
    """Return a function that draws pairs of consecutive frames for the mask-consistency loss.

    frames: number of frames; a single one is drawn alone. batch: most frames of one draw.
    """
    pairs = max(1, min(batch // 2, frames - 1))

    def draw(generator: torch.Generator) -> Tensor:
        first = torch.randperm(max(1, frames - 1), generator=generator)[:pairs]
        return torch.tensor(
            sorted({min(frame, frames - 1) for frame in torch.cat([first, first + 1]).tolist()})
        )

    return draw


def _consistency_along_flow(matte: Tensor, index: Tensor, motion: WindowMotion | None) -> Tensor:
    """Return the mask-consistency loss: each matte against the next one, warped along the flow.

    matte: of the frames of a step, ``(B, 1, h, w)``. index: which frames these are, ``(B,)``.
    Frames whose next one is not among them do not count.
    """
    if motion is None or len(index) < 2:
        return matte.sum() * 0
    follows = (index.diff() == 1).nonzero()[:, 0]
    if not len(follows):
        return matte.sum() * 0
    at = index[follows]
    return carried_consistency(
        matte[follows], warp(matte[follows + 1], motion.forward[at]), motion.trust_forward[at]
    )
