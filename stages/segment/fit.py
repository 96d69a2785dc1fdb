"""Double-DIP on a window: generators of foreground, background and matte, fitted together so that their mixture gives the input.

Each is shared by all frames, on noise that is coupled in time. What motion, votes and the completed background know comes in with a trust
for each pixel; the fit gives colours to what nothing shows, and moves the matte where two plausible layers explain the input better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from models.generator import NARROW_WIDTHS, GeneratedLayer
from models.noise import walking_noise
from models.precision import probe
from models.skip import Skip
from stages.motion.flow import warp
from stages.optim.fit import Draw, FitPlan, OnStep, fit
from stages.optim.losses import (
    Schedule,
    agreement,
    binary_push,
    carried_consistency,
    constant,
    exclusion,
    ramp,
    reconstruction,
    squared_reconstruction,
)
from stages.segment.motion import Motion

WEIGHTS: dict[str, Schedule] = {
    "reconstruction": constant(1.0),
    "agreement": constant(0.5),
    "matte": constant(0.1),
    "mask_consistency": constant(0.1),
    "binary_push": ramp(0.0, 0.05),
}
"""The weight of every loss of :func:`fit_segments`, in one place."""

PAPER_WEIGHTS: dict[str, Schedule] = {
    "reconstruction": constant(1.0),
    "exclusion": constant(0.1),
    "matte": ramp(1.0, 0.0, 0.3),
    "binary_push": ramp(0.0, 0.1),
}
"""Double-DIP's for segmentation: the hint leads at the start, then the matte is pushed to 0 and 1 (Gandelsman et al. 2019, section 3)."""

REACH = 4.0  # log-odds that the matte's generator can add
EDGE = 0.02
PAPER_DEPTH = 2
PAPER_JITTER = 1e-3
HINTED = 0.8  # trust in the given matte above which it stands for the user's hint


@dataclass(frozen=True)
class Known:
    """What is believed of a window before the fit, at the fit's size: pictures ``(T, 3, h, w)``, weights ``(T, 1, h, w)`` in [0, 1].

    matte, trust: the matte and how far it is believed. foreground, shown: its colours, filled in where it is not, and trust in them.
    background, seen: the same behind it.
    """

    frames: Tensor
    matte: Tensor
    trust: Tensor
    foreground: Tensor
    shown: Tensor
    background: Tensor
    seen: Tensor
    motion: Motion | None

    def to(self, device: torch.device) -> Known:
        """The same on ``device``."""
        there = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(
            self, **{name: each.to(device) for name, each in there.items() if each is not None}
        )


@dataclass(frozen=True)
class Segments:
    """What the fit found, on the CPU: ``foreground``, ``background`` ``(T, 3, h, w)`` and ``matte`` ``(T, 1, h, w)`` in [0, 1]."""

    foreground: Tensor
    background: Tensor
    matte: Tensor


