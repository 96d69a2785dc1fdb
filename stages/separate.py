"""Takes one transition apart. Here both blocks meet: motion, which carries what is known, and networks, which settle the rest.

    clean frames --carry--> layers and how far they explain the input (trust)
          trust --networks--> what motion leaves open, as a start
         layers --sweeps and ties--> every frame agrees with others along its own motion, and the layers mix back to the input
    the last once more in larger plans.

All of it works on a picture of bounded size; :func:`finish` brings the result to the input's own size, frame by frame.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor

from stages.carry import Carried, carried_layers, carry, reaching
from stages.clip import Frames
from stages.fit import FitPlan
from stages.fit_transition import fill, fit_paper
from stages.flow import box, resize, resize_flow
from stages.matte import Edge, fit_matte
from stages.mixing import Mixture, mix, project, shrink
from stages.plan import NETWORK_PIXELS, FitSettings, Plan, plan_for
from stages.shots import Space, Transition
from stages.sweep import turn
from stages.tie import tie_down

Pair = tuple[Tensor, Tensor]

NOISE = 0.015  # what carried frames may leave unexplained (root mean square) before they are trusted half
CLAMPED = 3  # times that layers are made to mix to the input and brought back into [0, 1]
OPEN = 0.6  # mean trust below which motion leaves enough open for the networks
ANCHOR = 30.0  # weight of a wholly trusted carried layer in the sweeps; a link at its most confident weighs 33


@dataclass(frozen=True)
class Separated:
    """Both layers of the mixed frames, ``(n, 3, H, W)`` in [0, 1], and what was learnt about how they mix.

    mix: weight of the incoming scene for each frame, its mean where there is a ``matte`` ``(n, 1, H, W)``.
    seconds: by stage. report: figures for the manifest. plan: the work that was done, as :class:`stages.plan.Plan` has it.
    """

    outgoing: Tensor
    incoming: Tensor
    mix: tuple[float, ...]
    matte: Tensor | None
    space: Space
    seconds: dict[str, float] = field(default_factory=dict)
    report: dict[str, float] = field(default_factory=dict)
    plan: dict[str, object] = field(default_factory=dict)


def separate_transition(
    window: Frames, transition: Transition, *, settings: FitSettings, progress: Callable[[float, str], None]
) -> Separated:
    """The layers of ``transition``'s frames. ``window``: these frames with clean ones at both sides; progress: fraction done and a note."""
    seconds: dict[str, float] = defaultdict(float)
    full = open_mixture(window, transition)
    with _timed(seconds, "plan"):
        progress(0.0, "measuring this machine" if settings.max_seconds else "planning")
        plan = plan_for(full, settings)
    work = shrink(full, plan.pixels)
    if plan.paper_steps:
        layers, carried, work, trusted = *_published(work, plan, settings, progress, seconds), work, 0.0
    else:
        layers, carried, work, trusted = alternate(work, transition.kind, plan, settings, progress, seconds)
    with _timed(seconds, "finish"):
        progress(0.98, "full size")
        outgoing, incoming, full = finish(full, work, layers, carried)
    weight = full.weight[full.mixed]
    report = {
        "reconstruction_psnr": _reconstruction_psnr(full, (outgoing, incoming)),
        "trust": trusted,
        "fit_steps": float(plan.fit_steps or plan.paper_steps),
        "turns": float(plan.turns * plan.rounds),
        "work_height": float(work.frames.shape[-2]),
        "work_width": float(work.frames.shape[-1]),
    }
    matte = weight if full.has_matte else None
    means = tuple(float(value) for value in weight.mean((1, 2, 3)))
    return Separated(outgoing, incoming, means, matte, full.space, dict(seconds), report, asdict(plan))


def alternate(
    mixture: Mixture, kind: str, plan: Plan, settings: FitSettings, progress: Callable[[float, str], None], seconds: dict[str, float]
) -> tuple[Pair, Carried, Mixture, float]:
    """Motion and networks in turn. Returns the layers ``(n, 3, H, W)``, the last motion fit, the mixture with its matte, the mean trust."""
    matte = MatteFit(mixture, kind)
    with _timed(seconds, "motion"):
        carried: Carried | None = None
        mixture = matte.update(carried_layers(mixture, _still(mixture)))
        levels = reaching(plan.levels, min(mixture.frames.shape[-2:]))
        for number, level in enumerate(levels):
            note = _part(progress, 0.3 * number / len(levels), 0.3 * (number + 1) / len(levels), "motion through the mixture")
            carried = carry(mixture, [level], start=carried.flows if carried else None, device=settings.device, on_step=note)
            if number + 1 < len(levels):
                mixture = matte.update(carried.layers)
    assert carried is not None, "a plan has at least one level"
    trust = trust_of(mixture, carried.layers)
    layers = anchors = project(mixture, *carried.layers)
    # Where motion explains most of the picture the networks were measured to add nothing.
    if plan.fit_steps and float(trust.mean()) < OPEN:
        with _timed(seconds, "networks"):
            layers = _networks(mixture, carried.layers, trust, plan, settings, _part(progress, 0.3, 0.5, "networks"))
    for number in range(plan.rounds):
        begin, size = 0.5 + 0.48 * number / plan.rounds, 0.24 / plan.rounds
        over = whole(mixture, layers)
        with _timed(seconds, "sweeps"):
            for go in range(plan.turns):
                progress(begin + size * go / plan.turns, "motion sweeps")
                over = turn(mixture, over, anchors, ANCHOR * trust)
        if plan.ties:
            with _timed(seconds, "ties"):
                note = _part(progress, begin + size, begin + 2 * size, "tied motion")
                over = tie_down(mixture, over, carried, plan.ties, seed=settings.seed, device=settings.device, on_step=note)
        layers = anchors = over[0][mixture.mixed], over[1][mixture.mixed]
    return layers, carried, mixture, float(trust.mean())


