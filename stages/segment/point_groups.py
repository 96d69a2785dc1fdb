"""Groups of points that move together, and which of these groups are parts of one thing.

Groups of two kinds are joined: those that lie close to each other and do not drift apart, such as
the limbs of a body, and those one after the other that look alike and follow on from each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stages.segment.lab import spread_colors
from stages.segment.point_tracks import SPACING, Points

Labels = NDArray[np.int32]
Numbers = NDArray[np.float64]

# The constants below were chosen on drawn clips, see tests/measure_movers.py.
LEAST_COMMON_FRAMES = 4
"""Frames that two groups have to share for their drift to be seen."""
DRIFT, DRIFT_PIXELS = 0.35, 1.5
"""Least change of the distance between two things, in the size of the smaller one, plus pixels."""
HALF_LENGTH = 0.9
"""Half the length of a long thing, in square roots of its area."""
LEAST_COMMON_COLORS = 0.6
"""Least part of their colours that two groups, one after the other, have in common."""
MOST_JUMP = 1.0
"""Most distance between where one group ends and the next begins, in the size of the larger one."""
COLOR_BINS = 8  # bins of L, a and b each
HIGHEST_LABEL = 255  # of a thing, because a layer of numbers has 8 bits
SAME_THING, SIDE_BY_SIDE = 3.0, 2.0
"""Likeness of groups with the same number in the window before, and of groups that lie close to
each other. Groups one after the other have at most 1, so they are joined last."""


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


def group_of(
    members: NDArray[np.int64], points: Points, cells: Labels, before: Tensor | None
) -> Group:
    """Return the group of some points.

    members: their indices. cells: from :func:`color_cells`.
    before: the numbers of things in the first n frames, ``(n, h, w)``, as the window before found
    them. Each point votes for the number at its place.
    """
    places, seen = points.places[members], points.seen[members]
    count = seen.shape[1]
    centers, moves = np.full((count, 2), np.nan), np.full((count - 1, 2), np.nan)
    colors = np.full(COLOR_BINS**3, 1e-6)
    votes = np.zeros(HIGHEST_LABEL + 1, np.int64)
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
    # Places outside the earlier matte have the number 0, which is no thing.
    votes[0] = 0
    given = int(votes.argmax()) if votes.any() else 0
    return Group(members, seen.sum(0), centers, moves, _smoothed_shares(colors), given)


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


def joined(groups: Sequence[Group]) -> list[list[int]]:
    """Return which groups are one thing, as lists of their indices.

    The most alike are joined first. Things are not joined if any of their groups differ, or if the
    window before gave them different numbers.
    """
    everyone = range(len(groups))
    different = {pair for pair in combinations(everyone, 2) if _differ(*(groups[i] for i in pair))}
    alike = []
    for one, other in combinations(everyone, 2):
        if (one, other) not in different:
            likeness = _likeness(groups[one], groups[other])
            if likeness > 0:
                alike.append((likeness, one, other))
    # The thing of each group, named after one of its groups.
    thing = list(everyone)
    for _, one, other in sorted(alike, reverse=True):
        kept = [i for i in everyone if thing[i] == thing[one]]
        added = [i for i in everyone if thing[i] == thing[other]]
        given = {groups[i].given for i in (*kept, *added)} - {0}
        clash = any((min(i, j), max(i, j)) in different for i in kept for j in added)
        if not clash and len(given) < 2:
            for i in added:
                thing[i] = thing[one]
    return [[i for i in everyone if thing[i] == name] for name in dict.fromkeys(thing)]


def _common(one: Group, other: Group) -> NDArray[np.bool_]:
    """Return the frames in which both groups are seen, ``(T,)``."""
    return (one.counts > 0) & (other.counts > 0)


def _drifts(drift: float, one: Group, other: Group) -> bool:
    """Return whether a change of two groups' distance, in pixels, is too large for one thing."""
    return drift > DRIFT * min(one.size, other.size) + DRIFT_PIXELS


def _differ(one: Group, other: Group) -> bool:
    """Return whether two groups drift apart, or lie far apart, in the frames that both have."""
    if one.given and other.given:
        return one.given != other.given
    common = _common(one, other)
    if common.sum() < LEAST_COMMON_FRAMES:
        return False
    relative = one.moves - other.moves
    path = np.concatenate([np.zeros((1, 2)), np.nancumsum(relative, 0)])
    drift = float(np.hypot(*(path.max(0) - path.min(0))))
    offset = (one.centers - other.centers)[common]
    gap = float(np.hypot(*offset.T).min()) - HALF_LENGTH * (one.size + other.size)
    return _drifts(drift, one, other) or gap > max(one.size, other.size)


def _likeness(one: Group, other: Group) -> float:
    """Return how sure it is that two groups that do not differ are one thing; 0 if they are not.

    Of groups one after the other it is the part of their colours that they have in common, up to 1.
    For the others, see :data:`SAME_THING`.
    """
    if one.given and one.given == other.given:
        return SAME_THING
    common = _common(one, other)
    if common.any():
        return SIDE_BY_SIDE if _lie_together(one, other, common) else 0.0
    earlier, later = sorted((one, other), key=lambda group: group.first)
    if later.first < earlier.last:
        return 0.0
    alike = _common_colors(one, other)
    return alike if alike > LEAST_COMMON_COLORS and _follows_on(earlier, later) else 0.0


def _lie_together(one: Group, other: Group, common: NDArray[np.bool_]) -> bool:
    """Return whether two groups lie close to each other in their ``common`` frames, ``(T,)``."""
    # Too few frames to see a drift: their motion tells whether they would drift apart.
    velocity = _move_at(one, common) - _move_at(other, common)
    drift = LEAST_COMMON_FRAMES * float(np.hypot(*velocity))
    few = common.sum() < LEAST_COMMON_FRAMES
    if few and _drifts(drift, one, other) and _common_colors(one, other) < LEAST_COMMON_COLORS:
        return False
    offset = np.hypot(*(one.centers - other.centers)[common].T).min()
    return bool(offset < HALF_LENGTH * (one.size + other.size) + max(one.size, other.size))


def _follows_on(earlier: Group, later: Group) -> bool:
    """Return whether a group begins where an earlier one would be, had it gone on moving."""
    wait = later.first - earlier.last
    moves = earlier.moves[np.isfinite(earlier.moves[:, 0])][-3:]
    move = moves.mean(0) if len(moves) else np.zeros(2)
    expected = earlier.centers[earlier.last] + wait * move
    missed = np.hypot(*(expected - later.centers[later.first]))
    return bool(missed < MOST_JUMP * max(earlier.size, later.size) + wait)


def _common_colors(one: Group, other: Group) -> float:
    """Return the part of their colours that two groups have in common, 0 to 1."""
    return float(np.minimum(one.colors, other.colors).sum())


def _move_at(group: Group, frames: NDArray[np.bool_]) -> Numbers:
    """Return a group's mean motion a frame, ``(2,)``, from or into some frames; 0 if not known."""
    steps = (frames[:-1] | frames[1:]) & np.isfinite(group.moves[:, 0])
    return group.moves[steps].mean(0) if steps.any() else np.zeros(2)