class ThreeLayers(nn.Module):
    """The generators of foreground, background and matte; the matte's moves a given one."""

    given: Tensor

    def __init__(self, known: Known, *, seed: int, dtype: torch.dtype) -> None:
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
            count, 1, size, seed=3 * seed + 2, dtype=dtype, widths=NARROW_WIDTHS, still=True
        )
        self.register_buffer("given", known.matte.clamp(EDGE, 1 - EDGE).logit())

    def forward(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Foreground, background and matte of the frames ``index`` (B,)."""
        matte = torch.sigmoid(self.given[index] + REACH * (2 * self.change(index) - 1))
        return self.foreground(index), self.background(index), matte

    def code_parameters(self) -> list[nn.Parameter]:
        """The parameters that learn faster."""
        return [
            p
            for layer in (self.foreground, self.background, self.change)
            for p in layer.noise.parameters()
        ]


def neighbours(frames: int, batch: int) -> Draw:
    """Draws pairs of consecutive frames, as the matte is compared from one to the next; one frame alone comes as it is."""
    pairs = max(1, min(batch // 2, frames - 1))

    def draw(generator: torch.Generator) -> Tensor:
        first = torch.randperm(max(1, frames - 1), generator=generator)[:pairs]
        return torch.tensor(
            sorted({min(frame, frames - 1) for frame in torch.cat([first, first + 1]).tolist()})
        )

    return draw


def fit_segments(
    known: Known, *, plan: FitPlan, seed: int, device: torch.device, on_step: OnStep | None = None
) -> Segments:
    """Fit the three generators to ``known.frames`` and render them."""
    known = known.to(device)
    module = ThreeLayers(known, seed=seed, dtype=probe(device).dtype).to(device)

    def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
        del progress
        foreground, background, matte = module(index)
        frames, given = known.frames[index], known.matte[index]
        losses = {
            "reconstruction": reconstruction(matte * foreground + (1 - matte) * background, frames),
            "agreement": agreement(foreground, known.foreground[index], known.shown[index])
            + agreement(background, known.background[index], known.seen[index]),
            "matte": agreement(matte, given, known.trust[index]),
            "binary_push": binary_push(matte),
        }
        losses["mask_consistency"] = _consistency(matte, index, known.motion)
        return losses

    fit(
        module,
        terms,
        WEIGHTS,
        plan,
        frames=neighbours(len(known.frames), plan.batch),
        seed=seed,
        on_step=on_step,
    )
    matte = torch.sigmoid(module.given + REACH * (2 * module.change.render() - 1))
    return Segments(module.foreground.render().cpu(), module.background.render().cpu(), matte.cpu())


class ThreePublished(nn.Module):
    """Double-DIP's own networks: a :class:`models.skip.Skip` each for foreground, background and matte, on noise that walks."""

    noise: Tensor

    def __init__(self, frames: Tensor, seed: int) -> None:
        super().__init__()
        count, _, height, width = frames.shape
        self.nets = nn.ModuleList(
            Skip(PAPER_DEPTH, channels, seed=3 * seed + n) for n, channels in enumerate((3, 3, 1))
        )
        self.register_buffer(
            "noise",
            torch.stack(
                [walking_noise(count, PAPER_DEPTH, (height, width), 3 * seed + n) for n in range(3)]
            ),
        )

    def forward(self, index: Tensor, jitter: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Foreground, background and matte of the frames ``index`` (B,)."""
        inputs = self.noise[:, index] if jitter is None else self.noise[:, index] + jitter
        return self.nets[0](inputs[0]), self.nets[1](inputs[1]), self.nets[2](inputs[2])


def fit_paper_segments(
    known: Known, *, plan: FitPlan, seed: int, device: torch.device, on_step: OnStep | None = None
) -> Segments:
    """The yardstick: Double-DIP as published (Gandelsman et al., CVPR 2019), with ``known.matte`` where it is sure as the user's hint.

    Skip networks, Adam at 1e-3 without a schedule, squared error, a tenth of exclusion, inputs shaken by 1e-3.
    """
    known = known.to(device)
    module = ThreePublished(known.frames, seed).to(device)
    shaken = torch.Generator().manual_seed(seed)
    published = replace(plan, rate=1e-3, warm_up=0, decay=False, betas=(0.9, 0.999))

    def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
        del progress
        jitter = PAPER_JITTER * torch.randn(
            (3, len(index), *module.noise.shape[2:]), generator=shaken
        ).to(device)
        foreground, background, matte = module(index, jitter)
        picture = matte * foreground + (1 - matte) * background
        return {
            "reconstruction": squared_reconstruction(picture, known.frames[index]),
            "exclusion": exclusion(foreground, background),
            "matte": agreement(matte, known.matte[index], (known.trust[index] > HINTED).float()),
            "binary_push": binary_push(matte),
        }

    fit(
        module,
        terms,
        PAPER_WEIGHTS,
        published,
        frames=len(known.frames),
        seed=seed,
        on_step=on_step,
    )
    with torch.no_grad():
        # With the batch's own statistics, as published: the network never leaves its training mode.
        parts = [
            module(part)
            for part in torch.split(torch.arange(len(known.frames), device=device), plan.batch)
        ]
    foreground, background, matte = (torch.cat(each).cpu() for each in zip(*parts, strict=True))
    return Segments(foreground, background, matte)


def _consistency(matte: Tensor, index: Tensor, motion: Motion | None) -> Tensor:
    """The mask-consistency loss: each matte of a batch against the next frame's, brought to it along the flow."""
    if motion is None or len(index) < 2:
        return matte.sum() * 0
    follows = (index.diff() == 1).nonzero()[:, 0]
    if not len(follows):
        return matte.sum() * 0
    at = index[follows]
    return carried_consistency(
        matte[follows], warp(matte[follows + 1], motion.forward[at]), motion.trust_forward[at]
    )
