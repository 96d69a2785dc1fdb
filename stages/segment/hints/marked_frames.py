"""Cut out every frame of a window in which the user drew regions.

Each marked frame is cut out by itself, as a picture:

- Filled areas alone are a rough mask (:mod:`stages.segment.hints.rough_mask`).
- Boxes alone are cut twice (:func:`stages.segment.hints.cut_out.cut_again`), because no pixel in
  them is certain. If the first cut leaves them nearly empty, they lie inside the thing.
- All other regions are cut once (:func:`stages.segment.hints.cut_out.cut_out`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stages.context import Note, SeparationContext, notes_where
from stages.hint_regions import HintRegion
from stages.motion.flow import resize
from stages.segment.hints.cut_out import cut_again, cut_out
from stages.segment.hints.evidence import RegionEvidence, evidence, leaves_box_empty
from stages.segment.hints.rough_mask import cut_area, is_area
from stages.segment.odds_by_contrast import odds_by_contrast

DRAWN = 0.5  # value in [0, 1] above which a pixel of a hint is drawn


@dataclass(frozen=True)
class MarkedFrame:
    """What was cut out of a marked frame.

    known: what the user's regions say, ``(h, w)``. odds: log-odds of what was cut out, ``(h, w)``.
    box_inside: whether a box was taken to lie inside the thing.
    """

    known: RegionEvidence
    odds: Tensor
    box_inside: bool = False


Marked = Mapping[int, MarkedFrame]
"""Marked frames by their index in the window."""


def marked_frames(frames: Tensor, context: SeparationContext, *, moving: bool) -> Marked:
    """Cut out what is marked in each marked frame of a window.

    frames: ``(T, 3, h, w)`` in [0, 1]. moving: whether the window has motion. Otherwise it shows
    separate pictures, or one picture all the time, whose regions hold for all of it.
    """
    size = (frames.shape[-2], frames.shape[-1])
    one_picture = not moving and not context.unordered
    found: dict[int, MarkedFrame] = {}
    for place, frame in enumerate(frames):
        regions = _regions_or_mask_at(place, context, moving=moving, all_places=one_picture)
        if not regions:
            continue
        if one_picture and found:
            found[place] = found[0]
            continue
        known = evidence(regions, size)
        if not any(region.foreground for region in regions):
            # Only background is marked, so what stands out is the best guess of the rest.
            known = replace(known, prior=odds_by_contrast(frame[None])[0])
        if is_area(regions, size):
            found[place] = MarkedFrame(known, cut_area(frame, known))
        else:
            found[place] = _cut_frame(frame, regions, known)
    return found


def _cut_frame(frame: Tensor, regions: Sequence[HintRegion], known: RegionEvidence) -> MarkedFrame:
    """Cut out what boxes, strokes and points mark in a frame.

    Boxes are first taken to lie around the thing. If nothing is found in them, they are taken to
    lie inside of it. A cut from boxes alone is drawn once more, and more exactly.

    frame: ``(3, h, w)`` in [0, 1]. regions: of the frame. known: what they say, with the boxes
    around the thing.
    """
    size = (frame.shape[-2], frame.shape[-1])
    of_foreground = [region for region in regions if region.foreground]
    boxes = [region.pixels for region in of_foreground if region.is_box]
    odds = cut_out(frame, known)
    if not boxes:
        return MarkedFrame(known, odds)
    drawn = torch.stack(boxes).any(0).float()[None, None]
    in_boxes = (resize(drawn, size)[0, 0] > DRAWN) & ~known.background
    if leaves_box_empty(odds > 0, in_boxes):
        known = evidence(regions, size, boxes_inside=True)
        return MarkedFrame(known, cut_out(frame, known), box_inside=True)
    if len(boxes) == len(of_foreground):
        odds = cut_again(frame, odds, known)
    return MarkedFrame(known, odds)


def box_notes(marked: Marked, count: int) -> tuple[Note, ...]:
    """Return a note about the frames in which a box was taken to lie inside the thing.

    count: the frames of the window.
    """
    inside = [place in marked and marked[place].box_inside for place in range(count)]
    return notes_where(
        "nothing in the box of {hint} stands out from around it in {frames}, so the box was taken "
        "to lie inside the thing; draw it around the thing if it does not",
        torch.tensor(inside),
    )


def regions_at(place: int, context: SeparationContext, *, all_places: bool) -> list[HintRegion]:
    """Return the regions that were drawn for the frame at ``place`` in the window.

    all_places: whether those of every frame hold for it.
    """
    return [
        region
        for region in context.hint_regions
        if all_places or region.window_index in (None, place)
    ]


def _regions_or_mask_at(
    place: int, context: SeparationContext, *, moving: bool, all_places: bool
) -> list[HintRegion]:
    """Return the regions for the frame at ``place``, or the whole hint of a picture as one."""
    regions = regions_at(place, context, all_places=all_places)
    if regions or moving or context.hint is None or context.hint_regions:
        return regions
    # Callers of the stage may give the hint alone, as one picture or as one for each frame.
    drawn = context.hint[min(place, len(context.hint) - 1), 0] > DRAWN
    return [HintRegion(drawn)] if bool(drawn.any()) else []
