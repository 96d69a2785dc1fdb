"""Divide a window's matte into things: what moves differently, each with one identity.

1. Points of the matte are followed (:mod:`stages.segment.point_tracks`) and grouped by their motion
   (:mod:`stages.segment.point_evidence`).
2. Groups that are parts of one thing are joined (:mod:`stages.segment.point_groups`).
3. Every pixel joins the thing whose points lie near it and move like it.
4. What is seen too briefly, or is too small, is no thing; its pixels join the nearest thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import box
from stages.segment.motion import WindowMotion
from stages.segment.point_evidence import evidence, grouped
from stages.segment.point_groups import (
    Group,
    Labels,
    color_cells,
    group_of,
    moving_together,
    one_after_another,
)
from stages.segment.point_tracks import Points, follow_points
from stages.setting_values import MOST_THINGS

# The constants below were chosen on drawn clips, see tests/measure_movers.py.
LEAST_FRAMES = 4
"""Frames in which a thing has to be seen."""
LEAST_AREA = 8e-4
"""Least mean area of a thing in these frames, as a part of the picture."""
LEAST_SHARE = 0.004
"""Least part of the largest thing's pixels, over all frames, that another one has."""
SUPPORT_DISTANCE, SUPPORT_MOTION = 5.0, 1.0
"""Spread, in pixels, of the place and of the motion of the pixels that a point supports."""
MOST_SUPPORTING = 300  # most points of a thing in one frame that are used, to bound time and memory
MOST_CANDIDATES = 64
"""Most candidates for things in a window, which bounds memory: each one needs a number for every
pixel and frame. The ones with the most points are kept."""
LEAST_SUPPORT = 1e-3  # least support by points of a pixel that is not filled in from its neighbours
SMOOTHING = 2  # radius in pixels of the squares over which a pixel's support is averaged


@dataclass(frozen=True)
class Things:
    """Hold the division of a window's matte.

    labels: the number of the thing that every pixel belongs to, ``(T, h, w)``, from 1 on; a pixel
    outside the matte has that of the nearest one. 0 where there are no things at all.
    numbers: the numbers of the things that are in this window, in rising order.
    """

    labels: Labels
    numbers: tuple[int, ...]


def find_things(
    frames: Tensor,
    matte: Tensor,
    motion: WindowMotion,
    *,
    before: Tensor | None = None,
    highest: int = 0,
    most: int = 0,
) -> Things:
    """Return the things of a window.

    frames: ``(T, 3, h, w)`` in [0, 1]. matte: ``(T, h, w)`` of bool. motion: of frames of this
    size. before: the numbers in the first n frames, as the window before found them, ``(n, h, w)``;
    0 outside its matte. highest: the highest number so far; new things get higher ones.
    most: how many numbers there may be; 0 for :data:`MOST_THINGS`.
    """
    most = min(most or MOST_THINGS, MOST_THINGS)
    points = follow_points(matte, motion, frames)
    groups = _groups(points, color_cells(frames), before)
    candidates = [[groups[i] for i in thing] for thing in _largest(groups)]
    support = _Support(matte, motion, points, candidates)
    kept = support.large_enough()
    if not kept:
        return _undivided(matte, before, highest, most)
    numbers = _new_numbers([_number_of(candidates[at]) for at in kept], highest)
    allowed = [at for at, number in zip(kept, numbers, strict=True) if number <= most]
    numbers = [number for number in numbers if number <= most]
    if not allowed:
        # All numbers are taken, so the whole foreground shares the last one.
        return Things(support.labels(kept[:1], [most]), (most,))
    return Things(support.labels(allowed, numbers), tuple(sorted(numbers)))


def _undivided(matte: Tensor, before: Tensor | None, highest: int, most: int) -> Things:
    """Return the whole matte as one thing, where no points tell more; no thing if it is too small.

    matte: ``(T, h, w)`` of bool. before, highest, most: see :func:`find_things`.
    """
    labels = np.zeros(tuple(matte.shape), np.int32)
    covers = matte.float().mean((1, 2)) >= LEAST_AREA
    if int(covers.sum()) < min(LEAST_FRAMES, len(matte)):
        return Things(labels, ())
    number = min(highest + 1, most)
    if before is not None and bool((before > 0).any()):
        number = int(before[before > 0].mode().values)
    labels[:] = number
    return Things(labels, (number,))


def _groups(points: Points, cells: Labels, before: Tensor | None) -> list[Group]:
    """Return the groups of points that move together.

    cells: the colours of the frames. before: see :func:`find_things`.
    """
    found = evidence(points)
    parts = [group_of(members, points, cells, before) for members in grouped(found.odds)]
    return [
        group_of(np.concatenate([parts[i].members for i in whole]), points, cells, before)
        for whole in moving_together(parts, found)
    ]


