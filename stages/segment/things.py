"""Divide a window's matte into things: what moves differently, each with one identity.

1. Points of the matte are followed and grouped by their motion, see
   :mod:`stages.segment.point_tracks`.
2. Groups that do not drift apart and lie close to each other are parts of one thing, such as the
   limbs of a body. So are groups one after the other that look alike and follow on from each
   other.
3. Every pixel joins the group whose points lie near and move like it.
4. What is seen too briefly, or is too small, is no thing; its pixels join the nearest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import box
from stages.segment.lab import spread_colors
from stages.segment.motion import WindowMotion
from stages.segment.point_tracks import SPACING, Points, follow_points, grouped
from stages.thing_count import MOST_THINGS

Labels = NDArray[np.int32]
Numbers = NDArray[np.float64]

# The constants below were chosen on drawn clips, see tests/measure_movers.py.
LEAST_FRAMES = 4
"""Frames in which a thing has to be seen."""
LEAST_AREA = 8e-4
"""Least mean area of a thing in these frames, as a part of the picture."""
LEAST_SHARE = 0.02
"""Least part of the largest thing's pixels, over all frames, that another one has."""
DRIFT, DRIFT_PIXELS = 0.35, 1.5
"""Least change of the distance between two things, in the size of the smaller one, plus pixels."""
HALF_LENGTH = 0.9
"""Half the length of a long thing, in square roots of its area."""
LIKE = 0.6  # least part of the colours that two groups, one after the other, have in common
STEP = 1.0  # most distance between where they end and begin, in the size of the larger one
COLORS = 8  # bins of L, a and b each
NEAR, LIKE_MOTION = 5.0, 1.0
"""Spread in pixels of a point's neighbourhood, and of the motion of pixels that join it."""
MOST_NEAR = 300  # points of a thing, in one frame, that support its pixels
MOST_CANDIDATES = 64
"""Most candidates for things in a window, which bounds memory: each one needs a number for every
pixel and frame. The ones with the most points are kept."""
KNOWN = 1e-3  # least support by points of a pixel that is not filled in from its neighbours
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


@dataclass(frozen=True)
class Group:
    """Hold points that move together.

    members: their indices. counts: how many are seen in each frame, ``(T,)``. centers: the middle
    of these, ``(T, 2)``, NaN without any. moves: their motion to the next frame, ``(T - 1, 2)``,
    NaN where it is not known. colors: shares of the pixels' colours. given: the number that the
    window before gave them, or 0.
    """

    members: NDArray[np.int64]
    counts: NDArray[np.int64]
    centers: Numbers
    moves: Numbers
    colors: Numbers
    given: int

    @property
    def first(self) -> int:
        """Return the first frame in which it is seen."""
        return int(self.counts.nonzero()[0][0])

    @property
    def last(self) -> int:
        """Return the last frame in which it is seen."""
        return int(self.counts.nonzero()[0][-1])

    @property
    def size(self) -> float:
        """Return the square root of its typical area, in pixels."""
        return float(np.median(self.counts[self.counts > 0]) ** 0.5 * SPACING)


def find_things(
    frames: Tensor,
    matte: Tensor,
    motion: WindowMotion,
    *,
    before: Tensor | None = None,
    known: int = 0,
    most: int = 0,
) -> Things:
    """Return the things of a window.

    frames: ``(T, 3, h, w)`` in [0, 1]. matte: ``(T, h, w)`` of bool. motion: of frames of this
    size. before: the numbers in the first n frames, as the window before found them, ``(n, h, w)``;
    0 outside its matte. known: the highest number so far; new things get higher ones.
    most: how many numbers there may be; 0 for :data:`MOST_THINGS`.
    """
    most = min(most or MOST_THINGS, MOST_THINGS)
    points = follow_points(matte, motion)
    cells = _color_cells(frames)
    groups = [_described(members, points, cells, before) for members in grouped(points)]
    parts = _largest(_joined(groups), groups)
    supports = _Support(matte, motion, points, [[groups[i] for i in part] for part in parts])
    kept = supports.large_enough()
    if not kept:
        return _undivided(matte, before, known, most)
    given = [_number_of([groups[i] for i in parts[at]]) for at in kept]
    numbers = _new_numbers(given, known)
    chosen = [at for at, number in enumerate(numbers) if number <= most]
    if not chosen:
        return Things(supports.labels(kept[:1], [most]), (most,))
    numbers = [numbers[at] for at in chosen]
    return Things(supports.labels([kept[at] for at in chosen], numbers), tuple(sorted(numbers)))


