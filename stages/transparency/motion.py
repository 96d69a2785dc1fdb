"""Track two layers that lie over each other, by homographies and by optical flow on top of them.

A corner belongs to one layer and is tracked with it, whereas dense flow of the sum settles between
the two. The largest set of corners that move alike is the dominant layer (Xue et al., SIGGRAPH
2015, section 4.1, with homographies). Coordinates are pixels, x first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import FramePair, flows, shrunk, warp

CORNERS = 800
"""Largest number of corners tracked in a frame."""
TRACK_TOLERANCE = 1.0
"""Pixels by which a corner may miss its place when it is tracked there and back."""
HOMOGRAPHY_TOLERANCE = 1.0
"""Pixels by which a corner may miss the homography that it follows."""
LEAST_CORNERS = 10
"""Fewest corners that have to follow a homography."""
LEAST_CORNER_PART = 0.05
"""Least part of all corners that has to follow a homography."""
LEAST_DISTANCE = 0.3
"""Mean distance, in pixels, from which two motions count as two."""
FARTHEST_MOVE = 0.5
"""Part of the picture's diagonal that its corners may move from one frame to the next."""
WHITE_QUANTILE = 0.995
"""Quantile of a clip that tracking and flow see as white."""
LEAST_WHITE = 1e-3
"""Least value that they see as white."""
WHITE_SAMPLES = 200_000
"""Values of a clip from which the quantile is computed, about."""
LEAST_SIDE = 32
"""Least side, in pixels, of pictures in which corners are tracked."""
CORNER_QUALITY = 0.003
"""Least strength of a corner, in parts of the strongest one."""
LEAST_CORNER_GAP, CORNERS_ACROSS = 3, 60
"""Corners lie at least so many pixels apart, and so far that this many fit along the shorter
side."""
RANSAC_ITERATIONS, RANSAC_CONFIDENCE = 2000, 0.999
"""Most samples that RANSAC draws, and the chance of a right one with which it stops."""
COMPARED_POINTS = 5
"""Points along each side of a picture at which two homographies are compared."""
LEAST_DEPTH = 1e-6
"""Least depth of a pixel that a homography is divided by."""
TRACKED = 320 * 180
"""Pixels of the small frames in which corners are tracked as well, and layers registered."""

Homography = NDArray[np.float64]
Points = NDArray[np.float32]
LayerHomographies = tuple[list[Homography], list[Homography]]
"""For each of two layers, the homographies from the first frame's coordinates to every frame's."""