def _largest(groups: Sequence[Group]) -> list[list[int]]:
    """Return the :data:`MOST_CANDIDATES` things with the largest areas, in their order.

    They are lists of indices of ``groups``.
    """
    things = one_after_another(groups)
    if len(things) <= MOST_CANDIDATES:
        return things
    sizes = np.array([sum(float(groups[i].areas.sum()) for i in thing) for thing in things])
    chosen = np.sort(np.argsort(-sizes, kind="stable")[:MOST_CANDIDATES])
    return [things[at] for at in chosen]


def _number_of(groups: Sequence[Group]) -> int:
    """Return the number that the window before gave to a thing; 0 for none."""
    return max((group.given for group in groups), default=0)


def _new_numbers(given: Sequence[int], highest: int) -> list[int]:
    """Return a number for each thing: the one that it has, or the next one that is free."""
    numbers: list[int] = []
    for number in given:
        if not number or number in numbers:
            highest += 1
            number = highest
        numbers.append(number)
    return numbers


class _Support:
    """How much the points of each candidate for a thing support every pixel.

    matte: ``(T, h, w)`` of bool. motion, points: of frames of this size. things: the groups of
    each candidate. shares: how much each of N candidates supports every pixel, from 0 on,
    ``(T, N, h, w)``.
    """

    def __init__(
        self,
        matte: Tensor,
        motion: WindowMotion,
        points: Points,
        things: Sequence[Sequence[Group]],
    ) -> None:
        self.matte = matte
        members = [np.concatenate([group.members for group in thing]) for thing in things]
        # The last frame has no next one, so its flow is the one to the frame before, turned round.
        flow = torch.cat([motion.forward, -motion.backward[-1:]])
        self.shares = torch.zeros(len(matte), max(1, len(things)), *matte.shape[-2:])
        for t in range(len(matte)):
            rows, columns = matte[t].nonzero(as_tuple=True)
            if not len(rows):
                continue
            for number, chosen in enumerate(members):
                here = chosen[points.seen[chosen, t]]
                if len(here):
                    here = here[:: -(-len(here) // MOST_SUPPORTING)]
                    places = torch.from_numpy(points.places[here, t])
                    support = _support_by_points(places, flow[t], rows, columns)
                    self.shares[t, number, rows, columns] = support
        for each in self.shares:  # in place, as a copy of all would double the memory
            each.copy_(box(each[None], SMOOTHING)[0])

    def large_enough(self) -> list[int]:
        """Return the things that are seen long enough and large enough, the largest one first."""
        owners = self.shares.argmax(1)
        owned = self.matte & (self.shares.amax(1) > LEAST_SUPPORT)
        areas = torch.stack(
            [(owned & (owners == at)).sum((1, 2)) for at in range(self.shares.shape[1])]
        )
        pixels = self.matte.shape[1] * self.matte.shape[2]
        wholes = areas.sum(1)
        kept = []
        for at in wholes.argsort(descending=True, stable=True).tolist():
            seen = areas[at][areas[at] > 0].float()
            if len(seen) < min(LEAST_FRAMES, len(self.matte)):
                continue
            large = float(seen.mean()) >= LEAST_AREA * pixels
            if large and float(wholes[at]) >= LEAST_SHARE * float(wholes.max()):
                kept.append(at)
        return kept

    def labels(self, kept: Sequence[int], numbers: Sequence[int]) -> Labels:
        """Return the number of the thing of every pixel, ``(T, h, w)``.

        kept: the indices of the things that count. numbers: one for each of these.
        """
        shares = self.shares[:, list(kept)]
        named = np.array(numbers, np.int32)[shares.argmax(1).numpy()]
        known = (self.matte & (shares.amax(1) > LEAST_SUPPORT)).numpy()
        return _filled(named, known)


def _support_by_points(places: Tensor, flow: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return how much points support pixels of one frame, by their distance and motion, ``(n,)``.

    places: x and y of the points in pixels, ``(m, 2)``. flow: of the frame, ``(2, h, w)``.
    rows, columns: of the n pixels, ``(n,)``.
    """
    height, width = flow.shape[-2:]
    at_x = places[:, 0].round().long().clamp(0, width - 1)
    at_y = places[:, 1].round().long().clamp(0, height - 1)
    pixels = torch.stack([columns, rows], 1).float()
    distance = torch.cdist(pixels, places) / SUPPORT_DISTANCE
    unlike = torch.cdist(flow[:, rows, columns].T, flow[:, at_y, at_x].T) / SUPPORT_MOTION
    return torch.exp(-(distance**2 + unlike**2) / 2).sum(1)


def _filled(labels: Labels, known: NDArray[np.bool_]) -> Labels:
    """Give unknown pixels the label of the nearest known one of their frame, or of a near frame."""
    filled = np.zeros_like(labels)
    frames = np.nonzero(known.any((1, 2)))[0]
    for t in range(len(labels)):
        source = t if known[t].any() else int(frames[np.abs(frames - t).argmin()])
        _, nearest = cv2.distanceTransformWithLabels(
            (~known[source]).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        by_label = np.zeros(int(nearest.max()) + 1, np.int32)
        by_label[nearest[known[source]]] = labels[source][known[source]]
        filled[t] = by_label[nearest]
    return filled
