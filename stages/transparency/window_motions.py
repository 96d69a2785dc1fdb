"""Register the motions of a whole window to its frames, where two layers add up.

Some frames, a few apart from each other, are the middles of pieces that overlap. In each piece both
layers are registered (:mod:`stages.transparency.registration`), and the pieces are joined from one
middle to the next. Frames that mosaics are not fitted to are corrected like their neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

from stages.transparency.mosaic import fitted_frames, interpolation_matrix
from stages.transparency.motion import (
    Homography,
    LayerHomographies,
    at_size,
    at_tracked_size,
    picture_corners,
)
from stages.transparency.registration import Picture, picture_of, registered_views
from stages.transparency.sum_evidence import FEWEST_FRAMES, SPAN, neighbors_of, views_from

Piece = dict[int, Homography]
"""Homographies from the middle of a piece to each of its frames, by the frame's number."""


def registered_motions(frames: Tensor, motions: LayerHomographies) -> LayerHomographies:
    """Return the motions of two layers that add up, registered to the frames.

    Those of too few frames are returned as they are.

    frames: ``(T, 3, H, W)``, encoded. motions: to start with, in pixels of these frames.
    """
    if len(frames) < FEWEST_FRAMES:
        return motions
    small, homographies = at_tracked_size(frames, motions)
    size = (small.shape[-2], small.shape[-1])
    used = fitted_frames(len(frames))
    pictures = [picture_of(small[t]).mean(2) for t in used]
    middles = range(min(SPAN, len(used) // 2), len(used), SPAN)
    starts = [[layer[t] for t in used] for layer in homographies]
    pieces = [_registered_piece(pictures, middle, starts) for middle in middles]
    one, other = (
        _corrected(layer, used, _joined([each[number] for each in pieces], middles), size)
        for number, layer in enumerate(homographies)
    )
    return at_size((one, other), size, (frames.shape[-2], frames.shape[-1]))


def _registered_piece(
    pictures: Sequence[Picture], middle: int, starts: Sequence[Sequence[Homography]]
) -> list[Piece]:
    """Return the piece around a picture, for each layer.

    pictures: grey, ``(h, w)``. starts: of each layer, the homographies to all of these pictures
    from the same frame.
    """
    others = neighbors_of(middle, len(pictures))
    views = views_from(middle, others, starts)
    found = registered_views(pictures[middle], [pictures[at] for at in others], views)
    return [{middle: np.eye(3), **dict(zip(others, layer, strict=True))} for layer in found]


def _joined(pieces: Sequence[Piece], middles: Sequence[int]) -> list[Homography]:
    """Return the homographies from the first frame to each, by the nearest of the pieces.

    middles: of the pieces; each lies in the piece before.
    """
    to_middle = [np.asarray(np.linalg.inv(pieces[0][0]), np.float64)]
    for piece, following in zip(pieces, middles[1:], strict=False):
        to_middle.append(piece[following] @ to_middle[-1])
    found = []
    for frame in range(max(pieces[-1]) + 1):
        nearest = int(np.argmin([abs(frame - middle) for middle in middles]))
        found.append(pieces[nearest][frame] @ to_middle[nearest])
    return found


def _corrected(
    motion: Sequence[Homography],
    used: list[int],
    registered_to: Sequence[Homography],
    size: tuple[int, int],
) -> list[Homography]:
    """Return a layer's motion with the corrections of the frames used, for all frames.

    motion: homographies from the first frame to each. registered_to: those to the frames ``used``.
    size: height and width of a frame. The frame's corners are corrected.
    """
    corners = picture_corners(size)
    moved = np.stack([cv2.perspectiveTransform(corners, each) for each in motion])
    registered = np.stack([cv2.perspectiveTransform(corners, each) for each in registered_to])
    between = interpolation_matrix(used, len(motion)).numpy()
    corrected = moved + np.tensordot(between, registered - moved[used], 1)
    start = corners.astype(np.float32)
    return [
        np.asarray(cv2.getPerspectiveTransform(start, end.astype(np.float32)), np.float64)
        for end in corrected
    ]
