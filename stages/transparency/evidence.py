"""Tell whether a clip truly is the sum of two moving layers, by predicting frames left out.

A clip without glass has two motions too: those of a thing and of what it passes in front of. But
there every place shows one layer, while glass shows both in the same place. So one frame is left
out, both layers are fitted to the others, and the frame is predicted twice: as the sum of both
layers, and as whichever single layer fits best at each place. The second is far more flexible, and
the sum only predicts better where both layers really are in the same place.

Details are compared (band-passed values), because smooth light may belong to either layer.

:func:`registered_sum_evidence` asks more: it registers both layers first, and the single layer may
also move by the mean of both motions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import shrunk
from stages.transparency.motion import (
    TRACKED,
    Homography,
    LayerHomographies,
    at_size,
    distance,
)
from stages.transparency.registration import LEAST_COUNT, registered, warped, without

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
BELIEVED_UNREGISTERED = 0.05
"""Evidence, without registration, above which a clip is a sum."""
DETAIL_ERROR, BOUND = 0.003, 0.02
"""Parts of the details' mean square: what counts as an error of any prediction by registered
layers, because no motion is known exactly, and most of a pixel's error."""
HOPELESS = -0.15
"""Gain in the first frame left out below which other frames are not asked."""
ROUNDING_ERROR = 3 * (0.5 / 255) ** 2
"""Squared error of rounding to 8 bits, over three channels: smaller errors say nothing."""

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class SumEvidence:
    """Hold how much a sum of two layers explains beyond one of them.

    gain: the part of the best single layer's error that the sum avoids; -1 if no frame tells.
    gain_beside_one: the same, where a layer that is registered alone counts as a single layer, too.
    apart: pixels by which the two motions differ over :data:`SPAN` frames or fewer.
    """

    gain: float
    gain_beside_one: float
    apart: float


@dataclass(frozen=True)
class _LayerWarps:
    """How one layer is warped between the frame left out and the K frames it is fitted to.

    there: homographies from the frame left out to each of the others. back: the opposite ones.
    count: how many frames show each place, ``(H, W, 1)``.
    """

    there: list[Homography]
    back: list[Homography]
    count: Picture


@dataclass(frozen=True)
class _Prediction:
    """Hold what is predicted of a frame left out, as ``(H, W, 3)`` each.

    both: the sum of two layers. singles: each layer alone. seen: where it counts, ``(H, W)``.
    """

    both: Picture
    singles: list[Picture]
    seen: NDArray[np.bool_]

    def gain(
        self, truth: Picture, singles: Sequence[Picture], any_error: float, bound: float = 0.0
    ) -> float:
        """Return the part of the best single layer's error that the sum avoids.

        truth: details of the frame left out. singles: predictions by single layers. any_error:
        squared error that any prediction has. bound: most squared error of a pixel, which larger
        ones approach; 0 for none.
        """
        if not self.seen.any():
            return -1.0
        single = np.minimum.reduce([_error(each, truth) for each in singles])
        both = _error(self.both, truth)
        if bound > 0:
            single, both = (error / (1 + error / bound) for error in (single, both))
        single_error, error = (float(each[self.seen].mean()) for each in (single, both))
        return 1 - (error + any_error) / (single_error + any_error)


def sum_evidence(frames: Tensor, homographies: LayerHomographies) -> float:
    """Return how much better a sum predicts frames left out than the best single layer.

    frames: encoded, ``(T, 3, H, W)`` in [0, 1].
    homographies: of each layer, from the first frame to every frame, in pixels of ``frames``.

    Returns the part of the best single layer's squared error that the sum avoids, median over
    frames left out. Above :data:`BELIEVED_UNREGISTERED` the clip is a sum. -1 for fewer than
    :data:`FEWEST` frames.
    """
    if len(frames) < FEWEST:
        return -1.0
    small, motions = tracked(frames, homographies)
    details = [details_of(picture_of(frame)) for frame in small]
    gains = []
    for left_out in _left_out(len(frames)):
        others = _around(left_out, len(frames))
        given, truth = [details[t] for t in others], details[left_out]
        views = _views(motions, left_out, others)
        found = _prediction(given, truth, views)
        gains.append(found.gain(truth, found.singles, ROUNDING_ERROR))
    return float(np.median(gains))


