"""Follow points of a matte through a window.

Points are followed along the flow, as long as it is trusted and stays in the matte; new ones begin
where no point passes (Sundaram, Brox and Keutzer 2010). Small pieces of the matte have denser
points, so that they have enough of them. A point that is carried over to another thing at a
crossing is cut in two there: its colour jumps where motion changes from place to place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import box, sample
from stages.segment.motion import WindowMotion
from stages.segment.parallax import follow

Values = NDArray[np.float32]

# The constants below were chosen on drawn clips, see tests/measure_movers.py.
SPACING = 4  # most pixels between points
PIECE_POINTS = 40
"""Points that a piece of the matte has at least in a frame, as long as it has as many pixels."""
EVERY = 3  # new points begin in every third frame, where none passes
MOST_POINTS = 1400
"""Most points that are grouped; the time grows with their square."""
KEPT_TRUST = 0.3  # least confidence, 0 to 1, with which a point is followed on
DOUBT = 0.5  # how much the doubt in each step lowers that confidence; see parallax.follow
JERK = 3.0
"""Most change of a point's motion from frame to frame, in pixels; more is a jump elsewhere."""
LEAST_LENGTH = 4  # frames through which a point has to be followed
COLOR_JUMP = 0.12
"""Change of a point's colour from frame to frame, in one channel in [0, 1]; more is a jump."""
MOTION_CHANGE = 0.2
"""Change of the flow from pixel to pixel, in pixels, from which such a jump cuts a point."""


@dataclass(frozen=True)
class Points:
    """Hold n points through T frames.

    places: x and y in pixels, ``(n, T, 2)``, NaN where they are not followed.
    seen: where they are followed, ``(n, T)`` of bool.
    spacing: pixels to the next points where they begin, ``(n,)``.
    """

    places: Values
    seen: NDArray[np.bool_]
    spacing: NDArray[np.int64]

    def __getitem__(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Points:
        """Return some of the points; ``chosen`` are their indices or a mask ``(n,)``."""
        return Points(self.places[chosen], self.seen[chosen], self.spacing[chosen])


def follow_points(matte: Tensor, motion: WindowMotion, frames: Tensor | None = None) -> Points:
    """Return the points of a matte ``(T, h, w)`` of bool.

    motion: of frames of this size. frames: ``(T, 3, h, w)`` in [0, 1]; without them, no point is
    cut where its colour jumps.
    """
    count = len(matte)
    covered = np.zeros(matte.shape, bool)
    found = [_no_points(count)]
    for start in range(0, count, EVERY):
        spacing, begins = _grid(matte[start].numpy())
        rows, columns = (begins & ~covered[start]).nonzero()
        if len(rows):
            places = torch.from_numpy(rows), torch.from_numpy(columns)
            chosen = spacing[rows, columns].astype(np.int64)
            found.append(_followed_from(start, places, chosen, matte, motion, covered))
    points = _joined_points(found)
    points = points[points.seen.sum(1) >= min(LEAST_LENGTH, count)]
    points = points[kept_points(points.spacing)]
    if frames is None:
        return points
    # Cuts make more points of one, and the evidence for pairs needs memory for each two of them.
    points = _cut_at_jumps(points, frames, motion)
    return points[kept_points(points.spacing)]


def _no_points(count: int) -> Points:
    """Return no points of a window of ``count`` frames."""
    return Points(
        np.zeros((0, count, 2), np.float32), np.zeros((0, count), bool), np.zeros(0, np.int64)
    )


def _joined_points(parts: Sequence[Points]) -> Points:
    """Return the points of all ``parts``, in their order."""
    return Points(
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.seen for part in parts]),
        np.concatenate([part.spacing for part in parts]),
    )


