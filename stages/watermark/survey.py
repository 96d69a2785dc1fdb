"""Find the mark of a clip or of pictures once, so that every window undoes the same one.

The model is ``I = (1 - m) C + m W`` with a matte m and a mark W that all frames share.

Frames ``(T, 3, H, W)`` in [0, 1]; matte ``(1, H, W)``, colour ``(3, H, W)``, maps ``(H, W)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.watermark.effort import EFFORTS, SEARCHED_PICTURES, Effort, choose_effort
from stages.watermark.known_mark import locate_known
from stages.watermark.mark import OPAQUE_FROM
from stages.watermark.notes import FAINT_MATTE, is_likely_scene
from stages.watermark.pictures import (
    LEAST_INDEPENDENT,
    independent_count,
    motion_weight,
    spread_indices,
)
from stages.watermark.pixel_maps import placed_in_zeros
from stages.watermark.presence import parts_in_time, shown_frames
from stages.watermark.quick_search import quick_pictures, quick_search
from stages.watermark.standing_mark import LEAST_SIDE, certain_standing_mark
from stages.watermark.tiled_mark import find_tiled_mark, fitted_tiles
from stages.watermark.unknown_mark import LocatedMark, locate_mark, plan_search

LOST_COVERAGE = 0.5
"""Matte of an opaque mark above which the picture is filled: on its soft outline, that is better
than amplifying the picture more than twice."""
LOST_KNOWN_COVERAGE = 0.9
"""Matte of a known mark above which the picture is filled. Its noise would be amplified ten
times."""
LEAST_SHOWN = 3  # fewest frames from which a mark is measured again


@dataclass(frozen=True)
class WatermarkSurvey:
    """The mark of the whole clip at full size.

    matte: ``(1, H, W)`` in [0, 1]. color: ``(3, H, W)`` in [0, 1].
    lost: ``(H, W)``, true where the mark lets nothing through.
    opacity: of the mark's core, 0 without a mark. effort: the work that the later steps may do.
    box: ``(H, W)``, true where the mark may be.
    doubtful, forced: as of :class:`stages.watermark.mark.Mark`.
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

    def with_mark(self, matte: Tensor, color: Tensor, opacity: float) -> WatermarkSurvey:
        """Return the survey with a mark whose pixels are those of a matte that shows."""
        matte = torch.where(matte < FAINT_MATTE, torch.zeros(()), matte)
        is_opaque = opacity > OPAQUE_FROM
        lost = matte[0] > LOST_COVERAGE if is_opaque else torch.zeros_like(self.lost)
        return replace(self, matte=matte, color=color * (matte > 0), lost=lost, opacity=opacity)


def survey(sample: Tensor, context: SeparationContext) -> WatermarkSurvey:
    """Find the mark in evenly spread frames ``(S, 3, H, W)``."""
    nothing = _survey_without_mark(sample, context)
    if context.settings.networks_alone:
        return nothing
    nothing = replace(nothing, effort=choose_effort(sample, context))
    found = _survey_frames(sample, nothing, context)
    if context.unordered or len(sample) < 2:
        return found
    return survey_times(sample, found, context)


def _survey_without_mark(sample: Tensor, context: SeparationContext) -> WatermarkSurvey:
    """Return the survey of frames ``(S, 3, H, W)`` in which no mark was found."""
    size = sample.shape[-2:]
    box = torch.ones(size, dtype=torch.bool)
    if context.hint is not None:
        box = context.hint.amax((0, 1)) > 0.5
    matte, color, lost = torch.zeros(1, *size), torch.zeros(3, *size), torch.zeros_like(box)
    return WatermarkSurvey(matte, color, lost, 0.0, EFFORTS["balanced"], box)


def _survey_frames(
    sample: Tensor, nothing: WatermarkSurvey, context: SeparationContext
) -> WatermarkSurvey:
    """Return the survey of frames ``(S, 3, H, W)`` that all show the mark, if there is one."""
    if context.mark is not None:
        return survey_known(sample, nothing, context)
    return survey_unknown(sample, nothing, context)


def survey_known(
    sample: Tensor, nothing: WatermarkSurvey, context: SeparationContext
) -> WatermarkSurvey:
    """Return ``nothing`` with the mark that the user gave as a picture, if it is found.

    sample: frames ``(S, 3, H, W)``.
    """
    known = locate_known(sample, nothing.box, context)
    if known is None:
        return nothing
    return replace(
        nothing,
        matte=known.matte,
        color=known.color,
        lost=known.matte[0] > LOST_KNOWN_COVERAGE,
        opacity=known.found.opacity,
        # A plain tuple, because a checkpoint holds no other.
        placement=tuple(known.found.placement),
        forced=not known.is_believed,
    )


