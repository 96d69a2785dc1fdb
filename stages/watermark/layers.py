"""Remove a watermark: from a picture with a box, from several pictures, or from a clip.

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
from stages.watermark.find import Mark
from stages.watermark.fit import OPAQUE
from stages.watermark.known import locate_known
from stages.watermark.locate import locate_mark
from stages.watermark.mark_file import MarkPlacement
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

FAINT = 2 / 255  # a matte below this changes no picture of 8 bits
LEAST_INDEPENDENT = 1.5  # with fewer independent frames than this, the clip counts as one picture
MOST_COPIES = 1.1  # separate pictures that are worth no more than this count as one
NOTHING_AT_HINT = (
    "no mark was found at the place that {hint} marks in {frames}, so the clean layer is the "
    "input; draw a box around the whole mark, with a little of the picture around it"
)
NOT_FOUND = (
    "the mark of {mark} was not found in {frames}, so the clean layer is the input; give a picture "
    "of the whole mark, with transparency or on an even background, or draw a box around the mark "
    "and give it as {hint}"
)
NOTHING_IN_PICTURE = (
    "no mark was found in {frames}: one picture does not tell what lies over it; "
    "draw a box around the mark and give it as {hint}"
)
NOTHING_IN_CLIP = (
    "no mark was found that stays in place in {frames} while the picture changes, so the clean "
    "layer is the input; draw a box around the mark and give it as {hint}"
)
PARTLY_FOUND = (
    "the mark that was found covers only a part of the place that {hint} marks in {frames}, so "
    "part of the mark may remain; draw the box closer around the mark, or give each part alone"
)
DOUBTFUL = (
    "what was found at the place that {hint} marks in {frames} explains little of its own outline, "
    "so it may be a part of the picture; compare the clean layer with the input"
)
KNOWN_LOST = 0.9
"""Opacity of a known mark above which the picture is filled. Its noise would be amplified ten
times."""
LEAST_SHOWN = 3  # fewest frames from which a mark is measured again
LEAST_SPAN = 0.6
"""Part of the box's width and height that a found mark spans at least. A box is drawn around the
mark, so what spans less is likely a part of it."""


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
    if too_alike or min(size) < LEAST_SIDE or not bool(box.any()):
        return facts
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


def mark_notes(
    matte: Tensor, box: Tensor, count: int, context: SeparationContext
) -> tuple[Note, ...]:
    """Return a warning where ``matte`` shows no mark in the ``count`` frames, or a part of one.

    box: ``(H, W)``, true where the mark may be.
    """
    place = (matte >= FAINT).flatten(0, -3).any(0)
    if bool(place.any()):
        is_whole = context.hint is None or context.mark is not None
        if is_whole or spanned_part(place, box) >= LEAST_SPAN:
            return ()
        return (Note(PARTLY_FOUND, tuple(range(count))),)
    text = NOTHING_IN_CLIP
    if context.mark is not None:
        text = NOT_FOUND
    elif context.hint is not None:
        text = NOTHING_AT_HINT
    elif count == 1:
        text = NOTHING_IN_PICTURE
    return (Note(text, tuple(range(count))),)


def is_chance(mark: Mark, place: Tensor, box: Tensor) -> bool:
    """Return whether ``mark`` looks like a thing of the scene in a box that holds no mark.

    Such a thing explains little of its own outline. It also spans only a part of the box, which a
    user draws around the whole mark.

    place: the pixels of the mark, ``(H, W)``, boolean. box: where the mark may be, ``(H, W)``.
    """
    return not bool(place.any()) or (mark.doubtful and spanned_part(place, box) < LEAST_SPAN)


def spanned_part(place: Tensor, box: Tensor) -> float:
    """Return the part of the box's width or height, whichever is less, that ``place`` spans.

    place, box: ``(H, W)``, boolean, each true somewhere.
    """
    parts = []
    for axis in (0, 1):
        found, whole = (chosen.any(axis).nonzero() for chosen in (place, box))
        parts.append(float(found.max() - found.min() + 1) / float(whole.max() - whole.min() + 1))
    return min(parts)


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
