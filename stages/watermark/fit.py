"""Fit a found mark to the pixel: its colours over several pictures, its soft outline, its opacity.

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
from stages.watermark.find import (
    CLEAR,
    OUTLINE,
    Mark,
    PairCosts,
    dilated,
    expansion_move,
    misfit,
    pairs,
    shared_opacity,
    solve,
)
from stages.watermark.soft import continued, soft_colors, soft_outline

NEIGHBORS = ((0, 1), (1, 0))
"""Pairs of neighbours, as (down, right)."""
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (0, 3), (3, 0))
"""Pairs of pixels whose continuity is fitted, as (down, right)."""
FINE = 0.02  # scale of the misfit; small, because only faint traces of the mark are left
AGREED = 0.7
"""An edge belongs to the mark if ``(1 + AGREED) / 2`` of the pictures have it, that is 85 %."""
TURNS = 400  # iterations of :func:`consensus`
CLEANING = 100  # iterations of the cut in :func:`clean_mark`
OPAQUE = 0.95  # an opacity above this is taken for 1
SOFTNESSES = (0.4, 0.55)
"""Pixels of the Gaussian that makes a hard outline as soft as a sharp and as a smoothly drawn one.
Hard outlines and those of 0.7 pixels gained nothing on the development footage."""


def consensus(
    pictures: Tensor, allowed: Tensor, turns: int = TURNS, agreed: float = AGREED
) -> Tensor:
    """Return what the pictures have in common, relative to its surroundings, ``(3, H, W)``.

    It is the J that minimises the sum over pairs of neighbours of ``mean_k |d I_k - d J| + agreed
    |d J|``. So it integrates the edges that nearly all pictures share, at their median strength
    (Weiss 2001; Dekel et al. 2017, eq. 3). The primal-dual method solves it.

    allowed: ``(H, W)`` in [0, 1]; where it is 0, the result is 0. turns: iterations.
    agreed: an edge is shared if ``(1 + agreed) / 2`` of the pictures have it.
    """
    count = len(pictures)
    edges = [there - here for here, there in (pairs(pictures, offset) for offset in NEIGHBORS)]
    pulls, rests = (
        [torch.zeros_like(edge) for edge in edges],
        [torch.zeros_like(edge[0]) for edge in edges],
    )
    common = torch.zeros_like(pictures[0])
    ahead = common
    for _ in range(turns):
        slope = torch.zeros_like(common)
        for offset, edge, pull, rest in zip(NEIGHBORS, edges, pulls, rests, strict=True):
            here, there = pairs(ahead, offset)
            pull.add_((there - here)[None] - edge, alpha=0.5 / count).clamp_(-1 / count, 1 / count)
            rest.add_(there - here, alpha=0.5).clamp_(-agreed, agreed)
            slope_here, slope_there = pairs(slope, offset)
            total = pull.sum(0) + rest
            slope_here -= total
            slope_there += total
        stepped = (common - slope / 8) * allowed
        ahead, common = 2 * stepped - common, stepped
    return common


def agreed_mark(
    pictures: Tensor, opacity: float, allowed: Tensor, weight: Tensor, turns: int, rounds: int = 2
) -> Mark | None:
    """Return the mark of any colours that several pictures share, or None if the cut finds none.

    With J of :func:`consensus`, the ink is ``J + a C``, where C is the pictures' median less J. So
    every pixel's colour is known, and one cut decides which pixels are marked. Cut and opacity
    alternate.

    opacity: to start from. weight: how much each pixel counts, ``(H, W)``.
    turns: iterations of a cut. rounds: alternations.
    """
    common = consensus(pictures, allowed)
    clean = pictures.median(0).values - common
    nothing = Mark.nothing(pictures)
    costs = PairCosts(weight, OUTLINE / len(pictures) ** 0.5)
    chosen = torch.zeros_like(allowed, dtype=torch.bool)
    color = nothing.ink
    for _ in range(rounds):
        color = (common / opacity + clean).clamp(0, 1)
        cut = expansion_move(pictures, nothing, opacity, color, costs)
        chosen = solve(cut, allowed, turns)
        if not bool(chosen.any()):
            return None
        opacity = shared_opacity(pictures, chosen) or opacity
    matte = opacity * chosen.float()[None]
    return Mark(matte, matte * color, opacity, 0.0)


class Overlay(nn.Module):
    """Hold a mark's free parameters: the coverage ``shape`` (1, H, W) and ``color`` (3, H, W).

    free: the pixels whose coverage is fitted, ``(H, W)``. colored: whether the colour is fitted.
    softness: of the outline that the coverage starts from, in pixels; 0 for a hard one.
    """

    free: Tensor
    start: Tensor
    profile: Tensor

    def __init__(self, mark: Mark, free: Tensor, *, colored: bool, softness: float = 0.0) -> None:
        super().__init__()
        chosen = mark.matte > 0
        self.opacity = mark.opacity
        first = soft_outline(chosen, softness)
        self.register_buffer("profile", first.clone())
        self.shape = nn.Parameter(first)
        self.color = nn.Parameter(soft_colors(mark, softness), requires_grad=colored)
        self.register_buffer("free", free[None].float())
        self.register_buffer("start", chosen.float())

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return matte and ink."""
        matte = self.opacity * torch.lerp(self.start, self.shape, self.free)
        return matte, matte * self.color

    def unlikeness(self) -> Tensor:
        """Return the mean squared difference from the coverage that the fit started from."""
        return (self.free * (self.shape - self.profile).square()).mean()

    @torch.no_grad()
    def settle(self) -> None:
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


