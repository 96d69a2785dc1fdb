"""Separate pictures that are the sum of two layers: seen through a pane, and reflected by it.

The input decides how. The first row that applies holds:

    the preset has networks alone         separate_by_networks
    several pictures on one line          separate_mixtures: of the same two layers, in closed form
    a picture, or pictures that rest      separate_pictures: two repeating textures, if it is their
                                          sum; else the input itself, unless the user wants a guess
    a clip, or pictures that move         separate_by_motion: two moving layers, if it is their sum;
                                          else the input itself

:mod:`stages.transparency.removal` says what is done without evidence for a reflection.

Layers add up in encoded values (``gamma``) or in light (``linear``, a power of 2.2). Tensors are
``(T, 3, H, W)`` RGB in [0, 1]; the layers that leave this module are encoded again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from stages.context import Separation, SeparationContext, notes_where
from stages.mixing.blend import blend
from stages.mixing.layer_sum import LayerSum, from_space, to_space
from stages.mixing.psnr import psnr_of
from stages.motion.flow import shrunk
from stages.transparency.by_motion import separate_by_motion
from stages.transparency.by_networks import separate_by_networks
from stages.transparency.clip import separate_clip
from stages.transparency.layer_order import small_frames
from stages.transparency.layer_pair import encoded
from stages.transparency.mixtures import find_ends, fit_line, separate_mixtures
from stages.transparency.motion import has_motion
from stages.transparency.pictures import separate_pictures
from stages.transparency.plans import PLANS, SMALLEST
from stages.transparency.repeats import texture_space
from stages.transparency.separated_light import SeparatedLight, TransparencySurvey

MIXING_SPACES = ("gamma", "linear")
"""The values in which mixtures may add up, which are tried unless the user says which."""
KEPT_BY_STRENGTH = (
    "{strength} 0 keeps the reflection of {frames}: the transmission is the input itself"
)
NO_STRENGTH = (
    "{strength} has no meaning for mixtures of the same two layers, whose weights are measured: "
    "{frames}"
)


def survey(sample: Tensor, context: SeparationContext) -> TransparencySurvey:
    """Decide the space in which layers add, and whether the pictures are mixtures of the same two.

    Of a clip, some small frames are separated, so that all windows order their layers alike.

    sample: some frames of the input, ``(S, 3, H, W)``.
    """
    space, are_mixtures = _space_and_mixtures(sample, context)
    no_frames = sample[:0, :, :1, :1]
    if are_mixtures or context.settings.networks_alone:
        return TransparencySurvey(space, are_mixtures, no_frames, no_frames)
    seen = small_frames(sample)
    if not has_motion(seen):
        if context.space == "auto":
            pictures = sample if context.unordered else sample.mean(0, keepdim=True)
            space = texture_space(pictures) or space
        return TransparencySurvey(space, are_mixtures, no_frames, no_frames)
    transmission, _ = separate_clip(
        to_space(seen, space),
        SMALLEST,
        lambda done: context.progress(done, "which layer is which"),
    )
    return TransparencySurvey(space, are_mixtures, seen, transmission)


def _space_and_mixtures(sample: Tensor, context: SeparationContext) -> tuple[str, bool]:
    """Return the space in which layers add, and whether the inputs are mixtures of the same layers.

    Such mixtures lie on a line in their space. sample: ``(S, 3, H, W)``.
    """
    given = None if context.space == "auto" else context.space
    if given is None and context.settings.is_published:
        given = "gamma"  # The published method adds values as they are encoded.
    if context.unordered and len(sample) > 1:
        mixed_in = _space_of_mixtures(sample, MIXING_SPACES if given is None else (given,))
        if mixed_in is not None:
            return mixed_in, True
    return given or "linear", False


def _space_of_mixtures(pictures: Tensor, spaces: tuple[str, ...]) -> str | None:
    """Return the space in which pictures are mixtures of the same two layers; ``None`` if in none.

    pictures: ``(K, 3, H, W)``, two or more. spaces: those to try.
    """
    lines = {space: fit_line(to_space(pictures, space)) for space in spaces}
    ends = {space: find_ends(line) for space, line in lines.items() if line.fits}
    if not ends:
        return None
    # Two pictures lie on a line in any space. In the right one, their gradients lie on two lines.
    if len(pictures) == 2 and not any(each.are_unmixed for each in ends.values()):
        return None
    return min(ends, key=lambda space: ends[space].dependence)


def separate(frames: Tensor, facts: TransparencySurvey, context: SeparationContext) -> Separation:
    """Separate one window of frames, or all pictures, into ``transmission`` and ``reflection``.

    frames: ``(T, 3, H, W)``. facts: from :func:`survey`. Both layers have the shape of ``frames``,
    or are one picture each where the pictures are mixtures.
    """
    began = time.monotonic()
    found = _separate_light(frames, to_space(frames, facts.space), facts, context)
    seconds = {found.step: time.monotonic() - began}
    layers = {
        role: from_space(layer, facts.space)
        for role, layer in zip(("transmission", "reflection"), found.layers, strict=True)
    }
    report = {"space": float(facts.space == "linear"), "untouched": 0.0} | found.figures
    report["reconstruction_psnr"] = _reconstruction_psnr(frames, layers, report)
    notes = found.notes
    all_frames = torch.ones(len(frames))
    # The weights of mixtures are measured: there is nothing to do more or less of.
    if facts.mixtures and context.strength != 1:
        notes = notes_where(NO_STRENGTH, all_frames)
    if context.strength == 0 and not facts.mixtures:
        notes = notes_where(KEPT_BY_STRENGTH, all_frames)
        report["untouched"] = 1.0
    shared = frozenset(layers) if facts.mixtures else frozenset[str]()
    return Separation(layers, shared, report, seconds, notes=(*notes, *found.shortened))


def _separate_light(
    frames: Tensor, light: Tensor, facts: TransparencySurvey, context: SeparationContext
) -> SeparatedLight:
    """Separate a window in the way that fits it, by the table at the top.

    frames: ``(T, 3, H, W)``, encoded. light: the same in the space in which layers add up.
    """
    if context.settings.networks_alone:
        return separate_by_networks(frames, light, facts, context)
    if facts.mixtures:
        return separate_mixtures(light)
    if not has_motion(encoded(shrunk(light, PLANS["fast"].pixels))):
        return separate_pictures(light, facts.space, context)
    return separate_by_motion(frames, light, facts, context)


def settle(
    frames: Tensor, layers: Mapping[str, Tensor], facts: TransparencySurvey
) -> dict[str, Tensor]:
    """Return layers that add up to ``frames`` again after they were faded or rounded.

    frames and the layers: ``(T, 3, H, W)``, encoded values. The transmission is what the reflection
    leaves of the light.
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
    transmission, reflection = (
        to_space(layers[role], space) for role in ("transmission", "reflection")
    )
    weight = report.get(f"weight_{index + 1}")
    if weight is None:
        return from_space(LayerSum().mix(transmission, reflection), space)
    return from_space(blend(reflection, transmission, weight), space)


def _reconstruction_psnr(
    frames: Tensor, layers: Mapping[str, Tensor], report: Mapping[str, float]
) -> float:
    """Return the PSNR in dB of the layers, mixed, against the input."""
    errors = []
    for index, frame in enumerate(frames):
        of_frame = {role: layer[min(index, len(layer) - 1)] for role, layer in layers.items()}
        errors.append(float(((mixed(of_frame, report, index) - frame) ** 2).mean()))
    return psnr_of(sum(errors) / len(errors))
