"""Use the user's regions in a window: cut out marked frames, and carry the result to the others.

A marked frame is cut out as a picture, see :mod:`stages.segment.marked`. In a clip, what is certain
and what was cut out are carried along the flow, as far as it is trusted. What is certain overrules
motion, and the rest of the cut supports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stages.context import Note, SeparationContext, notes_where
from stages.hint_regions import HintRegion
from stages.motion.flow import resize, warp
from stages.segment.evidence import RegionEvidence, evidence
from stages.segment.log_odds import MOST_ODDS
from stages.segment.marked import cut_again, cut_out
from stages.segment.motion import FADING, WindowMotion
from stages.segment.odds_by_contrast import odds_by_contrast
from stages.segment.rough_mask import cut_area, is_area

SUPPORT = 2.0
"""Most log-odds by which a cut supports motion; certain pixels overrule it."""
LEAST_IN_BOX = 0.05
"""Least part of a box around a thing that the thing fills.

On 56 frames of DAVIS, boxes around the thing were filled to 0.12 or more by what was cut out of
them. Of 51 boxes that lie inside the thing, 48 had less than 0.05 cut out, most of them nothing.
"""
DRAWN = 0.5  # level above which a pixel of a hint is marked


@dataclass(frozen=True)
class MarkedFrame:
    """Hold what was found in a marked frame.

    known: what the user's regions say, ``(h, w)``. odds: log-odds of what was cut out, ``(h, w)``.
    inside: whether a box was taken to lie inside the thing.
    """

    known: RegionEvidence
    odds: Tensor
    inside: bool = False


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
            cut = MarkedFrame(known, cut_out(frame, known))
            found[place] = _cut_or_inside(frame, regions, cut)
    return found


def _cut_or_inside(frame: Tensor, regions: Sequence[HintRegion], cut: MarkedFrame) -> MarkedFrame:
    """Return ``cut``, drawn more exactly if its regions are boxes.

    If nothing was found in the boxes, they are taken to lie inside the thing.

    frame: ``(3, h, w)`` in [0, 1]. regions: of the frame. cut: with the boxes around the thing.
    """
    size = (frame.shape[-2], frame.shape[-1])
    boxes = [region.pixels for region in regions if region.foreground and region.is_box]
    if not boxes:
        return cut
    drawn = torch.stack(boxes).any(0).float()[None, None]
    in_boxes = (resize(drawn, size)[0, 0] > DRAWN) & ~cut.known.background
    if float((cut.odds[in_boxes] > 0).sum()) >= LEAST_IN_BOX * float(in_boxes.sum()):
        if not all(region.is_box for region in regions if region.foreground):
            return cut
        return MarkedFrame(cut.known, cut_again(frame, cut.odds, cut.known))
    known = evidence(regions, size, boxes_inside=True)
    return MarkedFrame(known, cut_out(frame, known), inside=True)


def box_notes(marked: Marked, count: int) -> tuple[Note, ...]:
    """Return a note about the frames in which a box was taken to lie inside the thing.

    count: the frames of the window.
    """
    inside = [place in marked and marked[place].inside for place in range(count)]
    return notes_where(
        "nothing in the box of {hint} stands out from around it in {frames}, so the box was taken "
        "to lie inside the thing; draw it around the thing if it does not",
        torch.tensor(inside),
    )


def with_marked(odds: Tensor, marked: Marked, motion: WindowMotion) -> Tensor:
    """Return the log-odds ``(T, h, w)`` of motion, joined with those of the marked frames.

    What a marked frame says is carried along the flow, in both directions.
    odds: of motion. motion: of frames of this size.
    """
    if not marked:
        return odds
    size = (odds.shape[-2], odds.shape[-1])
    certain, likely = torch.zeros_like(odds), torch.zeros_like(odds)
    for place, one in marked.items():
        known = one.known.foreground.float() - one.known.background.float()
        certain[place] = resize(known[None, None], size)[0, 0]
        likely[place] = resize(one.odds[None, None], size)[0, 0] / MOST_ODDS
    certain, likely = (_carried(each, marked, motion) for each in (certain, likely))
    supported = (odds + SUPPORT * likely).clamp(-MOST_ODDS, MOST_ODDS)
    return (1 - certain.abs()) * supported + MOST_ODDS * certain


def _carried(belief: Tensor, marked: Marked, motion: WindowMotion) -> Tensor:
    """Carry ``belief`` ``(T, h, w)`` in [-1, 1] from the marked frames to the others."""
    ways = []
    for order, flow, trust, step in (
        (range(1, len(belief)), motion.backward, motion.trust_backward, -1),
        (range(len(belief) - 2, -1, -1), motion.forward, motion.trust_forward, 1),
    ):
        way = belief[:, None].clone()
        for t in order:
            if t not in marked:
                pair, other = min(t, t + step), t + step
                brought = warp(way[other : other + 1], flow[pair : pair + 1])
                way[t] = (1 - FADING) * (trust[pair] * brought[0])
        ways.append(way[:, 0])
    return torch.where(ways[0].abs() >= ways[1].abs(), ways[0], ways[1])


def pinned(odds: Tensor, marked: Marked) -> Tensor:
    """Return the log-odds ``(T, h, w)``, in which certain pixels have twice :data:`MOST_ODDS`."""
    pinned_odds = odds.clone()
    for place, one in marked.items():
        here = torch.where(one.known.foreground, 2 * MOST_ODDS, pinned_odds[place])
        pinned_odds[place] = torch.where(one.known.background, -2 * MOST_ODDS, here)
    return pinned_odds


def with_cuts(matte: Tensor, marked: Marked) -> Tensor:
    """Return a hard matte ``(T, 1, h, w)`` in which marked pictures are as they were cut out."""
    cuts = matte.clone()
    for place, one in marked.items():
        cuts[place, 0] = (one.odds > 0).to(matte)
    return cuts


def with_certain(matte: Tensor, marked: Marked) -> Tensor:
    """Return a soft matte ``(T, 1, H, W)`` that is 1 and 0 at the pixels that are certain.

    Softening the edge may have moved them, where a stroke lies on a texture.
    """
    size = (matte.shape[-2], matte.shape[-1])
    certain = matte.clone()
    for place, one in marked.items():
        foreground, background = (
            resize(known.float()[None, None], size)[0, 0] > 0.5
            for known in (one.known.foreground, one.known.background)
        )
        with_foreground = certain[place, 0].masked_fill(foreground, 1.0)
        certain[place, 0] = with_foreground.masked_fill(background, 0.0)
    return certain


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
