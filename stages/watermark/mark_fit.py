"""Fit a found mark to the pixel: its soft outline, its colours, its opacity.

Pictures ``(K, 3, H, W)`` in [0, 1] that share the mark; matte ``(1, H, W)``; ink ``(3, H, W)``,
matte times colour; maps ``(H, W)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from stages.optim.fit import FitPlan, OnStep, fit
from stages.optim.losses import constant
from stages.push_pull import push_pull
from stages.watermark.continuity import (
    FIT_RANGE_WEIGHT,
    OUTLINE_COST,
    PairCosts,
    continuity,
    expansion_move,
    out_of_range,
    residual_cost,
    total_variation,
)
from stages.watermark.graph_cut import solve
from stages.watermark.mark import Mark, MarkedPictures
from stages.watermark.outline_law import shared_opacity
from stages.watermark.pixel_maps import dilated, outline_band
from stages.watermark.soft_outline import continued, soft_colors, soft_outline

CLEANING_ITERATIONS = 100  # of the cut in :func:`clean_mark`
SOFTNESSES = (0.4, 0.55)
"""Pixels of the Gaussian that makes a hard outline as soft as a sharp and as a smoothly drawn one.
Hard outlines and those of 0.7 pixels gained nothing on the development footage."""
LEARNING_RATE = 0.05
BATCH = 8  # pictures a step
LOSS_WEIGHTS = {
    "continuity": constant(1.0),
    "range": constant(FIT_RANGE_WEIGHT),
    "ink": constant(0.05),
    "shape": constant(0.1),
}
PROFILE_WEIGHT = 0.3
"""Weight of the usual soft outline, over the number of pictures, which tell little of a pixel."""


@dataclass(frozen=True)
class RefinePlan:
    """How a mark is refined.

    steps: of a fit. rounds: number of fits. seed: of the fits.
    colored: whether every pixel has a colour of its own. It takes several pictures to tell these.
    """

    steps: int
    rounds: int
    seed: int
    colored: bool = False


def refine_mark(
    marked: MarkedPictures,
    mark: Mark,
    plan: RefinePlan,
    *,
    on_step: OnStep = lambda done, losses: None,
) -> Mark:
    """Fit and clean the mark in turn, ending with a fit.

    An opaque mark only gets its soft outline.

    on_step: takes the fraction done, 0 to 1, and the losses.
    """
    if mark.is_opaque:
        return opaque_mark(marked.pictures, mark)
    for number in range(plan.rounds):
        if number and plan.colored:
            mark = clean_mark(marked, mark)
        elif number:
            marked = replace(marked, allowed=marked.allowed * mark.chosen)
            mark = hardened(mark)

        def report(done: float, losses: Mapping[str, float], number: int = number) -> None:
            on_step((number + done) / plan.rounds, losses)

        is_last = number == plan.rounds - 1
        mark = fit_overlay(
            marked, mark, plan, free_core=plan.colored and not is_last, on_step=report
        )
    return mark


def fit_overlay(
    marked: MarkedPictures,
    mark: Mark,
    plan: RefinePlan,
    *,
    free_core: bool = False,
    on_step: OnStep = lambda done, losses: None,
) -> Mark:
    """Return the mark with the outline that makes the clean pictures most continuous.

    The outline is free, one pixel to each side. It starts from the usual soft one, and stays near
    it the fewer pictures there are. A mark of many colours starts from a hard outline.

    plan: its rounds do not count.
    free_core: whether the core's opacity is free, too. It then comes out too low, but what is no
    mark fades out of it.
    """
    pictures = marked.pictures
    free = dilated(mark.chosen, 1) if free_core else outline_band(mark.chosen, 1)
    free = free & (marked.allowed > 0.5)
    softness = 0.0 if plan.colored else likely_softness(pictures, mark)
    overlay = Overlay(mark, free, colored=plan.colored, softness=softness).to(pictures.device)
    weights = LOSS_WEIGHTS
    if not plan.colored:
        weights = LOSS_WEIGHTS | {"profile": constant(PROFILE_WEIGHT / len(pictures))}

    def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
        matte, ink = overlay()
        batch = pictures[index]
        losses = {
            "continuity": continuity(batch, matte, ink),
            "range": out_of_range(batch, matte, ink),
            "ink": total_variation(ink),
            "shape": total_variation(matte / overlay.opacity),
        }
        return losses if plan.colored else losses | {"profile": overlay.profile_distance()}

    def after(progress: float, losses: Mapping[str, float]) -> None:
        overlay.clamp_parameters()
        on_step(progress, losses)

    descent = FitPlan(plan.steps, batch=BATCH, rate=LEARNING_RATE, warm_up=0)
    fit(overlay, terms, weights, descent, frames=len(pictures), seed=plan.seed, on_step=after)
    with torch.no_grad():
        matte, ink = overlay()
        is_marked = matte > 0
        return Mark(matte * is_marked, ink * is_marked, mark.opacity, mark.gain)


class Overlay(nn.Module):
    """A mark's free parameters: the coverage ``shape`` (1, H, W) and ``color`` (3, H, W).

    free: the pixels whose coverage is fitted, ``(H, W)``. colored: whether the colour is fitted.
    softness: of the outline that the coverage starts from, in pixels; 0 for a hard one.
    """

    free: Tensor
    hard: Tensor
    profile: Tensor

    def __init__(self, mark: Mark, free: Tensor, *, colored: bool, softness: float = 0.0) -> None:
        super().__init__()
        chosen = mark.matte > 0
        self.opacity = mark.opacity
        profile = soft_outline(chosen, softness)
        self.register_buffer("profile", profile.clone())
        self.shape = nn.Parameter(profile)
        self.color = nn.Parameter(soft_colors(mark, softness), requires_grad=colored)
        self.register_buffer("free", free[None].float())
        self.register_buffer("hard", chosen.float())

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return matte and ink."""
        matte = self.opacity * torch.lerp(self.hard, self.shape, self.free)
        return matte, matte * self.color

    def profile_distance(self) -> Tensor:
        """Return the mean squared difference from the coverage that the fit started from."""
        return (self.free * (self.shape - self.profile).square()).mean()

    @torch.no_grad()
    def clamp_parameters(self) -> None:
        """Clamp the parameters to [0, 1] after a step."""
        self.shape.clamp_(0, 1)
        self.color.clamp_(0, 1)


