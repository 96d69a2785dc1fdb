"""Takes pictures apart that are the sum of two layers: what is seen through a pane, and what the pane reflects.

    several pictures on one line   -> mixtures of the same two layers: closed form (mixtures)
    one picture                    -> the input itself, unless the user wants a guess: what a veil of light explains (single)
    a clip, or pictures that move  -> two moving layers (clip)

Layers add up in encoded values (``gamma``) or in light (``linear``, a power of 2.2). Tensors are ``(T, 3, H, W)`` RGB in [0, 1]; the
layers that leave this module are encoded again.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from stages.context import Note, Separation, SeparationContext, notes_where
from stages.mixing.light_dissolve import GAMMA
from stages.mixing.psnr import psnr_of
from stages.motion.flow import resize, shrunk
from stages.optim.timing import call_and_step, seconds_of
from stages.transparency.clip import ClipPlan, encoded, separate_clip
from stages.transparency.mixtures import find_ends, fit_line, unmix
from stages.transparency.motion import moves
from stages.transparency.paper import fit_published
from stages.transparency.single import separate_picture

PLANS: dict[str, ClipPlan] = {
    "best": ClipPlan(960 * 540, 320 * 180, 300, 4, True),
    "balanced": ClipPlan(480 * 270, 200 * 112, 150, 2, True),
    "fast": ClipPlan(320 * 180, 160 * 90, 80, 1, False),
}
SMALLER: tuple[ClipPlan, ...] = (
    PLANS["balanced"],
    ClipPlan(480 * 270, 200 * 112, 100, 1, False),
    PLANS["fast"],
    ClipPlan(240 * 136, 120 * 68, 40, 1, False),
    ClipPlan(240 * 136, 120 * 68, 20, 0, False),
)
"""What a budget is filled with when ``best`` is too much for it, the largest first."""

SAFE = 0.7  # part of a budget that is planned for
PAPER_STEPS = 5000
PAPER_PIXELS = 512 * 288
KNOWN_SIDE = 64  # of the small pictures that a window's layers are told apart by

EVEN = 0.004
"""Part of the light that is the reflection's where nothing tells what is reflected: all of it alike, and so little that the
transmission is the input, to half a step of 8 bits (0.4 % of light is 0.18 % of an encoded value)."""
NOT_BELIEVED = (
    "no reflection is believed in {frames}: the transmission is the input itself; one view does not tell its two layers apart, "
    "so give several pictures or a moving clip of it, or take a guess off with --strength 2"
)
AS_TOLD = "the reflection of {frames} is left, as --strength 0 says: the transmission is the input itself"
NO_STRENGTH = "--strength has no meaning for mixtures of the same two layers, whose weights are measured: {frames}"

HARDLY = 0.04
"""Part of the light below which a reflection is not to be believed: pictures and clips behind glass were found to have 0.05 to 0.39
of it there, those without glass 0.016 to 0.38. So more than this is no proof of a reflection."""
HARDLY_REFLECTED = (
    "hardly any reflection was found in {frames}: {percent} of the light is in the reflection layer; "
    "keep the input, or give several pictures or a moving clip of the same view, which tell more"
)


@dataclass(frozen=True)
class Facts:
    """What holds for the whole input.

    space: ``gamma`` or ``linear``. mixtures: whether the pictures are mixtures of the same two layers.
    seen, transmission: some frames and their transmission, ``(S, 3, h, w)``, small, so that every window of a clip calls the same layer so.
    """

    space: str
    mixtures: bool
    seen: Tensor
    transmission: Tensor


def to_light(frames: Tensor, space: str) -> Tensor:
    """Encoded values to the space in which layers add."""
    return frames.clamp(0, 1) ** GAMMA if space == "linear" else frames.clamp(0, 1)


def from_light(light: Tensor, space: str) -> Tensor:
    """The way back from :func:`to_light`."""
    return light.clamp(0, 1) ** (1 / GAMMA) if space == "linear" else light.clamp(0, 1)


def survey(sample: Tensor, brief: SeparationContext) -> Facts:
    """Decides in which light the layers add and whether the pictures are mixtures of the same two; ``sample`` ``(S, 3, H, W)``."""
    space, mixtures = _space(sample, brief)
    none = sample[:0, :, :1, :1]
    seen = small(sample)
    if mixtures or brief.settings.preset == "paper" or not moves(seen):
        return Facts(space, mixtures, none, none)
    layers = separate_clip(to_light(seen, space), SMALLER[-1], lambda done: brief.progress(done, "which layer is which"))
    return Facts(space, mixtures, seen, layers[0])


def _space(sample: Tensor, brief: SeparationContext) -> tuple[str, bool]:
    """The space, and whether the pictures are mixtures: those that lie on a line in it."""
    told = None if brief.space == "auto" else brief.space
    if brief.unordered and len(sample) > 1:
        lines = {space: fit_line(to_light(sample, space)) for space in ("gamma", "linear") if told in (None, space)}
        ends = {space: find_ends(line) for space, line in lines.items() if line.holds}
        # Two pictures lie on a line in any space: what tells is in which one their gradients lie on two lines.
        if ends and (len(sample) > 2 or any(each.hold for each in ends.values())):
            return min(ends, key=lambda space: ends[space].dependence), True
    return told or "linear", False


def separate(frames: Tensor, facts: Facts, brief: SeparationContext) -> Separation:
    """Both layers of one window of frames, or of all pictures; see :mod:`stages.transparency.layers`."""
    seconds: dict[str, float] = defaultdict(float)
    began = time.monotonic()
    light = to_light(frames, facts.space)
    report = {"space": float(facts.space == "linear"), "untouched": 0.0}
    # The weights of mixtures are measured: there is nothing to do more or less of.
    notes = notes_where(NO_STRENGTH, torch.ones(len(frames))) if facts.mixtures and brief.strength != 1 else ()
    if brief.settings.preset == "paper":
        found, more = _published(frames, facts, brief)
        found = found if facts.mixtures else _times(found, light, brief.strength)
        name = "networks"
    elif facts.mixtures:
        found, more = _mixtures(light)
        name = "unmixing"
    elif not moves(encoded(shrunk(light, PLANS["fast"].pixels))):
        # Of a clip that stands still no more can be known than of a picture; pictures that have nothing to do with each other are each one.
        alone = light.split(1) if brief.unordered else [light]  # type: ignore[no-untyped-call]
        one, other = zip(*(_picture(each, facts.space, brief.strength - 1) for each in alone), strict=True)
        found, more = (torch.cat(one), torch.cat(other)), {"untouched": 1.0} if brief.strength <= 1 else {}
        name = "picture"
        notes = notes_where(NOT_BELIEVED, torch.ones(len(frames))) if brief.strength <= 1 else ()
    else:
        plan = _plan_for(light, brief)
        plan = replace(plan, pixels=brief.working_pixels(plan.pixels), mosaic_pixels=brief.working_pixels(plan.mosaic_pixels))
        found = separate_clip(light, plan, lambda done: brief.progress(done, "two moving layers"), brief.trace)
        found = as_before(frames, found, facts)
        notes = reflection_notes(frames, from_light(found[1], facts.space))
        found = _times(found, light, brief.strength)
        more = {"turns": float(plan.turns), "mosaic_steps": float(plan.mosaic_steps)}
        name = "motion"
    seconds[name] = time.monotonic() - began
    layers = {role: from_light(layer, facts.space) for role, layer in zip(("transmission", "reflection"), found, strict=True)}
    report |= more | {"reconstruction_psnr": _reconstruction_psnr(frames, layers, report | more)}
    shared = frozenset(layers) if facts.mixtures else frozenset[str]()
    if brief.strength == 0 and not facts.mixtures:
        notes, report["untouched"] = notes_where(AS_TOLD, torch.ones(len(frames))), 1.0
    elif brief.settings.preset == "paper" and not facts.mixtures:
        notes = reflection_notes(frames, layers["reflection"])
    return Separation(layers, shared, report, dict(seconds), notes=notes)


def reflection_notes(frames: Tensor, reflection: Tensor) -> tuple[Note, ...]:
    """Return a note about those of ``frames`` ``(T, 3, H, W)`` whose ``reflection``, of the same shape, holds hardly any light."""
    part = torch.stack(
        [
            to_light(layer, "linear").mean() / to_light(frame, "linear").mean().clamp_min(1e-6)
            for frame, layer in zip(frames, reflection, strict=True)
        ]
    )
    return notes_where(HARDLY_REFLECTED, part < HARDLY, part)


def settle(frames: Tensor, layers: Mapping[str, Tensor], facts: Facts) -> dict[str, Tensor]:
    """Layers that add up to ``frames`` again after they were faded or rounded: the transmission is what the reflection leaves."""
    light = to_light(frames, facts.space)
    reflection = torch.minimum(to_light(layers["reflection"], facts.space), light)
    return {"transmission": from_light(light - reflection, facts.space), "reflection": from_light(reflection, facts.space)}


def mixed(layers: Mapping[str, Tensor], report: Mapping[str, float], index: int = 0) -> Tensor:
    """The input again, from layers and report: the sum, or for mixtures that of picture ``index``, ``w T + (1 - w) R``; in its space."""
    space = "linear" if report["space"] else "gamma"
    one, other = (to_light(layers[role], space) for role in ("transmission", "reflection"))
    weight = report.get(f"weight_{index + 1}")
    return from_light(one + other if weight is None else weight * one + (1 - weight) * other, space)


def _mixtures(light: Tensor) -> tuple[tuple[Tensor, Tensor], dict[str, float]]:
    line = fit_line(light)
    one, other, weights = unmix(line, find_ends(line))
    return (one[None], other[None]), {f"weight_{number + 1}": float(weight) for number, weight in enumerate(weights)}


def as_before(frames: Tensor, layers: tuple[Tensor, Tensor], facts: Facts) -> tuple[Tensor, Tensor]:
    """The layers named as the survey named them in the frames that both know."""
    if not len(facts.seen):
        return layers
    here = small(frames)
    known = [(t, s) for t in range(len(here)) for s in range(len(facts.seen)) if bool((here[t] == facts.seen[s]).all())]
    if not known:
        return layers
    mine, its = [t for t, _ in known], [s for _, s in known]
    # Compared without what is smooth in both, of which no layer can be told by.
    votes = [_likeness(small(layer[mine]), facts.transmission[its]) for layer in layers]
    return layers if votes[0] >= votes[1] else (layers[1], layers[0])


def _likeness(one: Tensor, other: Tensor) -> float:
    """Correlation of the edges of two clips ``(T, 3, h, w)``, -1 to 1."""
    edges = [torch.cat([d.flatten() for d in (layer.diff(dim=-1), layer.diff(dim=-2))]) for layer in (one, other)]
    return float((edges[0] * edges[1]).sum() / (edges[0].norm() * edges[1].norm()).clamp_min(1e-9))


def small(frames: Tensor) -> Tensor:
    """The size at which layers of different windows are compared."""
    return shrunk(frames, KNOWN_SIDE**2 * 4)


def _picture(light: Tensor, space: str, guessed: float) -> tuple[Tensor, Tensor]:
    """Both layers of a picture or of a clip that stands still. guessed: how much of a guess at the reflection is taken off, 0 to 1.

    The guess is as often wrong as right: on made and real reflections it brings the transmission from 2 dB less to 1.3 dB more, and no
    sign in the picture was found that tells which (see docs/tasks.md). So without the user's word it is not taken off.
    """
    if guessed <= 0:
        reflection = EVEN * light if space == "linear" else torch.zeros_like(light)
        return light - reflection, reflection
    transmission = _guess(light, space)[0]
    reflection = guessed * (light - transmission)
    return light - reflection, reflection


def _guess(light: Tensor, space: str) -> tuple[Tensor, Tensor]:
    """A guess at both layers of a picture. What is known of panes holds in light, in whatever the layers add up."""
    if space == "linear":
        return separate_picture(light)
    transmission = from_light(separate_picture(to_light(light, "linear"))[0], "linear")
    transmission = torch.minimum(transmission, light)
    return transmission, light - transmission


def _times(layers: tuple[Tensor, Tensor], light: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Layers ``(T, 3, H, W)`` with ``strength`` times the reflection, as far as there is ``light`` for it."""
    if strength == 1:
        return layers
    reflection = torch.minimum(strength * layers[1], light)
    return light - reflection, reflection


