"""Separate pictures that are the sum of two layers: seen through a pane, and reflected by it.

    several pictures on one line  -> mixtures of the same two layers: closed form (mixtures)
    one picture                   -> two repeating textures, if it is their sum (repeats); else the
                                     input itself, unless the user wants a guess (single)
    a clip, or pictures that move -> two moving layers (clip), if it is a sum (evidence);
                                     otherwise the input itself

Layers add up in encoded values (``gamma``) or in light (``linear``, a power of 2.2). Tensors are
``(T, 3, H, W)`` RGB in [0, 1]; the layers that leave this module are encoded again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stages.context import FORCED, Note, Separation, SeparationContext, notes_where
from stages.mixing.blend import blend
from stages.mixing.layer_sum import LayerSum, from_space, to_space
from stages.mixing.psnr import psnr_of
from stages.motion.flow import shrunk
from stages.transparency.alone import separate_alone
from stages.transparency.clip import LayerPair, encoded, fit_planes, separate_clip
from stages.transparency.evidence import BELIEVED, ENOUGH, FEWEST, sum_evidence
from stages.transparency.mixtures import find_ends, fit_line, unmix
from stages.transparency.motion import moves
from stages.transparency.naming import as_before, by_focus, small
from stages.transparency.plans import PLANS, SMALLER, plan_for
from stages.transparency.repeats import texture_space, textures_of
from stages.transparency.single import separate_picture

ALONE = ("paper", "coupled")
"""The presets that have networks alone."""
EVEN_REFLECTION = 0.004
"""Part of the light that goes to the reflection where nothing tells what is reflected.