@torch.no_grad()
def likely_softness(pictures: Tensor, mark: Mark) -> float:
    """Return the one of :data:`SOFTNESSES` that leaves ``pictures`` most continuous.

    mark: its pixels are those of a matte above 0, whatever outline it has so far.
    """
    chosen = mark.matte > 0

    def cost(softness: float) -> float:
        matte = mark.opacity * soft_outline(chosen, softness)
        ink = matte * soft_colors(mark, softness)
        return residual_cost(pictures, replace(mark, matte=matte, ink=ink))

    return min(SOFTNESSES, key=cost)


def opaque_mark(pictures: Tensor, mark: Mark) -> Mark:
    """Return ``mark`` as an opaque one with a soft outline.

    On the outline, the matte tells how far a pixel is on the way from the extended surroundings to
    the mark's colour.
    """
    chosen = mark.matte > 0
    core = dilated(chosen[0], -1)
    surroundings = push_pull(pictures, ~dilated(chosen[0], 2)[None, None])
    color = continued(mark.color, core[None] if bool(core.any()) else chosen)
    contrast = color - surroundings
    covered = ((pictures - surroundings) * contrast).sum((0, 1))
    covered = (covered / contrast.square().sum((0, 1)).clamp_min(1e-3)).clamp(0, 1)
    matte = torch.where(core, torch.ones(()), covered * dilated(chosen[0], 1))[None]
    return Mark(matte, matte * color, 1.0, mark.gain)


def clean_mark(marked: MarkedPictures, mark: Mark) -> Mark:
    """Return the mark with a hard outline and without pixels that gain no continuity.

    Its opacity is estimated again.
    """
    pictures = marked.pictures
    hard = hardened(mark)
    costs = PairCosts(marked.weight, OUTLINE_COST / len(pictures) ** 0.5)
    cut = expansion_move(pictures, hard, 0.0, torch.zeros(3), costs)
    chosen = (mark.matte[0] > mark.opacity / 2) & ~solve(cut, marked.allowed, CLEANING_ITERATIONS)
    opacity = shared_opacity(pictures, chosen) or mark.opacity
    matte = opacity * chosen.float()[None]
    return Mark(matte, matte * mark.color, opacity, mark.gain)


def hardened(mark: Mark) -> Mark:
    """Return ``mark`` with a hard outline: what is covered by more than half, and nothing else."""
    matte = mark.opacity * (mark.matte > mark.opacity / 2).float()
    return replace(mark, matte=matte, ink=matte * mark.color)
