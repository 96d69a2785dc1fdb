"""Find a mark of which no picture is given: in the user's box, or shared by several pictures.

Something has to tell a mark from the scene: the user's box, other pictures under the same mark, or
a clip's motion. A search in smaller pictures finds the mark, and a fit draws it to the pixel.

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; maps ``(H, W)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.watermark.effort import SEARCHED_PICTURES, Effort
from stages.watermark.full_size_fit import SearchedMark, fitted_mark, shrunk_pictures
from stages.watermark.gain import LEAST_GAIN
from stages.watermark.mark import Mark, MarkedPictures
from stages.watermark.pictures import (
    LEAST_INDEPENDENT,
    independent_count,
    motion_weight,
    spread_indices,
    without_copies,
)
from stages.watermark.pixel_maps import Area, bounds_around, inner_part, resized_map
from stages.watermark.search import find_mark
from stages.watermark.standing_mark import certain_standing_mark

MARGIN = 16  # pixels around the mark or the box that the search also reads
MOST_COPIES = 1.1
"""Separate pictures that are worth no more independent ones than this count as one."""


@dataclass(frozen=True)
class SearchPlan:
    """What is searched for a mark.

    marked: the pictures, where the mark may be, and how much each pixel counts. Nearly equal
        pictures say no more than one of them, so then it is one picture.
    most_read: pictures that the search reads at most.
    are_alike: whether there is one picture, or all are nearly equal.
    """

    marked: MarkedPictures
    most_read: int
    are_alike: bool

    @property
    def box(self) -> Tensor:
        """Where the mark may be, ``(H, W)``, boolean."""
        return self.marked.allowed > 0.5


class LocatedMark(NamedTuple):
    """A mark, and the rows and columns of the pictures that it is given for."""

    mark: Mark
    area: Area


def plan_search(sample: Tensor, box: Tensor, context: SeparationContext) -> SearchPlan:
    """Return what is searched in the frames ``sample`` (S, 3, H, W).

    box: ``(H, W)``, boolean, where the mark may be.
    """
    size = sample.shape[-2:]
    # Copies of one picture share everything, so they say nothing about the mark.
    pictures = without_copies(sample) if context.unordered else sample
    count = independent_count(pictures)
    if context.unordered and count > MOST_COPIES:
        count = float(len(pictures))  # separate pictures share nothing but the mark
    if context.hint is None and not context.unordered:
        standing = certain_standing_mark(pictures)
        if standing is not None:
            # The scene moves past the mark, which tells it, however alike the frames are.
            place = (box & standing.place_at(size)).float()
            marked = MarkedPictures(pictures, place, standing.weight_at(size))
            return SearchPlan(marked, SEARCHED_PICTURES, are_alike=False)
    are_alike = count < LEAST_INDEPENDENT
    weight = torch.ones(size)
    if context.hint is None and not are_alike:
        weight = motion_weight(pictures)
    if are_alike:
        pictures = pictures[len(pictures) // 2][None]
    marked = MarkedPictures(pictures, box.float(), weight)
    return SearchPlan(marked, min(round(count), SEARCHED_PICTURES), are_alike)


def locate_mark(plan: SearchPlan, effort: Effort, context: SeparationContext) -> LocatedMark | None:
    """Return the mark, or None without one."""
    area = bounds_around(plan.box, MARGIN if context.hint is not None else 0)
    near = _cropped_to(area, plan.marked, plan.most_read)
    small = shrunk_pictures(near, effort.search_pixels)
    first = _search(small, effort, context)
    if first is None:
        return None
    place = resized_map(first.matte[0], near.pictures.shape[-2:]) > 0
    if context.hint is None:
        # Parts of other colours may lie beside what was found, so take as much again on each side.
        around = bounds_around(place, MARGIN, 1.0)
        place, area = place[around], _area_within(area, around)
    full = _cropped_to(area, plan.marked, effort.pictures)
    size = (small.pictures.shape[-2], small.pictures.shape[-1])
    mark = fitted_mark(full, SearchedMark(first, size, place), effort, context)
    return LocatedMark(replace(mark, forced=first.forced), area)


def _cropped_to(area: Area, marked: MarkedPictures, most_pictures: int) -> MarkedPictures:
    """Return at most so many of the pictures, cut to an area in which every mark has an outside."""
    chosen = marked.pictures[spread_indices(len(marked.pictures), most_pictures)]
    near = replace(marked, pictures=chosen).cropped(area)
    return replace(near, allowed=inner_part(near.allowed))


def _search(small: MarkedPictures, effort: Effort, context: SeparationContext) -> Mark | None:
    """Return the mark in pictures of the search's size; with ``force``, whatever gains anything."""
    search = partial(
        find_mark,
        small,
        iterations=effort.turns,
        progress=lambda done: context.progress(0.5 * done, "searching the mark"),
        unrelated=context.unordered,
    )
    found = search()
    if found is not None or not context.should_separate(0.0, LEAST_GAIN):
        return found
    forced = search(least_gain=0.0)
    return None if forced is None else replace(forced, forced=True)


def _area_within(whole: Area, part: Area) -> Area:
    """Return the rows and columns ``part`` of the area ``whole``, counted from the picture's."""
    rows, columns = (
        slice(outer.start + inner.start, outer.start + inner.stop)
        for outer, inner in zip(whole, part, strict=True)
    )
    return rows, columns