def white_level(values: Tensor) -> Tensor:
    """Return the value, a scalar, that counts as white in values of any shape.

    It brightens dim layers for tracking and flow, which work on 8 bits.
    """
    sample = values.flatten()[:: max(1, values.numel() // WHITE_SAMPLES)]
    return torch.quantile(sample, WHITE_QUANTILE).clamp_min(LEAST_WHITE)


def gray_pictures(pictures: Tensor) -> list[NDArray[np.uint8]]:
    """Return ``(T, 3, H, W)`` as 8-bit grey pictures, brightened together to track dim layers."""
    light = pictures.mean(1)
    bright = (light / white_level(light)).clamp(0, 1)
    return list((255 * bright).round().to("cpu", torch.uint8).numpy())


class LayerMotions(NamedTuple):
    """The motions of two layers: homographies from the first frame's coordinates to every frame's.

    dominant: of the layer that more corners follow. other: of the other one.
    """

    dominant: list[Homography]
    other: list[Homography]


class FollowedMotion(NamedTuple):
    """A motion from one frame to the next, and the share of the corners that follow it, 0 to 1."""

    homography: Homography
    share: float


KnownMotions = dict[tuple[int, bytes, bytes], list[FollowedMotion]]
"""What :func:`motions_between` found from a frame to the next one, by that frame's number and the
two guesses."""


def two_motions(
    pictures: Tensor, *, steady: bool = True, known: KnownMotions | None = None
) -> LayerMotions:
    """Track the two motions in ``(T, 3, H, W)``.

    Where only one motion is seen between two frames, the other one goes on as before.

    steady: assign motions to layers by how the layers moved before, as in a video; otherwise by how
    many corners follow, as in pictures taken far apart.
    known: keeps what was tracked, for another call with the same pictures.
    """
    known = {} if known is None else known
    grays = gray_pictures(pictures)
    shares = np.zeros(2)
    last = np.eye(3), np.eye(3)
    first_layer, second_layer = [np.eye(3)], [np.eye(3)]
    for number, (before, after) in enumerate(zip(grays, grays[1:], strict=False)):
        key = number, last[0].tobytes(), last[1].tobytes()
        if key not in known:
            known[key] = motions_between(before, after, last)
        found = known[key]
        if steady or len(found) < 2:
            found = _assigned(found, last, (before.shape[0], before.shape[1]))
        shares += [each.share for each in found]
        last = found[0].homography, found[1].homography
        first_layer.append(last[0] @ first_layer[-1])
        second_layer.append(last[1] @ second_layer[-1])
    shares = shares / max(1, len(grays) - 1)
    if shares[1] > shares[0]:
        return LayerMotions(second_layer, first_layer)
    return LayerMotions(first_layer, second_layer)


def has_motion(pictures: Tensor) -> bool:
    """Return whether corners in ``(T, 3, H, W)`` move, beyond noise, between any two frames."""
    size = (pictures.shape[-2], pictures.shape[-1])
    return leaves_its_place(two_motions(pictures), size)


def leaves_its_place(homographies: Sequence[Sequence[Homography]], size: tuple[int, int]) -> bool:
    """Return whether any layer moves, beyond noise, in any frame.

    homographies: for each layer, those to every frame. size: height and width of a frame.
    """
    still = np.eye(3)
    of_all_layers = (each for layer in homographies for each in layer)
    return any(distance(each, still, size) > LEAST_DISTANCE for each in of_all_layers)


def dominant_motion(pictures: Tensor) -> list[Homography]:
    """Return the homographies of the dominant motion in pictures ``(T, 3, H, W)``.

    Each leads from the first frame's coordinates to those of another frame.
    """
    return two_motions(pictures).dominant


def distance(one: Homography, other: Homography, size: tuple[int, int]) -> float:
    """Return the mean distance, in pixels, of where two homographies put points of a picture.

    one, other: ``(3, 3)`` each. size: height and width of the picture. The points form a grid.
    """
    columns, rows = (np.linspace(0, side, COMPARED_POINTS) for side in (size[1], size[0]))
    x, y = np.meshgrid(columns, rows)
    points = np.stack([x, y], -1).reshape(-1, 1, 2)
    offset = cv2.perspectiveTransform(points, one) - cv2.perspectiveTransform(points, other)
    return float(np.linalg.norm(offset, axis=2).mean())


def picture_corners(size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the corners of a picture of ``size`` (height, width), ``(4, 1, 2)``."""
    height, width = size
    return np.array([[[0, 0]], [[width, 0]], [[0, height]], [[width, height]]], np.float64)


def at_size(
    homographies: LayerHomographies, size: tuple[int, int], other: tuple[int, int]
) -> LayerHomographies:
    """Convert homographies between frames of ``size`` to frames of an ``other`` (height, width)."""
    scale = np.diag([other[1] / size[1], other[0] / size[0], 1.0])
    one, two = ([scale @ each @ np.linalg.inv(scale) for each in layer] for layer in homographies)
    return one, two


def at_tracked_size(
    frames: Tensor, homographies: LayerHomographies
) -> tuple[Tensor, LayerHomographies]:
    """Return frames ``(T, 3, H, W)`` at the size of small frames, and the homographies for it."""
    small = shrunk(frames, TRACKED)
    size = (frames.shape[-2], frames.shape[-1])
    return small, at_size(homographies, size, (small.shape[-2], small.shape[-1]))


def motions_between(
    before: NDArray[np.uint8], after: NDArray[np.uint8], guesses: tuple[Homography, Homography]
) -> list[FollowedMotion]:
    """Find up to two homographies from ``before`` to ``after`` that many corners follow.

    before, after: grey pictures ``(H, W)``. guesses: where tracking starts, one motion per layer.

    Returns each homography with the share of corners that follow it, the larger share first.
    """
    height, width = before.shape
    shorter = min(height, width)
    if shorter < LEAST_SIDE:
        return []
    gap = max(LEAST_CORNER_GAP, shorter / CORNERS_ACROSS)
    seen = cv2.goodFeaturesToTrack(before, CORNERS, CORNER_QUALITY, gap)
    if seen is None or len(seen) < LEAST_CORNERS:
        return []
    corners: Points = np.asarray(seen, np.float32)
    starts, ends = [], []
    for guess in guesses if distance(*guesses, (height, width)) > 1 else guesses[:1]:
        expected = cv2.perspectiveTransform(corners, guess).astype(np.float32)
        forth, back = _tracked(before, after, corners, expected)
        kept = np.linalg.norm(back - corners, axis=2)[:, 0] < TRACK_TOLERANCE
        starts.append(corners[kept])
        ends.append(forth[kept])
    return _dominant_motions(np.concatenate(starts), np.concatenate(ends), (height, width))


def flow_of(homographies: list[Homography], pair: FramePair, size: tuple[int, int]) -> Tensor:
    """Return the flow ``(2, H, W)`` that brings frame u to frame t, for ``pair = (t, u)``.

    homographies: from the first frame's coordinates to every frame's. size: (H, W).
    """
    height, width = size
    matrix = torch.from_numpy(homographies[pair[1]] @ np.linalg.inv(homographies[pair[0]]))
    x = torch.arange(width, dtype=torch.float64)
    y = torch.arange(height, dtype=torch.float64)[:, None]
    across, down, depth = (row[0] * x + row[1] * y + row[2] for row in matrix)
    depth = torch.where(depth.abs() < LEAST_DEPTH, torch.full_like(depth, LEAST_DEPTH), depth)
    return torch.stack([across / depth - x, down / depth - y]).float()


def refined_flows(
    layer: Tensor, homographies: list[Homography], pairs: Iterable[FramePair]
) -> Mapping[FramePair, Tensor]:
    """Return the optical flow of ``layer`` ``(T, 3, H, W)`` for ``pairs``, ``(2, H, W)`` each.

    Optical flow is computed on top of the homographies, which handles large motion and parallax.
    """
    size = (layer.shape[-2], layer.shape[-1])
    found = {}
    for pair in sorted(set(pairs)):
        base = flow_of(homographies, pair, size)[None]
        carried = warp(layer[pair[1]][None], base)
        residual = flows(torch.cat([layer[pair[0]][None], carried]), [(0, 1)])[0, 1][None]
        # Follow the residual flow first, then the homography from where it leads to.
        found[pair] = (residual + warp(base, residual))[0]
    return found


def _assigned(
    found: list[FollowedMotion],
    last: tuple[Homography, Homography],
    size: tuple[int, int],
) -> list[FollowedMotion]:
    """Assign one step's motions to the two layers, such that the layers go on most as before.

    found: none, one or two motions. last: the step before, of each layer. A layer without a motion
    keeps its last one.
    """
    if not found:
        return [FollowedMotion(last[0], 0.0), FollowedMotion(last[1], 0.0)]
    if len(found) == 1:
        (only,) = found
        near = [distance(only.homography, each, size) for each in last]
        if near[0] <= near[1]:
            return [only, FollowedMotion(last[1], 0.0)]
        return [FollowedMotion(last[0], 0.0), only]
    one, other = found[0].homography, found[1].homography
    straight = distance(one, last[0], size) + distance(other, last[1], size)
    crossed = distance(one, last[1], size) + distance(other, last[0], size)
    return found if straight <= crossed else found[::-1]


def _dominant_motions(starts: Points, ends: Points, size: tuple[int, int]) -> list[FollowedMotion]:
    """Find up to two homographies that many corners follow, one after the other (RANSAC).

    starts, ends: where n corners are in two pictures, ``(n, 1, 2)``. size: height and width of
    these.
    """
    rim = picture_corners(size)
    found: list[FollowedMotion] = []
    total = len(starts)
    while len(found) < 2 and len(starts) >= LEAST_CORNERS:
        answer, follows = cv2.findHomography(
            starts,
            ends,
            cv2.RANSAC,
            HOMOGRAPHY_TOLERANCE,
            maxIters=RANSAC_ITERATIONS,
            confidence=RANSAC_CONFIDENCE,
        )
        if answer is None or follows.sum() < max(LEAST_CORNERS, LEAST_CORNER_PART * total):
            break
        matrix = np.asarray(answer, np.float64)
        moved = np.linalg.norm(cv2.perspectiveTransform(rim, matrix) - rim, axis=2).max()
        is_same = found and distance(matrix, found[0].homography, size) < LEAST_DISTANCE
        if moved < FARTHEST_MOVE * np.hypot(*size) and not is_same:
            found.append(FollowedMotion(matrix, float(follows.sum()) / total))
        starts, ends = starts[follows[:, 0] == 0], ends[follows[:, 0] == 0]
    return found


def _tracked(
    before: NDArray[np.uint8], after: NDArray[np.uint8], corners: Points, guess: Points
) -> tuple[Points, Points]:
    """Track corners ``(n, 1, 2)`` to the next picture and back again (pyramidal Lucas-Kanade)."""
    options = dict(winSize=(15, 15), maxLevel=4, flags=cv2.OPTFLOW_USE_INITIAL_FLOW)
    forth, _, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, guess.copy(), **options)  # type: ignore[call-overload]
    back, _, _ = cv2.calcOpticalFlowPyrLK(after, before, forth, corners.copy(), **options)  # type: ignore[call-overload]
    return forth, back
