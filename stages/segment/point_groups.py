"""Groups of points that move together, and which of these groups are parts of one thing.

Groups of two kinds are joined: those that hardly part, in the mean over their pairs of points, such
as the limbs of a body; and those one after the other that look alike and follow on from each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stages.segment.lab import spread_colors
from stages.segment.point_evidence import PairEvidence
from stages.segment.point_tracks import Points

Labels = NDArray[np.int32]
Numbers = NDArray[np.float64]

# The constants below were chosen on drawn clips, see tests/measure_movers.py.
MOST_PARTING, MOST_PARTING_APART = 1.3, 1.0
"""Log-odds against one thing up to which two groups are one: if they touch, and if they do not."""
SMALL_PARTING = 5.0
"""Log-odds that are added to these, divided by the points of the smaller group. The few points of a
limb part from its body for a moment."""
LEAST_PAIRS = 0.05
"""Least number of pairs that are seen together, as a part of the smaller group's points, squared.
Of fewer, the mean says nothing."""
LEAST_POINTS = 15  # points of a thing
THERE = 0.25
"""Part of its largest area from which a group is there in a frame: stragglers do not count."""
LEAST_COMMON_COLORS, CLEARLY_COMMON_COLORS = 0.55, 0.75
"""Least part of their colours that two groups, one after the other, have in common; and from where
they may jump farther."""
MOST_JUMP, FARTHEST_JUMP = 1.0, 1.5
"""Most distance between where one group ends and the next begins, in the size of the larger one;
the second one with clearly common colours."""
MOST_OVERLAP = 3  # frames in which two groups one after the other may both be there
SETTLED = 3  # frames at a group's end whose motion is carried on
COLOR_BINS = 8  # bins of L, a and b each
HIGHEST_LABEL = 255  # of a thing, because a layer of numbers has 8 bits


@dataclass(frozen=True)
class Group:
    """Hold points that move together.

    members: their indices. areas: what those that are seen cover in each frame, in pixels,
    ``(T,)``. centers: the middle of these, ``(T, 2)``, NaN without any. moves: their motion to the
    next frame, ``(T - 1, 2)``, NaN where it is not known. colors: shares of the pixels' colours.
    given: the number that the window before gave them, or 0.
    """

    members: NDArray[np.int64]
    areas: Numbers
    centers: Numbers
    moves: Numbers
    colors: Numbers
    given: int

    @property
    def there(self) -> NDArray[np.bool_]:
        """Return the frames in which a good part of it is seen, ``(T,)``."""
        return _is_there(self.areas)

    @property
    def first(self) -> int:
        """Return the first frame in which it is there."""
        return int(self.there.nonzero()[0][0])

    @property
    def last(self) -> int:
        """Return the last frame in which it is there."""
        return int(self.there.nonzero()[0][-1])

    @property
    def size(self) -> float:
        """Return the square root of its typical area, in pixels."""
        return float(np.median(self.areas[self.areas > 0]) ** 0.5)


def _is_there(areas: Numbers) -> NDArray[np.bool_]:
    """Return the frames in which a good part of the largest of some areas ``(T,)`` is seen."""
    there: NDArray[np.bool_] = (areas > 0) & (areas >= THERE * areas.max())
    return there


def group_of(
    members: NDArray[np.int64], points: Points, cells: Labels, before: Tensor | None
) -> Group:
    """Return the group of some points.

    members: their indices. cells: from :func:`color_cells`.
    before: the numbers of things in the first n frames, ``(n, h, w)``, as the window before found
    them. Each point votes for the number at its place.
    """
    chosen = points[members]
    places, seen = chosen.places, chosen.seen
    covers = chosen.spacing.astype(np.float64) ** 2
    count = seen.shape[1]
    centers, moves = np.full((count, 2), np.nan), np.full((count - 1, 2), np.nan)
    colors = np.full(COLOR_BINS**3, 1e-6)
    votes = np.zeros(HIGHEST_LABEL + 1, np.int64)
    for t in range(count):
        here = places[seen[:, t], t]
        if len(here):
            centers[t] = np.average(here, 0, covers[seen[:, t]])
            x, y = (here[:, axis].round().astype(int) for axis in (0, 1))
            y, x = y.clip(0, cells.shape[1] - 1), x.clip(0, cells.shape[2] - 1)
            np.add.at(colors, cells[t, y, x], 1)
            if before is not None and t < len(before):
                np.add.at(votes, before[t].numpy()[y, x].astype(int), 1)
        if t + 1 < count and (both := seen[:, t] & seen[:, t + 1]).any():
            moves[t] = np.median(places[both, t + 1] - places[both, t], 0)
    # Places outside the earlier matte have the number 0, which is no thing.
    votes[0] = 0
    given = int(votes.argmax()) if votes.any() else 0
    return Group(members, covers @ seen, centers, moves, _smoothed_shares(colors), given)


def _smoothed_shares(colors: Numbers) -> Numbers:
    """Return the shares of colours, from how often each was seen, ``(COLOR_BINS ** 3,)``.

    A colour also counts a little for its neighbours, because light changes it.
    """
    cube = torch.from_numpy(colors).view(1, 1, COLOR_BINS, COLOR_BINS, COLOR_BINS)
    smooth = (cube + 2 * functional.avg_pool3d(cube, 3, 1, 1)).flatten().numpy()
    shares: Numbers = smooth / smooth.sum()
    return shares


def color_cells(frames: Tensor) -> Labels:
    """Return the number of every pixel's colour among ``COLOR_BINS ** 3``, ``(T, h, w)``.

    frames: ``(T, 3, h, w)`` in [0, 1].
    """
    lightness, a, b = (
        (each * COLOR_BINS).long().clamp(0, COLOR_BINS - 1) for each in spread_colors(frames)
    )
    cells: Labels = (lightness * COLOR_BINS**2 + a * COLOR_BINS + b).numpy().astype(np.int32)
    return cells


def moving_together(groups: Sequence[Group], found: PairEvidence) -> list[list[int]]:
    """Return which groups hardly part from each other, as lists of their indices.

    Those that part least are joined first. Groups with one number from the window before are one
    thing, and those with different numbers are not. What has too few points for a thing is left
    out, unless there is nothing else.

    found: the evidence for each two points.
    """
    bonds = _Bonds(groups, found)
    things = [[i] for i in range(len(groups))]
    while len(things) > 1:
        strength = bonds.strength()
        one, other = sorted(divmod(int(strength.argmax()), len(things)))
        if strength[one, other] <= 0:
            break
        things[one] += things.pop(other)
        bonds.join(one, other)
    everyone = range(len(things))
    large = [at for at in everyone if bonds.sizes[at] >= LEAST_POINTS or bonds.numbers[at]]
    if not large and things:
        large = [int(np.argmax(bonds.sizes))]
    return [things[at] for at in large]


class _Bonds:
    """What speaks for each two of N groups of points being one thing.

    sums: of the log-odds over pairs of points, and of those that come near each other,
    ``(2, N, N)``. pairs: how many these are, ``(2, N, N)``. sizes: points of each group.
    numbers: what the window before gave to each, or 0.
    """

    def __init__(self, groups: Sequence[Group], found: PairEvidence) -> None:
        self.sizes = [len(group.members) for group in groups]
        self.numbers = [group.given for group in groups]
        self.sums = np.zeros((2, len(groups), len(groups)))
        self.pairs = np.zeros_like(self.sums)
        for one, other in combinations(range(len(groups)), 2):
            at = np.ix_(groups[one].members, groups[other].members)
            for kind, counted in enumerate((found.together[at], found.near[at])):
                self.sums[kind, one, other] = found.odds[at][counted].sum()
                self.pairs[kind, one, other] = counted.sum()
        for table in (self.sums, self.pairs):
            table += table.transpose(0, 2, 1)

    def strength(self) -> Numbers:
        """Return how much speaks for each two groups being one thing, ``(N, N)``.

        It is 0 or less for those that are not known to be one.
        Points where the groups touch count as much as all points: limbs part from the body at
        their ends, and hardly where they are joined to it.
        """
        sizes, numbers = np.array(self.sizes, np.float64), np.array(self.numbers)
        smaller = np.minimum(sizes[:, None], sizes)
        mean, local = self.sums / np.maximum(self.pairs, 1)
        touch = self.pairs[1] > 0
        found: Numbers = np.where(
            touch, (mean + local) / 2 + MOST_PARTING, mean + MOST_PARTING_APART
        )
        found += SMALL_PARTING / smaller
        found[self.pairs[0] <= LEAST_PAIRS * smaller**2] = -np.inf
        given = (numbers[:, None] > 0) & (numbers > 0)
        found[given] = np.where(numbers[:, None] == numbers, np.inf, -np.inf)[given]
        np.fill_diagonal(found, -np.inf)
        return found

    def join(self, one: int, other: int) -> None:
        """Join the second group to the first one, and number those behind it anew."""
        self.numbers[one] = self.numbers[one] or self.numbers[other]
        self.sizes[one] += self.sizes[other]
        for table in (self.sums, self.pairs):
            table[:, one] += table[:, other]
            table[:, :, one] += table[:, :, other]
        self.sums, self.pairs = (
            np.delete(np.delete(table, other, 1), other, 2) for table in (self.sums, self.pairs)
        )
        del self.numbers[other], self.sizes[other]


def one_after_another(groups: Sequence[Group]) -> list[list[int]]:
    """Return which groups are one thing that is lost and found again, as lists of their indices.

    The most alike are joined first. Things that the window before gave different numbers are not
    joined, nor things that are there at once for more than a few frames.
    """
    everyone = range(len(groups))
    alike = []
    for one, other in permutations(everyone, 2):
        likeness = _likeness(groups[one], groups[other])
        if likeness > -np.inf:
            alike.append((likeness, one, other))
    # The thing of each group, named after one of its groups.
    thing = list(everyone)
    for _, one, other in sorted(alike, reverse=True):
        kept = [i for i in everyone if thing[i] == thing[one]]
        added = [i for i in everyone if thing[i] == thing[other]]
        if kept == added or len({groups[i].given for i in (*kept, *added)} - {0}) > 1:
            continue
        whole = [_is_there(np.sum([groups[i].areas for i in part], 0)) for part in (kept, added)]
        if (whole[0] & whole[1]).sum() <= MOST_OVERLAP:
            for i in added:
                thing[i] = thing[one]
    return [[i for i in everyone if thing[i] == name] for name in dict.fromkeys(thing)]


def _likeness(earlier: Group, later: Group) -> float:
    """Return how likely two groups are one thing, the first before the second one.

    It is the part of their colours that they have in common, less half of how far the second one
    begins from where the first one would be. Minus infinity if they are not one thing.
    """
    wait = later.first - earlier.last
    colors = float(np.minimum(earlier.colors, later.colors).sum())
    if wait < -1 or colors < LEAST_COMMON_COLORS:
        return -np.inf
    before = earlier.moves[max(0, earlier.last - SETTLED) : earlier.last]
    after = later.moves[later.first : later.first + SETTLED]
    move = (_mean(before) + _mean(after)) / 2
    missed = earlier.centers[earlier.last] + wait * move - later.centers[later.first]
    size = max(earlier.size, later.size)
    jump = FARTHEST_JUMP if colors > CLEARLY_COMMON_COLORS else MOST_JUMP
    distance = float(np.hypot(*missed))
    if distance > jump * size + wait:
        return -np.inf
    return colors - distance / (size + max(wait, 0)) / 2


def _mean(moves: Numbers) -> Numbers:
    """Return the mean of the motions ``(n, 2)`` that are known, ``(2,)``; 0 without any."""
    known = moves[np.isfinite(moves[:, 0])]
    return known.mean(0) if len(known) else np.zeros(2)