def _undivided(matte: Tensor, before: Tensor | None, known: int, most: int) -> Things:
    """Return the whole matte as one thing, where no points tell more; no thing if it is too small.

    matte: ``(T, h, w)`` of bool. before, known, most: see :func:`find_things`.
    """
    labels = np.zeros(tuple(matte.shape), np.int32)
    covers = matte.float().mean((1, 2)) >= LEAST_AREA
    if int(covers.sum()) < min(LEAST_FRAMES, len(matte)):
        return Things(labels, ())
    number = min(known + 1, most)
    if before is not None and bool((before > 0).any()):
        number = int(before[before > 0].mode().values)
    labels[:] = number
    return Things(labels, (number,))


def _described(
    members: NDArray[np.int64], points: Points, cells: Labels, before: Tensor | None
) -> Group:
    """Return the group of some points.

    members: their indices. cells: the number of every pixel's colour, ``(T, h, w)``.
    before: see :func:`find_things`; each point votes for the number at its place.
    """
    places, seen = points.places[members], points.seen[members]
    count = seen.shape[1]
    centers, moves = np.full((count, 2), np.nan), np.full((count - 1, 2), np.nan)
    colors = np.full(COLORS**3, 1e-6)
    votes = np.zeros(256, np.int64)
    for t in range(count):
        here = places[seen[:, t], t]
        if len(here):
            centers[t] = np.median(here, 0)
            x, y = (here[:, axis].round().astype(int) for axis in (0, 1))
            y, x = y.clip(0, cells.shape[1] - 1), x.clip(0, cells.shape[2] - 1)
            np.add.at(colors, cells[t, y, x], 1)
            if before is not None and t < len(before):
                np.add.at(votes, before[t].numpy()[y, x].astype(int), 1)
        if t + 1 < count and (both := seen[:, t] & seen[:, t + 1]).any():
            moves[t] = np.median(places[both, t + 1] - places[both, t], 0)
    votes[0] = 0
    cube = torch.from_numpy(colors).view(1, 1, COLORS, COLORS, COLORS)
    soft = (cube + 2 * functional.avg_pool3d(cube, 3, 1, 1)).flatten().numpy()
    given = int(votes.argmax()) if votes.any() else 0
    return Group(members, seen.sum(0), centers, moves, soft / soft.sum(), given)


def _color_cells(frames: Tensor) -> Labels:
    """Return the number of every pixel's colour, ``(T, h, w)``."""
    lightness, a, b = (
        (each * COLORS).long().clamp(0, COLORS - 1) for each in spread_colors(frames)
    )
    cells: Labels = (lightness * COLORS**2 + a * COLORS + b).numpy().astype(np.int32)
    return cells


def _joined(groups: Sequence[Group]) -> list[list[int]]:
    """Return which groups are one thing, as lists of their indices."""
    part = list(range(len(groups)))
    apart = {pair for pair in combinations(part, 2) if _differ(*(groups[i] for i in pair))}
    links = []
    for one, other in combinations(range(len(groups)), 2):
        if (one, other) not in apart:
            likeness = _likeness(groups[one], groups[other])
            if likeness > 0:
                links.append((likeness, one, other))
    for _, one, other in sorted(links, reverse=True):
        ours, theirs = ([i for i in range(len(groups)) if part[i] == part[j]] for j in (one, other))
        given = {groups[i].given for i in (*ours, *theirs)} - {0}
        clash = any((min(i, j), max(i, j)) in apart for i in ours for j in theirs)
        if not clash and len(given) < 2:
            for i in theirs:
                part[i] = part[one]
    return [[i for i in range(len(groups)) if part[i] == name] for name in dict.fromkeys(part)]


def _largest(parts: list[list[int]], groups: Sequence[Group]) -> list[list[int]]:
    """Return the :data:`MOST_CANDIDATES` parts with the most points, in their order.

    parts: lists of indices of ``groups``.
    """
    if len(parts) <= MOST_CANDIDATES:
        return parts
    sizes = np.array([sum(int(groups[i].counts.sum()) for i in part) for part in parts])
    chosen = np.sort(np.argsort(-sizes, kind="stable")[:MOST_CANDIDATES])
    return [parts[at] for at in chosen]


def _common(one: Group, other: Group) -> NDArray[np.bool_]:
    """Return the frames in which both groups are seen, ``(T,)``."""
    return (one.counts > 0) & (other.counts > 0)


def _differ(one: Group, other: Group) -> bool:
    """Return whether two groups drift apart, or lie far apart, in the frames that both have."""
    if one.given and other.given:
        return one.given != other.given
    common = _common(one, other)
    if common.sum() < LEAST_FRAMES:
        return False
    relative = one.moves - other.moves
    way = np.concatenate([np.zeros((1, 2)), np.nancumsum(relative, 0)])
    drift = float(np.hypot(*(way.max(0) - way.min(0))))
    offset = (one.centers - other.centers)[common]
    gap = float(np.hypot(*offset.T).min()) - HALF_LENGTH * (one.size + other.size)
    sizes = one.size, other.size
    return drift > DRIFT * min(sizes) + DRIFT_PIXELS or gap > max(sizes)


