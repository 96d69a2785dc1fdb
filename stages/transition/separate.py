"""Takes one transition apart: at a working size of bounded area (:mod:`stages.transition.alternate`), then at full size, frame by frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor

from stages.checkpoint import CheckpointStore, NoCheckpoints
from stages.context import FitSettings
from stages.mixing.mixing import Mixture, mix, project, psnr_of
from stages.motion.carry import Carried, carried_layers
from stages.motion.flow import resize, resize_flow
from stages.optim.loss_curves import Curves, thinned
from stages.optim.timing import clocked
from stages.shots import Space, Transition
from stages.transition.alternate import Alternated, Pair, alternate, inside, still
from stages.transition.networks import fit_paper
from stages.transition.plan import LARGEST, Plan, plan_for
from stages.transition.window import Window

BAND = (
    1 << 20
)  # pixels that are made to mix to the input at once: what that takes beside them is many times as much
CLAMPED = 3  # times that layers are made to mix to the input and brought back into [0, 1]


@dataclass(frozen=True)
class Finished:
    """One mixed frame ``(3, H, W)`` in [0, 1], both its layers at its own size, and where the weight varies its matte ``(1, H, W)``."""

    frame: Tensor
    outgoing: Tensor
    incoming: Tensor
    matte: Tensor | None = None


Put = Callable[[int, Finished], None]
"""Takes the layers of one mixed frame; the first argument counts them from 0."""


@dataclass(frozen=True)
class Separated:
    """What was learnt about how the layers mix.

    mix: weight of the incoming scene for each frame, its mean where there is a matte (``has_matte``).
    seconds: by stage. report: figures for the manifest. plan: the work that was done, as :class:`stages.transition.plan.Plan` has it.
    trace: the losses on the way.
    """

    mix: tuple[float, ...]
    has_matte: bool
    space: Space
    seconds: dict[str, float] = field(default_factory=dict)
    report: dict[str, float] = field(default_factory=dict)
    plan: dict[str, object] = field(default_factory=dict)
    trace: Curves = field(default_factory=dict)


def separate_transition(
    window: Window,
    transition: Transition,
    *,
    settings: FitSettings,
    progress: Callable[[float, str], None],
    put: Put,
    plan: Plan | None = None,
    checkpoints: CheckpointStore | None = None,
) -> Separated:
    """Takes ``transition`` apart and gives the layers of its frames to ``put``, one frame after another.

    window: its frames with clean ones at both sides, of which a few at a time are held in full. progress: fraction done and a note.
    plan: the work to do; by ``settings`` unless told. checkpoints: where a run that may be killed keeps what is done.
    """
    seconds: dict[str, float] = defaultdict(float)
    checkpoints = checkpoints or NoCheckpoints()
    if plan is None:
        with clocked(seconds, "plan"):
            progress(0.0, "measuring this machine" if settings.max_seconds else "planning")
            plan = plan_for(open_mixture(window, transition, LARGEST), settings)
    work = open_mixture(window, transition, plan.pixels)
    if plan.paper_steps:
        done = _published(work, plan, settings, progress, seconds, checkpoints)
    else:
        done = alternate(work, transition.kind, plan, settings, progress, seconds, checkpoints)
    work = done.mixture
    means: list[float] = []
    error = 0.0
    with clocked(seconds, "finish"):
        for place, (full, layers) in enumerate(finish(window, done)):
            progress(0.98 + 0.02 * place / len(transition), "full size")
            frame, weight = full.frames[1], full.weight[1]
            error += _squared_error(frame, layers, weight, full.space)
            means.append(float(weight.mean()))
            # The frame's place is the next one's, too; what is put out stays.
            put(place, Finished(frame.clone(), *layers, weight if full.has_matte else None))
    report = {
        "reconstruction_psnr": psnr_of(error / len(transition)),
        "trust": done.trust,
        "explained": done.trust,
        "invented": 1 - done.trust,
        "fit_steps": float(done.fit_steps),
        "turns": float(plan.turns * plan.rounds),
        "work_height": float(work.frames.shape[-2]),
        "work_width": float(work.frames.shape[-1]),
    }
    return Separated(
        tuple(means),
        work.has_matte,
        work.space,
        dict(seconds),
        report,
        asdict(plan),
        thinned(done.trace),
    )


def _published(
    work: Mixture,
    plan: Plan,
    settings: FitSettings,
    progress: Callable[[float, str], None],
    seconds: dict[str, float],
    checkpoints: CheckpointStore,
) -> Alternated:
    """The method as published, for comparison: no motion, no sweeps; the residual is shared out at the end."""
    with clocked(seconds, "networks"):
        result = fit_paper(
            work,
            steps=plan.paper_steps,
            seed=settings.seed,
            device=settings.device,
            on_step=lambda done, _: progress(0.98 * done, "published networks"),
            checkpoints=checkpoints,
        )
    layers = project(work, *inside(work, (result.outgoing, result.incoming)))
    return Alternated(
        layers,
        Carried(still(work), (0, 0), carried_layers(work, still(work))),
        work,
        0.0,
        plan.paper_steps,
        result.trace,
    )


def open_mixture(window: Window, transition: Transition, pixels: int) -> Mixture:
    """The window as a mixture, in pictures of at most ``pixels``, with the weights that the search found."""
    first, last = transition.first_frame - window.first, transition.last_frame - window.first
    weight = torch.zeros(window.last - window.first + 1, 1, 1, 1)
    weight[first : last + 1, 0, 0, 0] = torch.tensor(transition.mix)
    weight[last + 1 :] = 1
    frames = window.shrunk(pixels)
    if transition.color is None:
        return Mixture(frames, weight, first, last, transition.space)
    digits = transition.color.lstrip("#")
    color = torch.tensor([int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)])
    return Mixture(
        frames,
        weight,
        first,
        last,
        transition.space,
        "outgoing" if transition.outgoing is None else "incoming",
        color,
    )


def finish(window: Window, done: Alternated) -> Iterator[tuple[Mixture, Pair]]:
    """Each mixed frame in full, between the two clean ones that its layers are carried from, and its layers ``(3, H, W)``."""
    work = done.mixture
    # One place for all: the middle is changed from frame to frame.
    frames = torch.cat(
        [
            window.frame(window.first + index)
            for index in (done.carried.templates[0], *done.carried.templates)
        ]
    )
    place = 0
    for block in window.blocks(window.first + work.first, window.first + work.last):
        for frame in block.pixels:
            weight = work.weight[work.first + place][None]
            weight = resize(weight, window.size) if work.has_matte else weight
            around = torch.cat([torch.zeros_like(weight), weight, torch.ones_like(weight)])
            frames[1] = frame
            one = replace(work, frames=frames, weight=around, first=1, last=1)
            yield one, finish_frame(one, done, place)
            place += 1


def finish_frame(one: Mixture, done: Alternated, place: int) -> Pair:
    """The layers ``(3, H, W)`` of mixed frame ``place``, which is the middle one of ``one``, in its own size.

    The clean frames carried at full size give the detail, the layers of the working size the rest.
    """
    size = (one.frames.shape[-2], one.frames.shape[-1])
    at = slice(place, place + 1)
    parts = done.layers[0][at].clone(), done.layers[1][at].clone()
    if parts[0].shape[-2:] != size:
        flows = done.carried.flows[0][at], done.carried.flows[1][at]
        sharp = carried_layers(one, (resize_flow(flows[0], size), resize_flow(flows[1], size)))
        blurred = done.carried.layers[0][at], done.carried.layers[1][at]
        parts = (
            sharp[0] + resize(parts[0] - blurred[0], size),
            sharp[1] + resize(parts[1] - blurred[1], size),
        )
    height = max(1, BAND // size[1])
    for top in range(0, size[0], height):
        _mix_again(one, parts, slice(top, top + height))
    return parts[0][0], parts[1][0]


def _mix_again(one: Mixture, parts: Pair, rows: slice) -> None:
    """Makes some rows of the layers ``(1, 3, H, W)`` mix to the input, in place: each pixel by itself, so a band at a time is enough."""
    band = replace(
        one,
        frames=one.frames[..., rows, :],
        weight=one.weight[..., rows, :] if one.has_matte else one.weight,
    )
    layers = parts[0][..., rows, :], parts[1][..., rows, :]
    # Against a colour one go is meant to leave the input's own error alone; more would bring it back.
    for _ in range(1 if one.locked else CLAMPED):
        clean = project(band, *layers)
        layers = clean[0].clamp(0, 1), clean[1].clamp(0, 1)
    for part, layer in zip(parts, layers, strict=True):
        part[..., rows, :] = layer


def _squared_error(frame: Tensor, layers: Pair, weight: Tensor, space: Space) -> float:
    """Mean squared error of the layers, rounded to 8 bits as files hold them, mixed back, against the input's frame."""
    again = mix((layers[0] * 255).round() / 255, (layers[1] * 255).round() / 255, weight, space)
    return float(((again - frame) ** 2).sum()) / frame.numel()