def continuity(pictures: Tensor, matte: Tensor, ink: Tensor, scale: float = FINE) -> Tensor:
    """Return the mean misfit of the clean pictures' differences.

    They are weighted as in :func:`stages.watermark.find.expansion_move`.
    scale: difference above which it is an edge, see :func:`stages.watermark.find.misfit`.
    """
    clean = (pictures - ink) / (1 - matte)
    show = (1 - matte).sqrt()
    total = clean.sum() * 0
    for offset in STEPS:
        (here, there), (show_here, show_there) = pairs(clean, offset), pairs(show, offset)
        if here.numel():
            total = total + misfit(show_here * show_there * (there - here), scale).mean()
    return total


def out_of_range(pictures: Tensor, matte: Tensor, ink: Tensor) -> Tensor:
    """Return the mean distance of clean values from [0, 1]."""
    clean = (pictures - ink) / (1 - matte)
    return (torch.relu(-clean) + torch.relu(clean - 1)).mean()


def flatness(picture: Tensor) -> Tensor:
    """Return the total variation: the mean of ``|d x|`` over pixels, summed over both directions.

    The length ``|d x|`` is taken over the channels.
    """
    total = picture.sum() * 0
    for offset in NEIGHBORS:
        here, there = pairs(picture, offset)
        if here.numel():
            total = total + ((there - here).square().sum(0) + 1e-8).sqrt().mean()
    return total


RANGE = 24.0  # weight of clean values outside of [0, 1]
RATE = 0.05  # learning rate of the overlay
BATCH = 8  # pictures a step
WEIGHTS = {
    "continuity": constant(1.0),
    "range": constant(RANGE),
    "ink": constant(0.05),
    "shape": constant(0.1),
}
PROFILE = 0.3
"""Weight of the usual soft outline, over the number of pictures, which tell little of a pixel."""


@dataclass(frozen=True)
class RefinePlan:
    """Say how a mark is refined.

    steps: of a fit. rounds: number of fits. seed: of the fits.
    colored: whether every pixel has a colour of its own. It takes several pictures to tell these.
    """

    steps: int
    rounds: int
    seed: int
    colored: bool = False


def fit_overlay(
    pictures: Tensor,
    mark: Mark,
    allowed: Tensor,
    plan: RefinePlan,
    *,
    free_core: bool = False,
    on_step: OnStep = lambda done, losses: None,
) -> Mark:
    """Return the mark with the outline that makes the clean pictures most continuous.

    The outline is free, one pixel to each side. It starts from the usual soft one, and stays near
    it the fewer pictures there are. A mark of many colours starts from a hard outline.

    allowed: the pixels that may be marked, ``(H, W)``, boolean. plan: its rounds do not count.
    free_core: whether the core's opacity is free, too. It then comes out too low, but what is no
    mark fades out of it.
    """
    chosen = mark.matte[0] > 0
    free = dilated(chosen, 1) & allowed
    if not free_core:
        free = free & ~dilated(chosen, -1)
    softness = 0.0 if plan.colored else likely_softness(pictures, mark)
    overlay = Overlay(mark, free, colored=plan.colored, softness=softness).to(pictures.device)
    weights = WEIGHTS
    if not plan.colored:
        weights = WEIGHTS | {"profile": constant(PROFILE / len(pictures))}

    def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
        matte, ink = overlay()
        shown = pictures[index]
        losses = {
            "continuity": continuity(shown, matte, ink),
            "range": out_of_range(shown, matte, ink),
            "ink": flatness(ink),
            "shape": flatness(matte / overlay.opacity),
        }
        return losses if plan.colored else losses | {"profile": overlay.unlikeness()}

    def after(progress: float, losses: Mapping[str, float]) -> None:
        overlay.settle()
        on_step(progress, losses)

    descent = FitPlan(plan.steps, batch=BATCH, rate=RATE, warm_up=0)
    fit(overlay, terms, weights, descent, frames=len(pictures), seed=plan.seed, on_step=after)
    with torch.no_grad():
        matte, ink = overlay()
        free = matte > 0
        return Mark(matte * free, ink * free, mark.opacity, mark.gain)


