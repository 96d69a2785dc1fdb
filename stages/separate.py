"""Takes one transition apart: at a working size of bounded area (:mod:`stages.alternate`), then at the input's own, frame by frame."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor

from stages.alternate import Alternated, Pair, alternate, inside, still
from stages.carry import Carried, carried_layers
from stages.checkpoint import Keeper, Nothing
from stages.clip import Frames
from stages.clock import clocked
from stages.fit_transition import fit_paper
from stages.flow import resize, resize_flow
from stages.mixing import Mixture, mix, project, shrink
from stages.plan import FitSettings, Plan, plan_for
from stages.shots import Space, Transition
from stages.trace import Curves, thinned

CLAMPED = 3  # times that layers are made to mix to the input and brought back into [0, 1]


@dataclass(frozen=True)
class Separated:
    """Both layers of the mixed frames, ``(n, 3, H, W)`` in [0, 1], and what was learnt about how they mix.

    mix: weight of the incoming scene for each frame, its mean where there is a ``matte`` ``(n, 1, H, W)``.
    seconds: by stage. report: figures for the manifest. plan: the work that was done, as :class:`stages.plan.Plan` has it.
    trace: the losses on the way.
    """

    outgoing: Tensor
    incoming: Tensor
    mix: tuple[float, ...]
    matte: Tensor | None
    space: Space
    seconds: dict[str, float] = field(default_factory=dict)
    report: dict[str, float] = field(default_factory=dict)
    plan: dict[str, object] = field(default_factory=dict)
    trace: Curves = field(default_factory=dict)


def separate_transition(
    window: Frames,
    transition: Transition,
    *,
    settings: FitSettings,
    progress: Callable[[float, str], None],
    plan: Plan | None = None,
    keeper: Keeper | None = None,
) -> Separated:
    """The layers of ``transition``'s frames. ``window``: these frames with clean ones at both sides; progress: fraction done and a note.

    plan: the work to do; by ``settings`` unless told. keeper: where a run that may be killed keeps what is done.
    """
    seconds: dict[str, float] = defaultdict(float)
    keeper = keeper or Nothing()
    full = open_mixture(window, transition)
    if plan is None:
        with clocked(seconds, "plan"):
            progress(0.0, "measuring this machine" if settings.max_seconds else "planning")
            # Measured once: the resumed run does what the interrupted one had planned.
            plan = plan_for(full, settings)
    work = shrink(full, plan.pixels)
    if plan.paper_steps:
        done = _published(work, plan, settings, progress, seconds, keeper)
    else:
        done = alternate(work, transition.kind, plan, settings, progress, seconds, keeper)
    work = done.mixture
    with clocked(seconds, "finish"):
        progress(0.98, "full size")
        outgoing, incoming, full = finish(full, work, done.layers, done.carried)
    weight = full.weight[full.mixed]
    report = {
        "reconstruction_psnr": _reconstruction_psnr(full, (outgoing, incoming)),
        "trust": done.trust,
        "fit_steps": float(done.fit_steps),
        "turns": float(plan.turns * plan.rounds),
        "work_height": float(work.frames.shape[-2]),
        "work_width": float(work.frames.shape[-1]),
    }
    matte = weight if full.has_matte else None
    means = tuple(float(value) for value in weight.mean((1, 2, 3)))
    return Separated(outgoing, incoming, means, matte, full.space, dict(seconds), report, asdict(plan), thinned(done.trace))


def _published(
    work: Mixture, plan: Plan, settings: FitSettings, progress: Callable[[float, str], None], seconds: dict[str, float], keeper: Keeper
) -> Alternated:
    """The method as published, for comparison: no motion, no sweeps; the residual is shared out at the end."""
    with clocked(seconds, "networks"):
        result = fit_paper(
            work,
            steps=plan.paper_steps,
            seed=settings.seed,
            device=settings.device,
            on_step=lambda done, _: progress(0.98 * done, "published networks"),
            keeper=keeper,
        )
    layers = project(work, *inside(work, (result.outgoing, result.incoming)))
    return Alternated(layers, Carried(still(work), (0, 0), carried_layers(work, still(work))), work, 0.0, plan.paper_steps, result.trace)


def open_mixture(window: Frames, transition: Transition) -> Mixture:
    """The window as a mixture, with the weights that the search found."""
    first, last = transition.first_frame - window.first, transition.last_frame - window.first
    weight = torch.zeros(len(window), 1, 1, 1)
    weight[first : last + 1, 0, 0, 0] = torch.tensor(transition.mix)
    weight[last + 1 :] = 1
    if transition.color is None:
        return Mixture(window.pixels, weight, first, last, transition.space)
    digits = transition.color.lstrip("#")
    color = torch.tensor([int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)])
    locked = "outgoing" if transition.outgoing is None else "incoming"
    return Mixture(window.pixels, weight, first, last, transition.space, "outgoing" if locked == "outgoing" else "incoming", color)


def finish(full: Mixture, work: Mixture, layers: Pair, carried: Carried) -> tuple[Tensor, Tensor, Mixture]:
    """Layers of the working size in the input's own: the clean frames carried at full size give the detail, the layers the rest."""
    size = (full.frames.shape[-2], full.frames.shape[-1])
    if work.has_matte:
        weight = full.weight.expand(-1, 1, *size).clone()
        weight[full.mixed] = torch.cat([resize(one[None], size) for one in work.weight[work.mixed]])
        full = replace(full, weight=weight)
    count = full.last - full.first + 1
    done = torch.empty(count, 3, *size), torch.empty(count, 3, *size)
    for place in range(count):
        one = replace(full, first=full.first + place, last=full.first + place)
        parts = layers[0][place : place + 1], layers[1][place : place + 1]
        if parts[0].shape[-2:] != size:
            flows = carried.flows[0][place : place + 1], carried.flows[1][place : place + 1]
            sharp = carried_layers(full, (resize_flow(flows[0], size), resize_flow(flows[1], size)))
            blurred = carried.layers[0][place : place + 1], carried.layers[1][place : place + 1]
            parts = (
                sharp[0] + resize(parts[0] - blurred[0], size),
                sharp[1] + resize(parts[1] - blurred[1], size),
            )
        # Against a colour one go is meant to leave the input's own error alone; more would bring it back.
        for _ in range(1 if full.locked else CLAMPED):
            clean = project(one, *parts)
            parts = clean[0].clamp(0, 1), clean[1].clamp(0, 1)
        for side, layer in zip(done, parts, strict=True):
            side[place] = layer[0]
    return done[0], done[1], full


def _reconstruction_psnr(mixture: Mixture, layers: Pair) -> float:
    """PSNR in dB of the layers, rounded to 8 bits as files hold them, mixed back, against the input; at most 99."""
    error, values = 0.0, 0
    for frame, outgoing, incoming, weight in zip(mixture.frames[mixture.mixed], *layers, mixture.weight[mixture.mixed], strict=True):
        again = mix((outgoing * 255).round() / 255, (incoming * 255).round() / 255, weight, mixture.space)
        error += float(((again - frame) ** 2).sum())
        values += frame.numel()
    return min(99.0, -10 * math.log10(max(error / values, 1e-10)))