def survey_unknown(
    sample: Tensor, nothing: WatermarkSurvey, context: SeparationContext
) -> WatermarkSurvey:
    """Return ``nothing`` with the mark that lies in the box, is tiled or is shared, if any.

    sample: frames ``(S, 3, H, W)``.
    """
    plan = plan_search(sample, nothing.box, context)
    if min(sample.shape[-2:]) < LEAST_SIDE or not bool(plan.box.any()):
        return nothing
    # Neither a box nor other pictures tell a mark from the scene.
    is_blind = context.hint is None and plan.are_alike
    if is_blind:
        tiled = survey_tiled(plan.marked.pictures[0], nothing, context)
        if tiled.opacity > 0 or not context.force:
            return tiled
    located = locate_mark(plan, nothing.effort, context)
    if located is None:
        return nothing
    found, mark = _with_located(nothing, located, plan.box), located.mark
    is_held_to_box = context.hint is not None and not context.force
    if is_held_to_box and is_likely_scene(mark, found.matte[0] > 0, plan.box):
        return nothing
    return replace(found, doubtful=mark.doubtful, forced=mark.forced or is_blind)


def _with_located(nothing: WatermarkSurvey, located: LocatedMark, box: Tensor) -> WatermarkSurvey:
    """Return ``nothing`` with a mark that was located in ``box`` (H, W), boolean."""
    size = (box.shape[0], box.shape[1])
    matte, color = (
        extend_to_rim(placed_in_zeros(layer, located.area, size), box)
        for layer in (located.mark.matte, located.mark.color)
    )
    # A matte that was fitted at a smaller size reaches beyond the box once it is enlarged.
    matte = torch.where(box, matte, torch.zeros(()))
    return nothing.with_mark(matte, color, located.mark.opacity)


def survey_tiled(
    picture: Tensor, nothing: WatermarkSurvey, context: SeparationContext
) -> WatermarkSurvey:
    """Return ``nothing`` with the mark that is tiled over ``picture`` (3, H, W), if one is."""
    tiled = find_tiled_mark(
        picture, nothing.effort, lambda done: context.progress(0.5 * done, "searching the mark")
    )
    if tiled is None:
        return nothing
    mark = fitted_tiles(picture, tiled, nothing.effort, context)
    repeats = (float(tiled.repetitions()), tiled.lattice.strength)
    return replace(nothing.with_mark(mark.matte, mark.color, mark.opacity), repeats=repeats)


def survey_times(
    sample: Tensor, found: WatermarkSurvey, context: SeparationContext
) -> WatermarkSurvey:
    """Return ``found`` with the mark of those frames that show it, if not all of them do.

    sample: frames ``(S, 3, H, W)`` of a clip.
    """
    if found.opacity == 0 and context.mark is None and min(sample.shape[-2:]) >= LEAST_SIDE:
        found = _survey_parts(sample, found, context)
    if found.opacity == 0:
        return found
    shown = shown_frames(sample, found.matte, found.color)
    if bool(shown.all()):
        return found
    if int(shown.sum()) >= LEAST_SHOWN:
        unmeasured = replace(found, matte=0 * found.matte, opacity=0.0)
        again = _survey_frames(sample[shown], unmeasured, context)
        found = again if again.opacity > 0 else found
    return replace(found, at_times=True)


def _survey_parts(
    sample: Tensor, nothing: WatermarkSurvey, context: SeparationContext
) -> WatermarkSurvey:
    """Return ``nothing`` with the mark of the first part of a clip that shows one, if any."""
    for part in parts_in_time(len(sample)):
        frames = sample[part]
        if _may_show_mark(frames, context):
            found = survey_unknown(frames, nothing, context)
            if found.opacity > 0:
                return found
    return nothing


def _may_show_mark(frames: Tensor, context: SeparationContext) -> bool:
    """Return whether a quick look at ``frames`` (S, 3, H, W) of a clip finds a mark."""
    if independent_count(frames) >= LEAST_INDEPENDENT:
        searched = frames[spread_indices(len(frames), SEARCHED_PICTURES)]
        if quick_search(quick_pictures(searched, motion_weight(frames))) is not None:
            return True
    return context.hint is None and certain_standing_mark(frames) is not None


def extend_to_rim(layer: Tensor, box: Tensor) -> Tensor:
    """Return ``layer`` with the picture's outermost pixels like their inner neighbours.

    The search needs a pixel outside all around, so it says nothing about the outermost ones.

    layer: ``(C, H, W)``. box: ``(H, W)``; outermost pixels outside of it become 0.
    """
    if min(box.shape) < 4:
        return layer
    filled = layer.clone()
    for axis in (-2, -1):
        for rim, inner in ((0, 1), (-1, -2)):
            filled.select(axis, rim).copy_(filled.select(axis, inner) * box.select(axis, rim))
    return filled
