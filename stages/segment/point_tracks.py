"""Follow points of a matte through a window, and group those that move together.

Points are followed along the flow, as long as it is trusted and stays in the matte; new ones begin
where no point passes (Sundaram, Brox and Keutzer 2010). Two points belong together as far as the
distance between them stays the same in all frames that both have, up to a change that grows with
the distance, as rotation, zoom and limbs change it (Brox and Malik 2010). The graph of these
affinities is cut in two, again and again, as long as the normalized cut is cheap (Shi and Malik
2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import sample
from stages.segment.motion import WindowMotion
from stages.segment.parallax import follow

Values = NDArray[np.float32]

# The constants below were chosen on drawn clips, see tests/measure_movers.py.
SPACING = 4  # pixels between points
EVERY = 3  # new points begin in every third frame, where none passes
MOST_POINTS = 1200
"""Most points that are grouped; the time grows with their square."""
KEPT_TRUST = 0.3  # least confidence, 0 to 1, with which a point is followed on
DOUBT = 0.5  # how much the doubt in each step lowers that confidence; see parallax.follow
JERK = 3.0
"""Most change of a point's motion from frame to frame, in pixels; more is a jump elsewhere."""
LEAST_LENGTH = 4  # frames through which a point has to be followed
COMMON = 3  # frames that two points must have in common
SHAKE, BEND = 1.0, 0.3
"""Change of two points' distance that says little: in pixels, plus a part of the distance."""
REACH = 12.0  # pixels at which the affinity of points falls to a third
CHEAP = 0.12  # largest normalized cut, 0 to 2, that divides a group
LEAST_GROUP = 6  # points of a group


@dataclass(frozen=True)
class Points:
    """Hold n points through T frames.

    places: x and y in pixels, ``(n, T, 2)``. seen: where they are followed, ``(n, T)`` of bool.
    """

    places: Values
    seen: NDArray[np.bool_]