def registered_sum_evidence(frames: Tensor, homographies: LayerHomographies) -> SumEvidence:
    """Return how much better a sum predicts frames left out, once both layers are registered.

    Two nearly equal motions under one camera predict a frame better than each of them, as the mean
    of both does. So that mean counts as a single layer, too. Errors are bounded: where things move
    by themselves, neither prediction is right.

    frames, homographies: as of :func:`sum_evidence`. There are :data:`FEWEST` frames or more.
    """
    small, motions = tracked(frames, homographies)
    pictures = [picture_of(frame) for frame in small]
    details = [details_of(picture) for picture in pictures]
    grays = [picture.mean(2) for picture in pictures]
    gains, apart = [], []
    for left_out in sorted(set(_left_out(len(frames)))):
        others = _around(left_out, len(frames))
        around = [grays[t] for t in others]
        views = _views(motions, left_out, others)
        one, other = registered(grays[left_out], around, views, details_of)
        given, truth = [details[t] for t in others], details[left_out]
        found = _prediction(given, truth, (one, other))
        square = float((truth**2).sum(2).mean())
        bound, any_error = BOUND * square, ROUNDING_ERROR + DETAIL_ERROR * square
        mean = np.asarray((found.singles[0] + found.singles[1]) / 2, np.float32)
        singles = [*found.singles, mean]
        gain = beside_one = found.gain(truth, singles, any_error, bound)
        if gain > 0:
            (alone,) = registered(grays[left_out], around, views[:1], details_of)
            by_one = _average(given, _warps_of(alone, truth.shape))
            beside_one = found.gain(truth, [*singles, by_one], any_error, bound)
        gains.append((gain, beside_one))
        apart.append(np.median([distance(*p, truth.shape) for p in zip(one, other, strict=True)]))
        if gains[0][0] < HOPELESS:
            break
    gain, beside_one = np.median(gains, 0)
    return SumEvidence(float(gain), float(beside_one), float(np.median(apart)))


def tracked(frames: Tensor, homographies: LayerHomographies) -> tuple[Tensor, LayerHomographies]:
    """Return the frames at the size at which they are compared, and the homographies for it."""
    small = shrunk(frames, TRACKED)
    size = (frames.shape[-2], frames.shape[-1])
    return small, at_size(homographies, size, (small.shape[-2], small.shape[-1]))


def _around(left_out: int, count: int) -> list[int]:
    """Return the numbers of the frames that predict the frame ``left_out`` of ``count``."""
    near = range(max(0, left_out - SPAN), min(count, left_out + SPAN + 1))
    return [t for t in near if t != left_out]


def _views(
    homographies: LayerHomographies, left_out: int, others: list[int]
) -> tuple[list[Homography], list[Homography]]:
    """Return each layer's homographies from the frame ``left_out`` to the ``others``."""
    one, other = (
        [layer[t] @ np.linalg.inv(layer[left_out]) for t in others] for layer in homographies
    )
    return one, other


def _left_out(count: int) -> list[int]:
    """Return the numbers of frames to leave out: inner ones, with frames on both sides."""
    if count <= 2 * SPAN + 1:
        return list(range(1, count - 1))
    return [round(t) for t in np.linspace(SPAN, count - 1 - SPAN, CENTERS)]


def picture_of(frame: Tensor) -> Picture:
    """Return a frame ``(3, H, W)`` as ``(H, W, 3)``."""
    return np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy(), np.float32)


def details_of(picture: Picture) -> Picture:
    """Return the details of a picture ``(H, W)`` or ``(H, W, 3)``."""
    fine = cv2.GaussianBlur(picture, (0, 0), FINE_BLUR)
    return np.asarray(fine - cv2.GaussianBlur(picture, (0, 0), COARSE_BLUR), np.float32)


def _prediction(
    given: list[Picture], truth: Picture, views: tuple[list[Homography], list[Homography]]
) -> _Prediction:
    """Predict one frame as a sum of two layers, and as single ones.

    given: details of the other frames. truth: those of the frame left out, for their size. views:
    of each layer, from the frame left out to the others.
    """
    one, other = (_warps_of(layer, truth.shape) for layer in views)
    alone = _average(given, one), _average(given, other)
    first, second = alone[0], np.zeros_like(alone[1])
    for _ in range(ITERATIONS):
        second = _average(without(given, first, one.back), other)
        first = _average(without(given, second, other.back), one)
    least_count = LEAST_SEEN * len(given)
    seen = ((one.count > least_count) & (other.count > least_count))[..., 0]
    return _Prediction(first + second, [*alone, first, second], seen)


def _warps_of(there: list[Homography], size: tuple[int, ...]) -> _LayerWarps:
    """Return the warps of one layer between the frame left out and the others.

    there: homographies to the others. size: height and width of a frame.
    """
    full = np.ones((size[0], size[1]), np.float32)
    count = np.sum([warped(full, each) for each in there], 0)
    back = [np.asarray(np.linalg.inv(each), np.float64) for each in there]
    return _LayerWarps(there, back, count[..., None] + LEAST_COUNT)


def _average(pictures: list[Picture], layer: _LayerWarps) -> Picture:
    """Return the mean of pictures of the other frames, warped to the frame left out."""
    brought = [warped(each, matrix) for each, matrix in zip(pictures, layer.there, strict=True)]
    return np.asarray(np.sum(brought, 0) / layer.count, np.float32)


def _error(predicted: Picture, truth: Picture) -> Picture:
    """Return the squared error at each place, ``(H, W)``."""
    error = ((predicted - truth) ** 2).sum(2)
    return np.asarray(cv2.blur(error, (SQUARE_SIDE, SQUARE_SIDE)), np.float32)
