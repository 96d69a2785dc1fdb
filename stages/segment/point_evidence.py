"""Group points by what speaks for and against each two of them being of one thing.

The evidence for two points is how much their distance changes while both are seen. It was measured
on drawn clips with known things: a point's neighbour and one at the other end of its thing hardly
differ in that, so the distance itself says nothing. Pairs that are seen together for a few frames
say little. Sums of such evidence over pairs decide how many groups there are (minimum cost
multicuts; Keuper, Andres and Brox 2015): a few points that two things share at a crossing do not
outweigh all the pairs that part. Groups grow greedily, and then single points change over to the
group with the most evidence for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.segment.point_tracks import Points

Odds = NDArray[np.float32]
Members = NDArray[np.int64]

# The constants below were chosen on drawn clips, see tests/measure_movers.py.
CERTAIN, UNSURE = 6.4, 1.6
"""Log-odds of two points that keep their distance, less this times the root of its change."""
ENOUGH_FRAMES, SLOW_FRAMES = 8, 16
"""Common frames from which the first of these counts in full; and frames by which half of the
second does."""
BIAS = 1.0  # log-odds taken off, because errors of the tracks make things look alike
MOST_AGAINST = -6.0  # least log-odds, because a single point may be wrong
COMMON = 2  # frames that two points must have in common
COMMON_IN_MEAN = 3  # frames that they must have in common to count in the mean over two groups
NEAR = 6.0  # pixels to which two points have to come to be near
LEAST_GROUP = 6  # points of a group
ROUNDS = 5  # most rounds in which points change over


@dataclass(frozen=True)
class PairEvidence:
    """Hold what speaks for each two of n points being of one thing.

    odds: log-odds, ``(n, n)``; 0 for points that are not seen together.
    together: whether they are seen together long enough to count in a mean, ``(n, n)`` of bool.
    near: whether they also come near each other, ``(n, n)`` of bool.
    """

    odds: Odds
    together: NDArray[np.bool_]
    near: NDArray[np.bool_]


def evidence(points: Points) -> PairEvidence:
    """Return what speaks for each two points being of one thing."""
    change, distance, common = _changes(points)
    certain = CERTAIN * np.minimum(1, common / ENOUGH_FRAMES)
    unsure = UNSURE * np.minimum(1, 0.5 + common / SLOW_FRAMES)
    odds = np.maximum(certain - unsure * np.sqrt(change) - BIAS, MOST_AGAINST)
    odds[common < min(COMMON, points.seen.shape[1])] = 0
    np.fill_diagonal(odds, 0)
    together = common >= min(COMMON_IN_MEAN, points.seen.shape[1])
    return PairEvidence(odds.astype(np.float32), together, together & (distance <= NEAR))


def _changes(points: Points) -> tuple[Odds, Odds, Odds]:
    """Return how much the distance of each two points changes, the least one, the common frames.

    All are ``(n, n)``, the first two in pixels; these are 0 for points without a common frame.
    """
    seen = points.seen
    count = len(seen)
    x, y = (np.where(seen, points.places[..., axis], 0) for axis in (0, 1))
    common = seen.astype(np.float32) @ seen.T.astype(np.float32)
    change, distance = (np.zeros((count, count), np.float32) for _ in range(2))
    never = np.float32(1e4)  # more than any place in a picture
    for i in range(count):
        frames = seen[i].nonzero()[0]
        others = np.arange(i + 1, count)[common[i, i + 1 :] > 0]
        if not len(others):
            continue
        here = np.ix_(others, frames)
        out = np.where(seen[here], 0, never)
        right, down = x[here] - x[i, frames], y[here] - y[i, frames]
        across = (right - out).max(1) - (right + out).min(1)
        along = (down - out).max(1) - (down + out).min(1)
        change[i, others] = np.hypot(across, along)
        distance[i, others] = np.hypot(right, down + out).min(1)
    return change + change.T, distance + distance.T, common


def grouped(odds: Odds) -> list[Members]:
    """Return the groups of points that belong together, as indices; small ones are left out.

    odds: of each two of n points, ``(n, n)``.
    """
    if not len(odds):
        return []
    names = _changed_over(odds, _contracted(odds))
    groups = [(names == name).nonzero()[0] for name in range(int(names.max()) + 1)]
    return [group for group in groups if len(group) >= LEAST_GROUP]


def _contracted(odds: Odds) -> Members:
    """Return the group of each point, ``(n,)`` from 0 on, where the best two are joined each time.

    The evidence for two groups is the sum over their pairs; groups are joined while it is positive.
    """
    sums = odds.copy()
    np.fill_diagonal(sums, -np.inf)
    names = np.arange(len(sums))
    # The best partner of each group, so that a step costs about the number of groups.
    partner = sums.argmax(1)
    best = sums[names, partner]
    while len(sums) > 1 and best.max() > 0:
        kept = int(best.argmax())
        gone = int(partner[kept])
        sums[kept] += sums[gone]
        sums[:, kept] = sums[kept]
        sums[kept, kept] = -np.inf
        sums[gone] = sums[:, gone] = -np.inf
        names[names == gone] = kept
        best[gone] = -np.inf
        lost = ((partner == kept) | (partner == gone)) & np.isfinite(best)
        lost[kept] = True
        rows = lost.nonzero()[0]
        partner[rows] = sums[rows].argmax(1)
        best[rows] = sums[rows, partner[rows]]
        better = sums[:, kept] > best
        partner[better] = kept
        best[better] = sums[better, kept]
    return np.unique(names, return_inverse=True)[1]


def _changed_over(odds: Odds, names: Members) -> Members:
    """Return ``names`` ``(n,)`` after points have changed over to the group that suits them best.

    odds: of each two points, ``(n, n)``.
    """
    # In double precision, sums do not depend on their order, as far as the limit below sees.
    suits = odds.astype(np.float64) @ np.eye(int(names.max()) + 1)[names]
    names = names.copy()
    for _ in range(ROUNDS):
        changed = False
        for i in range(len(names)):
            new = int(suits[i].argmax())
            if suits[i, new] > suits[i, names[i]] + 1e-4:
                suits[:, names[i]] -= odds[:, i]
                suits[:, new] += odds[:, i]
                names[i] = new
                changed = True
        if not changed:
            break
    return names