def _plan_for(light: Tensor, brief: SeparationContext) -> ClipPlan:
    """The preset's plan, or with a budget the largest that fits in it; a resumed run keeps it."""
    if brief.settings.max_seconds is None:
        return PLANS[brief.settings.preset]
    return brief.checkpoints.compute_and_save("plan", partial(_plan_within, light, brief.settings.max_seconds), ClipPlan)


def _plan_within(light: Tensor, budget: float) -> ClipPlan:
    """The largest plan that fits in ``budget`` seconds, by what a part of the work costs here and now."""
    began = time.monotonic()
    full = light.shape[-2] * light.shape[-1]
    trial = replace(SMALLER[-1], pixels=96 * 54, mosaic_pixels=96 * 54, mosaic_steps=5)
    # A few small frames: their number and size scale what sweeps cost, and mosaics look at a bounded number of frames.
    few = shrunk(light[:6], trial.pixels)
    once, turn = call_and_step(lambda turns: separate_clip(few, replace(trial, turns=turns), lambda done: None), 0, 1)
    sample = few.shape[-2] * few.shape[-1]
    per_turn = turn / (len(few) * sample)
    left = SAFE * budget - (time.monotonic() - began)
    for plan in (PLANS["best"], *SMALLER):
        pixels = min(plan.pixels, full) * len(light)
        # The trial fits 12 short mosaics of half as many frames as usual.
        mosaics = once * 2 * min(plan.mosaic_pixels, full) / sample * (plan.mosaic_steps + 60) / 60
        work = mosaics + per_turn * pixels * (plan.turns + 0.2)
        work += 0.4 * per_turn * full * len(light) if plan.full and full > plan.pixels else 0.0
        if work <= left:
            return plan
    return SMALLER[-1]