def opaque_mark(pictures: Tensor, mark: Mark) -> Mark:
    """Return ``mark`` as an opaque one with a soft outline.

    On the outline, the matte tells how far a pixel is on the way from the extended surroundings to
    the mark's colour.
    """
    chosen = mark.matte > 0
    inside = dilated(chosen[0], -1)
    clean = push_pull(pictures, ~dilated(chosen[0], 2)[None, None])
    color = continued(mark.color, inside[None] if bool(inside.any()) else chosen)
    way = color - clean
    gone = (
        ((pictures - clean) * way).sum((0, 1)) / way.square().sum((0, 1)).clamp_min(1e-3)
    ).clamp(0, 1)
    matte = torch.where(inside, torch.ones(()), gone * dilated(chosen[0], 1))[None]
    return Mark(matte, matte * color, 1.0, mark.gain)


def clean_mark(pictures: Tensor, mark: Mark, allowed: Tensor, weight: Tensor) -> Mark:
    """Return the mark with a hard outline and without pixels that gain no continuity.

    Its opacity is estimated again.
    """
    chosen = mark.matte[0] > mark.opacity / 2
    matte = mark.opacity * chosen.float()[None]
    color = mark.color
    hard = replace(mark, matte=matte, ink=matte * color)
    costs = PairCosts(weight, OUTLINE / len(pictures) ** 0.5)
    cut = expansion_move(pictures, hard, 0.0, torch.zeros(3), costs)
    chosen = chosen & ~solve(cut, allowed, CLEANING)
    opacity = shared_opacity(pictures, chosen) or mark.opacity
    matte = opacity * chosen.float()[None]
    return Mark(matte, matte * color, opacity, mark.gain)


def hardened(mark: Mark) -> Mark:
    """Return ``mark`` with a hard outline: what is covered by more than half, and nothing else."""
    matte = mark.opacity * (mark.matte > mark.opacity / 2).float()
    return replace(mark, matte=matte, ink=matte * mark.color)


def residual_cost(pictures: Tensor, mark: Mark) -> float:
    """Return the cost of the pictures without ``mark``; less is better.

    It counts how discontinuous they are and how far they leave [0, 1].
    """
    matte = mark.matte.clamp(max=CLEAR)
    return float(
        continuity(pictures, matte, mark.ink) + RANGE * out_of_range(pictures, matte, mark.ink)
    )


def refine_mark(
    pictures: Tensor,
    mark: Mark,
    allowed: Tensor,
    weight: Tensor,
    plan: RefinePlan,
    *,
    on_step: OnStep = lambda done, losses: None,
) -> Mark:
    """Fit and clean the mark in turn, ending with a fit.

    An opaque mark only gets its soft outline.

    allowed: the pixels that may be marked, ``(H, W)``, boolean.
    weight: how much each pixel counts, ``(H, W)``.
    on_step: takes the fraction done, 0 to 1, and the losses.
    """
    if mark.opacity > OPAQUE:
        return opaque_mark(pictures, mark)
    for number in range(plan.rounds):
        if number and plan.colored:
            mark = clean_mark(pictures, mark, allowed, weight)
        elif number:
            allowed = allowed & (mark.matte[0] > 0)
            mark = hardened(mark)

        def report(done: float, losses: Mapping[str, float], number: int = number) -> None:
            on_step((number + done) / plan.rounds, losses)

        last = number == plan.rounds - 1
        mark = fit_overlay(
            pictures,
            mark,
            allowed,
            plan,
            free_core=plan.colored and not last,
            on_step=report,
        )
    return mark
