"""Remove a watermark: from a picture with a box or under a tiled mark, from several, or a clip.

The model is ``I = (1 - m) C + m W`` with a matte m and a mark W that all frames share. The survey
finds both once, so every window undoes the same mark (:mod:`stages.watermark.locate`). Where the
mark is opaque, a generator fills the picture.

Frames ``(T, 3, H, W)`` in [0, 1]; matte ``(1, H, W)``, colour ``(3, H, W)``, maps ``(H, W)``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stages.context import FORCED, Note, Separation, SeparationContext, confidence_name
from stages.mixing.psnr import psnr_of
from stages.mixing.watermark_composite import WatermarkComposite
from stages.watermark.alone import separate_coupled, separate_published
from stages.watermark.compression import jpeg_quality, without_rounding
from stages.watermark.effort import EFFORTS, SEARCHED, Effort, choose_effort
from stages.watermark.fill import fill
from stages.watermark.fit import OPAQUE
from stages.watermark.known import locate_known
from stages.watermark.locate import locate_mark
from stages.watermark.mark_file import MarkPlacement
from stages.watermark.notes import DOUBTFUL, FAINT, is_chance, mark_notes
from stages.watermark.outline import with_likely_outline
from stages.watermark.pictures import (
    distinct,
    independent,
    motion_weight,
    spread_indices,
)
from stages.watermark.presence import parts_in_time, shown_frames
from stages.watermark.quick import quick_search
from stages.watermark.standing import LEAST_SIDE, certain_standing_mark
from stages.watermark.tiled import find_tiled_mark, fitted_tiles

LEAST_INDEPENDENT = 1.5  # with fewer independent frames than this, the clip counts as one picture
MOST_COPIES = 1.1  # separate pictures that are worth no more than this count as one
KNOWN_LOST = 0.9
"""Opacity of a known mark above which the picture is filled. Its noise would be amplified ten
times."""
LEAST_SHOWN = 3  # fewest frames from which a mark is measured again


@dataclass(frozen=True)
class WatermarkSurvey:
    """Hold the mark of the whole clip at full size.

    matte: ``(1, H, W)`` in [0, 1]. color: ``(3, H, W)`` in [0, 1].
    lost: ``(H, W)``, true where the mark lets nothing through.
    opacity: of the mark's core, 0 without a mark. effort: the work that the later steps may do.
    box: ``(H, W)``, true where the mark may be.
    doubtful, forced: as of :class:`stages.watermark.find.Mark`.
    placement: of a mark that the user gave as a picture, see
        :class:`stages.watermark.mark_file.MarkPlacement`; empty for other marks.
    at_times: whether some frames do not show the mark.
    repeats: of a mark that is tiled over one picture: how many repetitions the picture shows, whole
        or cut, and by how many standard deviations its edges agree at their steps; else empty.
    """

    matte: Tensor
    color: Tensor
    lost: Tensor
    opacity: float
    effort: Effort
    box: Tensor
    doubtful: bool = False
    forced: bool = False
    placement: tuple[float, ...] = ()
    at_times: bool = False
    repeats: tuple[float, ...] = ()


def survey(sample: Tensor, context: SeparationContext) -> WatermarkSurvey:
    """Find the mark in evenly spread frames ``(S, 3, H, W)``."""
    size = sample.shape[-2:]
    box = torch.ones(size, dtype=torch.bool)
    if context.hint is not None:
        box = context.hint.amax((0, 1)) > 0.5
    nothing = WatermarkSurvey(
        torch.zeros(1, *size),
        torch.zeros(3, *size),
        torch.zeros(size, dtype=torch.bool),
        0.0,
        EFFORTS["balanced"],
        box,
    )
    if context.settings.networks_alone:
        return nothing
    effort = choose_effort(sample, context)
    facts = replace(nothing, effort=effort)
    if context.mark is not None:
        facts = survey_known(sample, facts, context)
    else:
        facts = survey_unknown(sample, facts, context)
    if context.unordered or len(sample) < 2:
        return facts
    return survey_times(sample, facts, context)


def survey_times(
    sample: Tensor, facts: WatermarkSurvey, context: SeparationContext
) -> WatermarkSurvey:
    """Return ``facts`` with the mark of those frames that show it, if not all of them do.

    sample: frames ``(S, 3, H, W)`` of a clip.
    """
    if facts.opacity == 0 and context.mark is None and min(sample.shape[-2:]) >= LEAST_SIDE:
        for part in parts_in_time(len(sample)):
            pictures = sample[part]
            weight = motion_weight(pictures)
            found = None
            if independent(pictures) >= LEAST_INDEPENDENT:
                found, _ = quick_search(pictures[spread_indices(len(pictures), SEARCHED)], weight)
            if found is not None or (
                context.hint is None and certain_standing_mark(pictures) is not None
            ):
                facts = survey_unknown(pictures, facts, context)
            if facts.opacity > 0:
                break
    if facts.opacity == 0:
        return facts
    shown = shown_frames(sample, facts.matte, facts.color)
    if bool(shown.all()):
        return facts
    if int(shown.sum()) >= LEAST_SHOWN:
        attempt = survey_known if context.mark is not None else survey_unknown
        again = attempt(sample[shown], replace(facts, matte=0 * facts.matte, opacity=0.0), context)
        facts = again if again.opacity > 0 else facts
    return replace(facts, at_times=True)


def survey_unknown(
    sample: Tensor, facts: WatermarkSurvey, context: SeparationContext
) -> WatermarkSurvey:
    """Return ``facts`` with the mark that the pictures share or that lies in the box, if any.

    sample: frames ``(S, 3, H, W)``.
    """
    size, box, effort = sample.shape[-2:], facts.box, facts.effort
    # A mark differs from the scene by the user's box, or by staying where the pictures differ.
    if context.unordered:
        # Copies of one picture share everything, so they say nothing about the mark.
        sample = distinct(sample)
    count = independent(sample)
    if context.unordered and count > MOST_COPIES:
        count = float(len(sample))  # separate pictures share nothing but the mark
    standing = None
    if context.hint is None and not context.unordered:
        standing = certain_standing_mark(sample)
    if standing is not None:
        box = box & standing.place_at(size)
        count = max(count, SEARCHED)
    alike = count < LEAST_INDEPENDENT
    too_alike = context.hint is None and alike and not context.force
    if min(size) < LEAST_SIDE or not bool(box.any()):
        return facts
    if context.hint is None and alike:
        tiled = survey_tiled(sample[len(sample) // 2], facts, context)
        if too_alike or tiled.opacity > 0:
            return tiled
    weight = torch.ones(size)
    if standing is not None:
        weight = standing.weight_at(size)
    elif context.hint is None and not alike:
        weight = motion_weight(sample)
    # Nearly equal frames say no more than one of them.
    searched = sample[len(sample) // 2][None] if alike else sample
    found = locate_mark(
        searched,
        min(round(count), SEARCHED),
        box,
        weight,
        effort,
        context,
    )
    if found is None:
        return facts
    mark, area = found
    matte, color = torch.zeros(1, *size), torch.zeros(3, *size)
    matte[(slice(None), *area)], color[(slice(None), *area)] = mark.matte, mark.color
    matte, color = (extend_to_rim(layer, box) for layer in (matte, color))
    # A matte that was fitted at a smaller size reaches beyond the box once it is enlarged.
    matte = torch.where((matte < FAINT) | ~box, torch.zeros(()), matte)
    if context.hint is not None and not context.force and is_chance(mark, matte[0] > 0, box):
        return facts
    # On an opaque mark's soft outline, fill the picture rather than amplify it more than twice.
    lost = matte[0] > 0.5 if mark.opacity > OPAQUE else torch.zeros(size, dtype=torch.bool)
    return replace(
        facts,
        matte=matte,
        color=color * (matte > 0),
        lost=lost,
        opacity=mark.opacity,
        doubtful=mark.doubtful,
        # Without force, one picture without a hint is not searched.
        forced=mark.forced or (context.hint is None and alike),
    )


def survey_tiled(
    picture: Tensor, facts: WatermarkSurvey, context: SeparationContext
) -> WatermarkSurvey:
    """Return ``facts`` with the mark that is tiled over ``picture`` (3, H, W), if one is."""
    found = find_tiled_mark(
        picture, facts.effort, lambda done: context.progress(0.5 * done, "searching the mark")
    )
    if found is None:
        return facts
    matte, color, opacity = fitted_tiles(picture, found, facts.effort, context)
    matte = torch.where(matte < FAINT, torch.zeros(()), matte)
    lost = matte[0] > 0.5 if opacity > OPAQUE else torch.zeros_like(facts.lost)
    return replace(
        facts,
        matte=matte,
        color=color * (matte > 0),
        lost=lost,
        opacity=opacity,
        repeats=(float(found.repetitions()), found.lattice.strength),
    )


def survey_known(
    sample: Tensor, facts: WatermarkSurvey, context: SeparationContext
) -> WatermarkSurvey:
    """Return ``facts`` with the mark that the user gave as a picture, if it is found.

    sample: frames ``(S, 3, H, W)``.
    """
    known = locate_known(sample, facts.box, context)
    if known is None:
        return facts
    return replace(
        facts,
        matte=known.matte,
        color=known.color,
        lost=known.matte[0] > KNOWN_LOST,
        opacity=known.found.opacity,
        # A plain tuple, because a checkpoint holds no other.
        placement=tuple(known.found.placement),
        forced=not known.is_believed,
    )


def separate(frames: Tensor, facts: WatermarkSurvey, context: SeparationContext) -> Separation:
    """Return the layers ``clean``, ``watermark`` and ``matte`` of one window.

    frames: ``(T, 3, H, W)`` in [0, 1]. facts: what :func:`survey` found in the whole clip.
    ``clean`` is (T, 3, H, W). All frames share ``watermark`` (1, 3, H, W) and ``matte``
    (1, 1, H, W), unless some frames of the clip do not show the mark: then ``matte`` is (T, 1, H,
    W) and 0 in these frames.
    """
    began = time.monotonic()
    if context.settings.networks_alone:
        separate_alone = separate_published if context.settings.is_published else separate_coupled
        made = separate_alone(frames, facts.box, context)
        notes = mark_notes(made.layers["matte"], facts.box, len(frames), context)
        return replace(made, notes=(*notes, *made.notes))
    seconds = {}
    matte = facts.matte
    touched = matte > 0
    # What the mark hides is filled, not undone.
    through = torch.where(facts.lost, torch.zeros(()), matte)
    shown = torch.ones(len(frames), dtype=torch.bool)
    if facts.at_times:
        shown = shown_frames(frames, matte, facts.color)
    # Pixels without a mark stay the same to the bit.
    clean = WatermarkComposite(matte).reconcile(frames, frames, facts.color)[0]
    # Unlike pictures, the frames of a clip are compressed in ways that leave no known steps.
    pictures = context.unordered or len(frames) == 1
    qualities: list[int | None] = [None for _ in frames]
    if bool((touched & ~facts.lost).any()):
        qualities = [jpeg_quality(frame) if pictures else None for frame in frames]
        clean = without_rounding(clean, through, qualities)
    seconds["invert"] = time.monotonic() - began
    if bool(facts.lost.any()) and bool(shown.any()):
        # Frames without the mark are left out: undoing it there leaves a ghost.
        clean[shown] = fill(clean[shown], facts.lost, context, facts.effort.fill_steps)
        seconds["fill"] = time.monotonic() - began - seconds["invert"]
    # A clip has too many frames for the time that their outlines take.
    if pictures:
        compressed = [quality is not None for quality in qualities]
        alone = len(frames) == 1 and not facts.placement
        clean = with_likely_outline(clean, frames, through, facts.color, compressed, alone=alone)
    if facts.at_times:
        clean = torch.where(shown.view(-1, 1, 1, 1), clean, frames)
        matte = matte * shown.view(-1, 1, 1, 1)
    part_shown = float(shown.float().mean())
    rest = WatermarkComposite(matte).residual(frames, clean, facts.color)
    error = float(rest.square().mean())
    report = {
        "opacity": facts.opacity,
        "marked_part": part_shown * float(touched.float().mean()),
        "lost_part": part_shown * float(facts.lost.float().mean()),
        "explained": part_shown * float((touched & ~facts.lost).float().mean()),
        "invented": part_shown * float(facts.lost.float().mean()),
        "untouched": 1 - part_shown * float((touched | facts.lost).float().mean()),
        "reconstruction_psnr": psnr_of(error),
    }
    if facts.placement:
        place = MarkPlacement(*facts.placement)
        place = place._replace(
            top=place.top + context.origin[0], left=place.left + context.origin[1]
        )
        report |= {f"mark_{name}": value for name, value in place._asdict().items()}
    if facts.repeats:
        report |= dict(zip(("repetitions", "repetition_strength"), facts.repeats, strict=True))
    context.progress(1.0, "clean")
    notes = mark_notes(facts.matte, facts.box, len(frames), context)
    places = tuple(range(len(frames)))
    if facts.forced:
        notes = (*notes, Note(FORCED, places))
    elif facts.doubtful and context.hint is not None:
        notes = (*notes, Note(DOUBTFUL, places))
    layers = {
        "clean": clean,
        "watermark": facts.color[None].clamp(0, 1),
        "matte": matte.view(-1, 1, *matte.shape[-2:]).clamp(0, 1),
    }
    if context.confidence:
        # As sure as the part of the picture's light that passes; what is filled in is invented.
        is_lost = facts.lost & (layers["matte"] > 0)
        passing = 1 - torch.where(is_lost, torch.ones(()), layers["matte"])
        layers[confidence_name("clean")] = passing
    shared = {"watermark"} if facts.at_times else set(layers) - {"clean"}
    return Separation(
        layers,
        frozenset(shared),
        report,
        seconds,
        notes=notes,
        shown=tuple(shown.tolist()) if facts.at_times else (),
    )


def extend_to_rim(layer: Tensor, box: Tensor) -> Tensor:
    """Return ``layer`` with the picture's outermost pixels like their inner neighbours.

    layer: ``(C, H, W)``. box: ``(H, W)``; outermost pixels outside of it become 0.

    The search needs a pixel outside all around, so it says nothing about the outermost ones.
    """
    if min(box.shape) < 4:
        return layer
    filled = layer.clone()
    for axis in (-2, -1):
        for rim, inner in ((0, 1), (-1, -2)):
            filled.select(axis, rim).copy_(filled.select(axis, inner) * box.select(axis, rim))
    return filled