def _likeness(one: Group, other: Group) -> float:
    """Return how sure it is that two groups that do not differ are one thing; 0 if they are not.

    3 stands for the same number in the window before, and 2 for groups that lie close to each
    other in the same frames. Of groups one after the other it is the part of their colours that
    they have in common, up to 1.
    """
    if one.given and one.given == other.given:
        return 3.0
    larger = max(one.size, other.size)
    common = _common(one, other)
    if common.any():
        offset = np.hypot(*(one.centers - other.centers)[common].T).min()
        # Too few frames to see a drift: their motion tells whether they would drift apart.
        drift = LEAST_FRAMES * float(np.hypot(*(_move_at(one, common) - _move_at(other, common))))
        parting = drift > DRIFT * min(one.size, other.size) + DRIFT_PIXELS
        if common.sum() < LEAST_FRAMES and parting and _alike(one, other) < LIKE:
            return 0.0
        return 2.0 if offset < HALF_LENGTH * (one.size + other.size) + larger else 0.0
    earlier, later = sorted((one, other), key=lambda group: group.first)
    if later.first < earlier.last:
        return 0.0
    alike = _alike(one, other)
    wait = later.first - earlier.last
    moves = earlier.moves[np.isfinite(earlier.moves[:, 0])][-3:]
    move = moves.mean(0) if len(moves) else np.zeros(2)
    missed = np.hypot(*(earlier.centers[earlier.last] + wait * move - later.centers[later.first]))
    return alike if alike > LIKE and missed < STEP * larger + wait else 0.0


def _alike(one: Group, other: Group) -> float:
    """Return the part of their colours that two groups have in common, 0 to 1."""
    return float(np.minimum(one.colors, other.colors).sum())


def _move_at(group: Group, frames: NDArray[np.bool_]) -> Numbers:
    """Return a group's mean motion a frame, ``(2,)``, from or into some frames; 0 if not known."""
    steps = (frames[:-1] | frames[1:]) & np.isfinite(group.moves[:, 0])
    return group.moves[steps].mean(0) if steps.any() else np.zeros(2)


def _number_of(groups: Sequence[Group]) -> int:
    """Return the number that the window before gave to a thing; 0 for none."""
    return max((group.given for group in groups), default=0)


def _new_numbers(given: Sequence[int], known: int) -> list[int]:
    """Return a number for each thing: the one that it has, or the next one that is free."""
    numbers: list[int] = []
    for number in given:
        if not number or number in numbers:
            known += 1
            number = known
        numbers.append(number)
    return numbers


class _Support:
    """Find the thing that every pixel belongs to.

    matte: ``(T, h, w)`` of bool. motion, points: of frames of this size. things: the groups of
    each candidate for a thing. shares: how much each of them supports every pixel, from 0 on,
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
        flow = torch.cat([motion.forward, -motion.backward[-1:]])
        self.shares = torch.zeros(len(matte), max(1, len(things)), *matte.shape[-2:])
        for t in range(len(matte)):
            rows, columns = matte[t].nonzero(as_tuple=True)
            if not len(rows):
                continue
            pixels = torch.stack([columns, rows], 1).float()
            moves = flow[t, :, rows, columns].T
            for number, chosen in enumerate(members):
                here = chosen[points.seen[chosen, t]]
                if not len(here):
                    continue
                here = here[:: -(-len(here) // MOST_NEAR)]
                places = torch.from_numpy(points.places[here, t])
                at_x = places[:, 0].round().long().clamp(0, matte.shape[2] - 1)
                at_y = places[:, 1].round().long().clamp(0, matte.shape[1] - 1)
                own = flow[t, :, at_y, at_x].T
                far = torch.cdist(pixels, places) / NEAR
                unlike = torch.cdist(moves, own) / LIKE_MOTION
                support = torch.exp(-(far**2 + unlike**2) / 2).sum(1)
                self.shares[t, number, rows, columns] = support
        for each in self.shares:  # in place, as a copy of all would double the memory
            each.copy_(box(each[None], SMOOTHING)[0])

    def large_enough(self) -> list[int]:
        """Return the things that are seen long enough and large enough, the largest one first."""
        owners = self.shares.argmax(1)
        owned = self.matte & (self.shares.amax(1) > KNOWN)
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
        known = (self.matte & (shares.amax(1) > KNOWN)).numpy()
        return _filled(named, known)


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
