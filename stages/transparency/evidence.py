"""Tell whether a clip truly is the sum of two moving layers, by predicting frames left out.

A clip without glass has two motions too: those of a thing and of what it passes in front of. But
there every place shows one layer, while glass shows both in the same place. So one frame is left
out, both layers are fitted to the others, and the frame is predicted twice: as the sum of both
layers, and as whichever single layer fits best at each place. The second is far more flexible, and
the sum only predicts better where both layers really are in the same place.

Details are compared (band-passed values), because smooth light may belong to either layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import shrunk
from stages.transparency.clip import TRACKED, at_size
from stages.transparency.mosaic import LayerHomographies
from stages.transparency.motion import Homography

FINE_BLUR = 1.0
"""Standard deviation, in pixels, of the blur that removes detail too fine to compare."""
COARSE_BLUR = 8.0
"""Standard deviation, in pixels, of the blur whose result is too coarse to compare."""
SPAN = 3
"""Frames to either side of a frame left out that the layers are fitted to."""
FEWEST = 4
"""Fewest frames that can tell: from fewer than three, two layers cannot be fitted."""
ENOUGH = 2 * SPAN + 2
"""Frames from which evidence against a sum is trusted. In fewer, no frame left out has its full
span of frames on both sides, and real sums were measured at -0.95 to +0.34."""
CENTERS = 3
"""Number of frames of a long window that are left out, each in turn."""
ITERATIONS = 6
"""Rounds of fitting one layer to what the other one leaves."""
LEAST_SEEN = 0.6
"""Least part of the frames that has to show a place for it to count."""
SQUARE_SIDE = 3
"""Side, in pixels, of the squares within which the best single layer is chosen."""
BELIEVED = 0.05
"""Evidence above which a clip is a sum."""
ROUNDING_ERROR = 3 * (0.5 / 255) ** 2
"""Squared error of rounding to 8 bits, over three channels: smaller errors say nothing."""

LEAST_COUNT = 1e-3
"""Least number of frames that show a place, where it is divided by."""

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class _LayerWarps:
    """How one layer is warped between the frame left out and the K frames it is fitted to.

    there: homographies from the frame left out to each of the others. back: the opposite ones.
    count: how many frames show each place, ``(H, W, 1)``.
    """

    there: list[Homography]
    back: list[Homography]
    count: Picture


def sum_evidence(
    frames: Tensor, homographies: LayerHomographies, detail_error: float = 0.0
) -> float:
    """Return how much better a sum predicts frames left out than the best single layer.

    frames: encoded, ``(T, 3, H, W)`` in [0, 1].
    homographies: of each layer, from the first frame to every frame, in pixels of ``frames``.
    detail_error: part of the details' own square that counts as an error of any prediction, because
        motions are known to a part of a pixel only.

    Returns the part of the best single layer's squared error that the sum avoids, median over
    frames left out. Above :data:`BELIEVED` the clip is a sum. -1 for fewer than :data:`FEWEST`
    frames.
    """
    count = len(frames)
    if count < FEWEST:
        return -1.0
    size = (frames.shape[-2], frames.shape[-1])
    small = shrunk(frames, TRACKED)
    motions = at_size(homographies, size, (small.shape[-2], small.shape[-1]))
    details = [_details(frame) for frame in small]
    gains = []
    for left_out in _left_out(count):
        near = range(max(0, left_out - SPAN), min(count, left_out + SPAN + 1))
        others = [t for t in near if t != left_out]
        gains.append(_gain(details, motions, others, left_out, detail_error))
    return float(np.median(gains))


def _left_out(count: int) -> list[int]:
    """Return the numbers of frames to leave out: inner ones, with frames on both sides."""
    if count <= 2 * SPAN + 1:
        return list(range(1, count - 1))
    return [round(t) for t in np.linspace(SPAN, count - 1 - SPAN, CENTERS)]


def _details(frame: Tensor) -> Picture:
    """Return the details of a frame ``(3, H, W)`` as ``(H, W, 3)``."""
    picture = np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy(), np.float32)
    fine = cv2.GaussianBlur(picture, (0, 0), FINE_BLUR)
    return np.asarray(fine - cv2.GaussianBlur(picture, (0, 0), COARSE_BLUR), np.float32)


def _gain(
    details: list[Picture],
    homographies: LayerHomographies,
    others: list[int],
    left_out: int,
    detail_error: float,
) -> float:
    """Return the part of the single layers' squared error that the sum avoids in one frame."""
    size = details[left_out].shape[:2]
    one, other = (_warps_of(each, others, left_out, size) for each in homographies)
    given = [details[t] for t in others]
    alone = _average(given, one), _average(given, other)
    first, second = alone[0], np.zeros_like(alone[1])
    for _ in range(ITERATIONS):
        second = _average(_without(given, first, one), other)
        first = _average(_without(given, second, other), one)
    truth = details[left_out]
    single = np.minimum.reduce([_error(each, truth) for each in (*alone, first, second)])
    both = _error(first + second, truth)
    least_count = LEAST_SEEN * len(others)
    seen = ((one.count > least_count) & (other.count > least_count))[..., 0]
    if not seen.any():
        return -1.0
    square_of_details = float(_error(np.zeros_like(truth), truth)[seen].mean())
    any_error = ROUNDING_ERROR + detail_error * square_of_details
    return 1 - float(both[seen].mean() + any_error) / float(single[seen].mean() + any_error)


def _warps_of(
    homographies: list[Homography], others: list[int], left_out: int, size: tuple[int, ...]
) -> _LayerWarps:
    """Return the warps of one layer between the frame ``left_out`` and the ``others``.

    homographies: from the first frame to every frame. size: height and width of a frame.
    """
    start = np.linalg.inv(homographies[left_out])
    there = [homographies[t] @ start for t in others]
    full = np.ones((size[0], size[1]), np.float32)
    count = np.sum([_warped(full, each) for each in there], 0)
    back = [np.linalg.inv(each) for each in there]
    return _LayerWarps(there, back, count[..., None] + LEAST_COUNT)


def _average(pictures: list[Picture], layer: _LayerWarps) -> Picture:
    """Return the mean of pictures of the other frames, warped to the frame left out."""
    warped = [_warped(each, matrix) for each, matrix in zip(pictures, layer.there, strict=True)]
    return np.asarray(np.sum(warped, 0) / layer.count, np.float32)


def _without(pictures: list[Picture], estimate: Picture, layer: _LayerWarps) -> list[Picture]:
    """Subtract a layer's ``estimate`` in the frame left out from pictures of the other frames."""
    return [
        each - _warped(estimate, matrix) for each, matrix in zip(pictures, layer.back, strict=True)
    ]


def _warped(picture: Picture, matrix: Homography) -> Picture:
    """Look up a picture along a homography; zero outside of it."""
    options = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpPerspective(picture, matrix, size, flags=options), np.float32)


def _error(predicted: Picture, truth: Picture) -> Picture:
    """Return the squared error at each place, ``(H, W)``."""
    error = ((predicted - truth) ** 2).sum(2)
    return np.asarray(cv2.blur(error, (SQUARE_SIDE, SQUARE_SIDE)), np.float32)