def follow_points(matte: Tensor, motion: WindowMotion) -> Points:
    """Return the points of a matte ``(T, h, w)`` of bool. motion: of frames of this size."""
    count, height, width = matte.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = ((x + y // SPACING * (SPACING // 2)) % SPACING == 0) & (y % SPACING == 0)
    covered = torch.zeros_like(matte)
    found = [Points(np.zeros((0, count, 2), np.float32), np.zeros((0, count), bool))]
    for start in range(0, count, EVERY):
        rows, columns = (matte[start] & grid & ~covered[start]).nonzero(as_tuple=True)
        if len(rows):
            found.append(_followed_from(start, rows, columns, matte, motion, covered))
    places = np.concatenate([points.places for points in found])
    seen = np.concatenate([points.seen for points in found])
    chosen = (seen.sum(1) >= min(LEAST_LENGTH, count)).nonzero()[0]
    chosen = chosen[:: max(1, -(-len(chosen) // MOST_POINTS))]
    return Points(places[chosen], seen[chosen])


def _followed_from(
    start: int,
    rows: Tensor,
    columns: Tensor,
    matte: Tensor,
    motion: WindowMotion,
    covered: Tensor,
) -> Points:
    """Return the points that begin in frame ``start``, followed to both ends of the window.

    rows, columns: where they begin, ``(n,)``. matte: ``(T, h, w)`` of bool.
    covered: where a point passes, ``(T, h, w)`` of bool; changed in place.
    """
    count, height, width = matte.shape
    places = np.full((len(rows), count, 2), np.nan, np.float32)
    seen = np.zeros((len(rows), count), bool)
    places[:, start] = torch.stack([columns, rows], 1).numpy()
    seen[:, start] = True
    for steps in (count - 1 - start, -start):
        if not steps:
            continue
        flow, trust = follow(motion, start, steps, DOUBT)
        moved, trust = flow[:, :, rows, columns], trust[:, 0, rows, columns]
        jerks = _jerks(moved)
        alive = torch.ones(len(rows), dtype=torch.bool)
        for number in range(abs(steps)):
            t = start + (number + 1 if steps > 0 else -number - 1)
            to_x, to_y = columns + moved[number, 0], rows + moved[number, 1]
            alive &= trust[number] > KEPT_TRUST
            alive &= jerks[number] < JERK
            alive &= _is_inside(matte[t], to_x, to_y)
            places[alive.numpy(), t] = torch.stack([to_x, to_y], 1)[alive].numpy()
            seen[:, t] = alive.numpy()
            near_x = to_x[alive].round().long().clamp(0, width - 1)
            near_y = to_y[alive].round().long().clamp(0, height - 1)
            _cover(covered[t], near_x, near_y)
    return Points(places, seen)


def _jerks(moved: Tensor) -> Tensor:
    """Return how much the motion of points changes with each step, in pixels, ``(steps, n)``.

    moved: how far they have moved after each step, ``(steps, 2, n)``.
    """
    velocity = torch.cat([moved[:1], moved.diff(dim=0)])
    change = torch.cat([torch.zeros_like(moved[:1]), velocity.diff(dim=0)])
    return torch.hypot(change[:, 0], change[:, 1])


def _is_inside(matte: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return whether points, in pixels, lie in a matte ``(h, w)`` of bool; ``(n,)`` of bool."""
    height, width = matte.shape
    at = torch.stack([(x + 0.5) * 2 / width - 1, (y + 0.5) * 2 / height - 1], -1)
    return sample(matte[None, None].float(), at[None, None])[0, 0, 0] > 0.5


def _cover(covered: Tensor, x: Tensor, y: Tensor) -> None:
    """Mark the surroundings of points, so that no new ones begin there.

    covered: ``(h, w)`` of bool, changed in place. x, y: the points' pixels, ``(n,)``.
    """
    height, width = covered.shape
    reach = SPACING // 2
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            covered[(y + down).clamp(0, height - 1), (x + right).clamp(0, width - 1)] = True


def affinities(points: Points) -> Values:
    """Return how much each two points belong together, ``(n, n)`` in [0, 1]."""
    count = len(points.places)
    found = np.zeros((count, count), np.float32)
    x, y = points.places[..., 0], points.places[..., 1]
    for i in range(count):
        # Only where both are seen: elsewhere the differences are not numbers.
        both = points.seen & points.seen[i]
        enough = both.sum(1) >= min(COMMON, both.shape[1])
        js = enough.nonzero()[0]
        js = js[js > i]
        if not len(js):
            continue
        right, down = x[js] - x[i], y[js] - y[i]
        change = np.hypot(
            np.nanmax(right, 1) - np.nanmin(right, 1), np.nanmax(down, 1) - np.nanmin(down, 1)
        )
        distance = np.nanmin(np.hypot(right, down), 1)
        allowed = SHAKE + BEND * distance
        found[i, js] = np.exp(-((change / allowed) ** 2) / 2) * np.exp(-distance / REACH)
    return found + found.T


def grouped(points: Points) -> list[NDArray[np.int64]]:
    """Return the groups of points that move together, as indices; what is in none is left out."""
    weights = affinities(points)
    waiting = [np.arange(len(weights))]
    found = []
    while waiting:
        group = waiting.pop()
        if len(group) < LEAST_GROUP:
            continue
        parts = _cut(weights[np.ix_(group, group)])
        if parts is None:
            found.append(group)
        else:
            waiting += [group[parts], group[~parts]]
    return found


def _cut(weights: Values) -> NDArray[np.bool_] | None:
    """Return one side of the best normalized cut of a graph ``(n, n)``, ``(n,)`` of bool.

    Returns None if the best one costs more than :data:`CHEAP`, so that the graph is one group.
    """
    degree = weights.sum(1)
    alone = degree < 1e-6
    if alone.any():
        return None if alone.all() else alone
    scale = 1 / np.sqrt(degree)
    _, vectors = np.linalg.eigh(scale[:, None] * weights * scale)
    second = vectors[:, -2] * scale
    order = np.argsort(second, kind="stable")
    ordered = weights[np.ix_(order, order)]
    # The weight between the first k nodes and the rest, for every k.
    first = np.cumsum(degree[order])[:-1]
    within = np.cumsum(np.cumsum(ordered, 0), 1).diagonal()[:-1]
    between = first - within
    cost = between / first + between / (degree.sum() - first)
    best = int(cost.argmin())
    if cost[best] > CHEAP:
        return None
    side = np.zeros(len(weights), bool)
    side[order[: best + 1]] = True
    return side