def _grid(matte: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the spacing of points at every pixel, and where points may begin, ``(h, w)`` each.

    matte: ``(h, w)`` of bool. The spacing is that of the matte's piece there.
    """
    y, x = np.mgrid[0 : matte.shape[0], 0 : matte.shape[1]]
    _, pieces, facts, _ = cv2.connectedComponentsWithStats(matte.astype(np.uint8), connectivity=8)
    areas = facts[:, cv2.CC_STAT_AREA]
    spacing = np.clip(np.sqrt(areas / PIECE_POINTS), 1, SPACING).astype(np.int64)[pieces]
    on_grid = ((x + y // spacing * (spacing // 2)) % spacing == 0) & (y % spacing == 0)
    return spacing, matte & on_grid


def kept_points(spacing: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of :data:`MOST_POINTS` points at most; large pieces lose theirs first.

    spacing: of the points, ``(n,)``.
    """
    everyone = np.arange(len(spacing))
    if len(spacing) <= MOST_POINTS:
        return everyone
    large = everyone[spacing == spacing.max()]
    small = everyone[spacing < spacing.max()]
    room = max(MOST_POINTS - len(small), MOST_POINTS // 2)
    large = _thinned(large, room)
    return np.sort(np.concatenate([large, _thinned(small, MOST_POINTS - len(large))]))


def _thinned(indices: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return ``most`` of the indices at most, evenly spread."""
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, most).astype(int)] if most else indices[:0]


def _cut_at_jumps(points: Points, frames: Tensor, motion: WindowMotion) -> Points:
    """Return the points, cut in two where they may have been carried over to another thing.

    frames: ``(T, 3, h, w)`` in [0, 1]. motion: of frames of this size.
    """
    count, _, height, width = frames.shape
    if not len(points.spacing):
        return points
    colors = box(frames, 1).numpy()
    changes = _motion_changes(torch.cat([motion.forward, -motion.backward[-1:]]))
    at = np.nan_to_num(points.places).round().astype(int)
    x, y = at[..., 0].clip(0, width - 1), at[..., 1].clip(0, height - 1)
    t = np.arange(count)[None]
    jumps = np.abs(np.diff(colors[t, :, y, x], axis=1)).max(2) > COLOR_JUMP
    change = changes[t, y, x]
    between = np.maximum(change[:, 1:], change[:, :-1]) > MOTION_CHANGE
    cuts = points.seen[:, 1:] & points.seen[:, :-1] & jumps & between
    pieces = np.concatenate([np.zeros((len(at), 1), int), np.cumsum(cuts, 1)], 1)
    found = [_no_points(count)]
    for number in range(int(pieces.max()) + 1):
        seen = points.seen & (pieces == number)
        long = seen.sum(1) >= min(LEAST_LENGTH, count)
        places = np.where(seen[long][..., None], points.places[long], np.float32(np.nan))
        found.append(Points(places, seen[long], points.spacing[long]))
    return _joined_points(found)


def _motion_changes(flow: Tensor) -> Values:
    """Return how much a flow changes from pixel to pixel, in pixels, ``(T, h, w)``.

    flow: ``(T, 2, h, w)``. The change across the picture's outer edge is 0.
    """
    across, down = torch.zeros_like(flow), torch.zeros_like(flow)
    across[..., 1:-1] = (flow[..., 2:] - flow[..., :-2]) / 2
    down[..., 1:-1, :] = (flow[..., 2:, :] - flow[..., :-2, :]) / 2
    changes: Values = (across**2 + down**2).sum(1).sqrt().numpy()
    return changes


def _followed_from(
    start: int,
    begins: tuple[Tensor, Tensor],
    spacing: NDArray[np.int64],
    matte: Tensor,
    motion: WindowMotion,
    covered: NDArray[np.bool_],
) -> Points:
    """Return the points that begin in frame ``start``, followed to both ends of the window.

    begins: the rows and columns where they begin, ``(n,)`` each. spacing: of each, ``(n,)``.
    matte: ``(T, h, w)`` of bool. covered: where a point passes, ``(T, h, w)``; changed in place.
    """
    count = len(matte)
    rows, columns = begins
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
            here = alive.numpy()
            places[here, t] = torch.stack([to_x, to_y], 1)[alive].numpy()
            seen[:, t] = here
            _cover(covered[t], places[here, t], spacing[here])
    return Points(places, seen, spacing)


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


def _cover(covered: NDArray[np.bool_], places: Values, spacing: NDArray[np.int64]) -> None:
    """Mark the surroundings of points, so that no new ones begin there.

    covered: ``(h, w)``, changed in place. places: x and y of the points in pixels, ``(n, 2)``.
    spacing: of each, ``(n,)``.
    """
    height, width = covered.shape
    at = places.round().astype(int)
    for reach in np.unique(spacing // 2).tolist():
        x, y = at[spacing // 2 == reach].T
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                covered[(y + down).clip(0, height - 1), (x + right).clip(0, width - 1)] = True