def _published(frames: Tensor, facts: Facts, brief: SeparationContext) -> tuple[tuple[Tensor, Tensor], dict[str, float]]:
    """The published method, at a bounded size; what it leaves unexplained is shared out evenly so that the layers mix to the input."""
    settings = brief.settings
    size = (frames.shape[-2], frames.shape[-1])
    light = to_light(frames, facts.space)
    small = shrunk(light, brief.working_pixels(PAPER_PIXELS))
    steps = PAPER_STEPS
    work = partial(fit_published, small, shared=facts.mixtures, seed=settings.seed, device=settings.device)
    if (budget := settings.max_seconds) is not None:
        steps = brief.checkpoints.compute_and_save("steps", lambda: max(1, min(PAPER_STEPS, int(SAFE * budget * 3 / seconds_of(lambda: work(steps=3))))))

    def note(done: float, losses: Mapping[str, float]) -> None:
        brief.progress(done, "published networks")
        brief.trace.add("networks", done, losses)

    one, other, weights = work(steps=steps, on_step=note)
    one, other = resize(one, size), resize(other, size)
    report = {"fit_steps": float(steps)}
    if facts.mixtures:
        return (one, other), report | {f"weight_{number + 1}": float(weight) for number, weight in enumerate(weights)}
    share = weights.view(-1, 1, 1, 1)
    one, other = share * one, (1 - share) * other
    reflection = torch.minimum((other + (light - one - other) / 2).clamp_min(0), light)
    return (light - reflection, reflection), report


def _reconstruction_psnr(frames: Tensor, layers: Mapping[str, Tensor], report: Mapping[str, float]) -> float:
    """PSNR in dB of the layers, mixed back, against the input."""
    errors = []
    for index, frame in enumerate(frames):
        one = {role: layer[min(index, len(layer) - 1)] for role, layer in layers.items()}
        errors.append(float(((mixed(one, report, index) - frame) ** 2).mean()))
    return psnr_of(sum(errors) / len(errors))