It is the same everywhere. It is so little that the transmission equals the input, to half a step of
8 bits: 0.4 % of light is 0.18 % of an encoded value.
"""
NOT_BELIEVED = (
    "no reflection is believed in {frames}: the transmission is the input itself; "
    "one view does not tell its two layers apart, so give several pictures or a moving clip of it, "
    "or remove a guess with {strength} 2"
)
TEXTURES = (
    "two repeating textures add up in {frames}; neither which of them is reflected nor how bright "
    "each is can be told, so the one of more contrast is the transmission"
)
AS_TOLD = "{strength} 0 keeps the reflection of {frames}: the transmission is the input itself"
NO_SUM = (
    "no reflection was found in {frames}: the transmission is the input itself; "
    "nothing shows that two moving layers add up here; {strength} 2 separates them all the same"
)
TOO_FEW = (
    "{frames} are too few to show that two layers add up: they are separated all the same; "
    "if there is no reflection, keep the input"
)
NO_STRENGTH = (
    "{strength} has no meaning for mixtures of the same two layers, whose weights are measured: "
    "{frames}"
)

LEAST_REFLECTION = 0.04
"""Part of the light below which a reflection is not to be believed. Measured: 0.05 to 0.39 in
pictures and clips behind glass, 0.016 to 0.38 in those without. So a larger part proves nothing."""
HARDLY_REFLECTED = (
    "hardly any reflection was found in {frames}: "
    "{percent} of the light is in the reflection layer; "
    "keep the input, or give several pictures or a moving clip of the same view, which tell more"
)


@dataclass(frozen=True)
class TransparencySurvey:
    """What holds for the whole input.

    space: ``gamma`` or ``linear``. mixtures: whether the pictures are mixtures of the same two
    layers. seen, transmission: some frames and their transmission, small, ``(S, 3, h, w)``; every
    window of a clip names its layers like these.
    """

    space: str
    mixtures: bool
    seen: Tensor
    transmission: Tensor


def survey(sample: Tensor, context: SeparationContext) -> TransparencySurvey:
    """Decide the space in which layers add, and whether the pictures are mixtures of the same two.

    sample: some frames of the input, ``(S, 3, H, W)``.
    """
    space, mixtures = _space(sample, context)
    none = sample[:0, :, :1, :1]
    seen = small(sample)
    if mixtures or context.settings.preset in ALONE:
        return TransparencySurvey(space, mixtures, none, none)
    if not moves(seen):
        if context.space == "auto":
            pictures = sample if context.unordered else sample.mean(0, keepdim=True)
            space = texture_space(pictures) or space
        return TransparencySurvey(space, mixtures, none, none)
    layers = separate_clip(
        to_space(seen, space),
        SMALLER[-1],
        lambda done: context.progress(done, "which layer is which"),
    )
    return TransparencySurvey(space, mixtures, seen, layers[0])


def _space(sample: Tensor, context: SeparationContext) -> tuple[str, bool]:
    """Return the space, and whether the pictures are mixtures: those that lie on a line in it."""
    told = None if context.space == "auto" else context.space
    if told is None and context.settings.preset == "paper":
        told = "gamma"  # The published method adds values as they are encoded.
    if context.unordered and len(sample) > 1:
        lines = {
            space: fit_line(to_space(sample, space))
            for space in ("gamma", "linear")
            if told in (None, space)
        }
        ends = {space: find_ends(line) for space, line in lines.items() if line.holds}
        # Two pictures lie on a line in any space: what tells is in which one their gradients lie on
        # two lines.
        if ends and (len(sample) > 2 or any(each.hold for each in ends.values())):
            return min(ends, key=lambda space: ends[space].dependence), True
    return told or "linear", False


def separate(frames: Tensor, facts: TransparencySurvey, context: SeparationContext) -> Separation:
    """Separate one window of frames, or all pictures, into ``transmission`` and ``reflection``.

    frames: ``(T, 3, H, W)``. facts: from :func:`survey`. Both layers have the shape of ``frames``,
    or are one picture each where the pictures are mixtures.
    """
    began = time.monotonic()
    found = _separated(frames, to_space(frames, facts.space), facts, context)
    seconds = {found.step: time.monotonic() - began}
    layers = {
        role: from_space(layer, facts.space)
        for role, layer in zip(("transmission", "reflection"), found.layers, strict=True)
    }
    report = {"space": float(facts.space == "linear"), "untouched": 0.0} | found.figures
    report["reconstruction_psnr"] = _reconstruction_psnr(frames, layers, report)
    shared = frozenset(layers) if facts.mixtures else frozenset[str]()
    notes = found.notes
    if facts.mixtures and context.strength != 1:
        # The weights of mixtures are measured: there is nothing to do more or less of.
        notes = _notes_everywhere(NO_STRENGTH, frames)
    if context.strength == 0 and not facts.mixtures:
        notes = _notes_everywhere(AS_TOLD, frames)
        report["untouched"] = 1.0
    return Separation(layers, shared, report, seconds, notes=(*notes, *found.shortened))


@dataclass(frozen=True)
class _Found:
    """What one way of separating a window found.

    step: its name in the report's seconds. layers: in the space in which they add up.
    figures: for the report. notes: for the user. shortened: notes on a fit that a time budget ended
    early.
    """

    step: str
    layers: LayerPair
    figures: dict[str, float]
    notes: tuple[Note, ...] = ()
    shortened: tuple[Note, ...] = ()


def _separated(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> _Found:
    """Separate a window in the way that fits it.

    frames: ``(T, 3, H, W)``, encoded. light: the same in the space in which layers add up.
    """
    if context.settings.preset in ALONE:
        return _by_networks(frames, light, facts, context)
    if facts.mixtures:
        return _Found("unmixing", *_mixtures(light))
    if not moves(encoded(shrunk(light, PLANS["fast"].pixels))):
        return _as_pictures(frames, light, facts, context)
    return _by_motion(frames, light, facts, context)


def _by_networks(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> _Found:
    """Separate a window by networks alone; arguments as in :func:`_separated`."""
    layers, figures, shortened = separate_alone(light, facts.mixtures, context)
    notes: tuple[Note, ...] = ()
    if not facts.mixtures:
        layers = _scaled(layers, light, context.strength)
        notes = reflection_notes(frames, from_space(layers[1], facts.space))
    return _Found("networks", layers, figures, notes, shortened)


def _as_pictures(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> _Found:
    """Separate a static clip as one picture, or unrelated pictures one by one.

    Arguments as in :func:`_separated`.
    """
    parts = [light]
    if context.unordered:
        parts = list(light.split(1))  # type: ignore[no-untyped-call]
    # A single view is no evidence, unless it repeats in two ways.
    forced = context.should_separate(0.0, BELIEVED)
    guessed = context.strength - (0 if forced else 1)
    pairs, repeating = [], []
    for part in parts:
        textures = textures_of(part)
        if textures is None:
            pairs.append(_picture(part, facts.space, guessed))
        else:
            pairs.append(_scaled(textures, part, context.strength))
        repeating += [textures is not None] * len(part)
    layers = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
    textured = torch.tensor(repeating)
    figures = {"textures": float(sum(repeating))} if any(repeating) else {}
    notes = notes_where(TEXTURES, textured)
    if guessed > 0:
        notes += notes_where(FORCED, ~textured) if forced else ()
        return _Found("picture", layers, figures, notes)
    if not any(repeating):
        figures["untouched"] = 1.0
    return _Found("picture", layers, figures, notes + notes_where(NOT_BELIEVED, ~textured))


def _by_motion(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> _Found:
    """Separate two moving layers, or pass on the input if they do not add up.

    Arguments as in :func:`_separated`.
    """
    moving, figures = _moving(frames, light, context)
    if moving is None:
        notes = _notes_everywhere(NO_SUM, frames)
        return _Found("motion", _unchanged(light, facts.space), figures, notes)
    layers = as_before(frames, moving, facts.seen, facts.transmission)
    layers, focus = by_focus(layers)
    notes = reflection_notes(frames, from_space(layers[1], facts.space))
    believed = figures["sum_evidence"] > BELIEVED
    if not believed and FEWEST <= len(frames) < ENOUGH:
        # So few frames cannot speak against a reflection, and the user expects one.
        notes = (*notes, *_notes_everywhere(TOO_FEW, frames))
        believed = True
    if not believed and context.force:
        notes = (*notes, *_notes_everywhere(FORCED, frames))
        believed = True
    layers = _scaled(layers, light, context.strength - (0 if believed else 1))
    return _Found("motion", layers, {**figures, "focus": focus}, notes)


def _notes_everywhere(text: str, frames: Tensor) -> tuple[Note, ...]:
    """Return a note about all ``frames``."""
    return notes_where(text, torch.ones(len(frames)))


def reflection_notes(frames: Tensor, reflection: Tensor) -> tuple[Note, ...]:
    """Return a note about the frames whose ``reflection`` holds hardly any light.

    frames, reflection: ``(T, 3, H, W)``, encoded.
    """
    part = torch.stack(
        [
            to_space(layer, "linear").mean() / to_space(frame, "linear").mean().clamp_min(1e-6)
            for frame, layer in zip(frames, reflection, strict=True)
        ]
    )
    return notes_where(HARDLY_REFLECTED, part < LEAST_REFLECTION, part)


def settle(
    frames: Tensor, layers: Mapping[str, Tensor], facts: TransparencySurvey
) -> dict[str, Tensor]:
    """Return layers that add up to ``frames`` again after they were faded or rounded.

    The transmission is what the reflection leaves.
    """
    light = to_space(frames, facts.space)
    reflection = to_space(layers["reflection"], facts.space)
    found = LayerSum().distribute_residual(light, light - reflection, reflection)
    return {
        "transmission": from_space(found[0], facts.space),
        "reflection": from_space(found[1], facts.space),
    }


def mixed(layers: Mapping[str, Tensor], report: Mapping[str, float], index: int = 0) -> Tensor:
    """Mix the input again from layers and report, in its space.

    Returns the sum, or for mixtures picture ``index``: ``w T + (1 - w) R``.
    """
    space = "linear" if report["space"] else "gamma"
    one, other = (to_space(layers[role], space) for role in ("transmission", "reflection"))
    weight = report.get(f"weight_{index + 1}")
    if weight is None:
        return from_space(LayerSum().mix(one, other), space)
    return from_space(blend(other, one, weight), space)


def _mixtures(light: Tensor) -> tuple[LayerPair, dict[str, float]]:
    """Unmix ``(K, 3, H, W)``; return the layers ``(1, 3, H, W)`` and figures with the weights."""
    line = fit_line(light)
    one, other, weights = unmix(line, find_ends(line))
    figures = {f"weight_{number + 1}": float(weight) for number, weight in enumerate(weights)}
    return (one[None], other[None]), figures


def _moving(
    frames: Tensor, light: Tensor, context: SeparationContext
) -> tuple[LayerPair | None, dict[str, float]]:
    """Separate two moving layers of frames ``(T, 3, H, W)``, whose light is given.

    Returns the layers and figures of the work done. There are no layers if enough frames show that
    they are no sum, unless the user wants them all the same (by a strength above 1, or by force).
    """
    plan = plan_for(light, context)
    plan = replace(
        plan,
        pixels=context.working_pixels(plan.pixels),
        mosaic_pixels=context.working_pixels(plan.mosaic_pixels),
    )

    def progress(done: float) -> None:
        context.progress(done, "two moving layers")

    work = shrunk(light, plan.pixels)
    mosaic = fit_planes(work, plan, lambda done: progress(0.4 * done))
    evidence = sum_evidence(shrunk(frames, plan.pixels), mosaic.placed)
    figures = {"mosaic_steps": float(plan.mosaic_steps), "sum_evidence": evidence}
    few = FEWEST <= len(frames) < ENOUGH
    if not context.should_separate(evidence, BELIEVED) and context.strength <= 1 and not few:
        return None, figures | {"turns": 0.0, "untouched": 1.0}
    found = separate_clip(light, plan, progress, context.trace, mosaic)
    return found, figures | {"turns": float(plan.turns)}


def _picture(light: Tensor, space: str, guessed: float) -> LayerPair:
    """Separate a picture or a static clip, ``(T, 3, H, W)``.

    guessed: how much of a guess at the reflection is removed, 0 to 1. The guess is as often wrong
    as right: on made and real reflections it changes the transmission by -2 to +1.3 dB, and no sign
    in the picture was found that tells which (docs/tasks.md). So it is only removed on request.
    """
    if guessed <= 0:
        return _unchanged(light, space)
    transmission = _guess(light, space)[0]
    reflection = guessed * (light - transmission)
    return light - reflection, reflection


def _unchanged(light: Tensor, space: str) -> LayerPair:
    """Return the input as the transmission, to 8 bits, and an even, faint reflection."""
    reflection = EVEN_REFLECTION * light if space == "linear" else torch.zeros_like(light)
    return light - reflection, reflection


def _guess(light: Tensor, space: str) -> LayerPair:
    """Guess both layers of a picture; what is known about panes holds in light, in any space."""
    if space == "linear":
        return separate_picture(light)
    transmission = from_space(separate_picture(to_space(light, "linear"))[0], "linear")
    transmission = torch.minimum(transmission, light)
    return transmission, light - transmission


def _scaled(layers: LayerPair, light: Tensor, strength: float) -> LayerPair:
    """Return layers with ``strength`` times the reflection, as far as there is ``light`` for it."""
    if strength == 1:
        return layers
    reflection = torch.minimum(strength * layers[1], light)
    return light - reflection, reflection


def _reconstruction_psnr(
    frames: Tensor, layers: Mapping[str, Tensor], report: Mapping[str, float]
) -> float:
    """Return the PSNR in dB of the layers, mixed, against the input."""
    errors = []
    for index, frame in enumerate(frames):
        one = {role: layer[min(index, len(layer) - 1)] for role, layer in layers.items()}
        errors.append(float(((mixed(one, report, index) - frame) ** 2).mean()))
    return psnr_of(sum(errors) / len(errors))