def trust_of(mixture: Mixture, layers: Pair) -> Tensor:
    """How far ``layers`` ``(n, 3, H, W)`` are believed before they are made to mix to the input: ``1 / (1 + e / NOISE²)``, in [0, 1].

    Returns ``(n, 1, H, W)``.

    e is the mean square of what they leave unexplained around a pixel, the larger of a near and a wide mean.
    """
    frames, weight = mixture.frames[mixture.mixed], mixture.weight[mixture.mixed]
    radius = max(2, round(min(frames.shape[-2:]) / 48))
    trusted = []
    for frame, outgoing, incoming, share in zip(frames, *layers, weight, strict=True):
        rest = ((mix(outgoing, incoming, share, mixture.space) - frame) ** 2).mean(0)[None, None]
        near = box(rest, radius)
        trusted.append(1 / (1 + torch.maximum(near, box(near, radius)) / NOISE**2))
    return torch.cat(trusted)


def whole(mixture: Mixture, layers: Pair) -> Pair:
    """Both scenes over the whole window, ``(N, 3, H, W)``: the input with the mixed frames replaced."""
    outgoing, incoming = mixture.frames.clone(), mixture.frames.clone()
    outgoing[mixture.mixed], incoming[mixture.mixed] = layers
    return outgoing, incoming


class MatteFit:
    """Keeps a mixture's matte in step with its layers; does nothing for a dissolve."""

    def __init__(self, mixture: Mixture, kind: str) -> None:
        self.mixture, self.kind, self.means = mixture, kind, mixture.weight[mixture.mixed].mean((1, 2, 3))
        self.edge: Edge | None = None

    def update(self, layers: Pair) -> Mixture:
        """The mixture with the matte that ``layers`` ``(n, 3, H, W)`` ask for."""
        if self.kind not in ("wipe", "iris"):
            return self.mixture
        found = fit_matte(self.mixture, layers, self.means, self.edge)
        if found is not None:
            matte, self.edge = found
            weight = self.mixture.weight.expand(-1, 1, *self.mixture.frames.shape[-2:]).clone()
            weight[self.mixture.mixed] = matte
            self.mixture = replace(self.mixture, weight=weight)
        return self.mixture


def _networks(mixture: Mixture, carried: Pair, trust: Tensor, plan: Plan, settings: FitSettings, progress: Callable[[float], None]) -> Pair:
    """Double-DIP's generators fill in what motion leaves open, in the large and only where trust is low; see :func:`fill`."""
    over = torch.zeros(len(mixture.frames), *trust.shape[1:])
    over[mixture.mixed] = trust
    # A quarter of the size for a small picture, and about as many pixels for any other.
    scale = max(4, round(math.sqrt(trust.shape[-2] * trust.shape[-1] / NETWORK_PIXELS)))
    filled = fill(
        mixture,
        whole(mixture, carried),
        over,
        plan=FitPlan(plan.fit_steps),
        scale=scale,
        seed=settings.seed,
        device=settings.device,
        on_step=lambda done, _: progress(done),
    )
    return project(mixture, filled[0][mixture.mixed], filled[1][mixture.mixed])


def _published(
    work: Mixture, plan: Plan, settings: FitSettings, progress: Callable[[float, str], None], seconds: dict[str, float]
) -> tuple[Pair, Carried]:
    """The method as published, for comparison: no motion, no sweeps; the residual is shared out at the end."""
    with _timed(seconds, "networks"):
        note = _part(progress, 0.0, 0.98, "published networks")
        result = fit_paper(work, steps=plan.paper_steps, seed=settings.seed, device=settings.device, on_step=lambda done, _: note(done))
    still = _still(work)
    return project(work, result.outgoing[work.mixed], result.incoming[work.mixed]), Carried(still, (0, 0), carried_layers(work, still))


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
        for _ in range(CLAMPED):
            clean = project(one, *parts)
            parts = clean[0].clamp(0, 1), clean[1].clamp(0, 1)
        for side, layer in zip(done, parts, strict=True):
            side[place] = layer[0]
    return done[0], done[1], full


def _still(mixture: Mixture) -> Pair:
    """No motion at all, for both scenes of the mixed frames."""
    still = torch.zeros(mixture.last - mixture.first + 1, 2, *mixture.frames.shape[-2:])
    return still, still


def _reconstruction_psnr(mixture: Mixture, layers: Pair) -> float:
    """PSNR in dB of the layers, rounded to 8 bits as files hold them, mixed back, against the input; at most 99."""
    error, values = 0.0, 0
    for frame, outgoing, incoming, weight in zip(mixture.frames[mixture.mixed], *layers, mixture.weight[mixture.mixed], strict=True):
        again = mix((outgoing * 255).round() / 255, (incoming * 255).round() / 255, weight, mixture.space)
        error += float(((again - frame) ** 2).sum())
        values += frame.numel()
    return min(99.0, -10 * math.log10(max(error / values, 1e-10)))


def _part(progress: Callable[[float, str], None], begin: float, end: float, note: str) -> Callable[[float], None]:
    return lambda done: progress(begin + (end - begin) * done, note)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[name] += time.monotonic() - began
