"""Tell whether some frames are the sum of two moving layers, by predicting frames left out.

A clip without glass has two motions too: those of a thing and of what it passes in front of. But
there every place shows one layer, while glass shows both in the same place. So one frame is left
out, both layers are fitted to the others, and the frame is predicted twice: as the sum of both
layers, and as whichever single layer fits best at each place. The second is far more flexible, so
the sum only predicts better where both layers really are in the same place.

Details are compared (band-passed values), because smooth light may belong to either layer.

:func:`sum_evidence` takes the motions as they are. :func:`registered_sum_evidence` registers them
first and asks more: a single layer may also move by the mean of both motions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stages.transparency.motion import (
    Homography,
    LayerHomographies,
    at_tracked_size,
    distance,
)
from stages.transparency.registration import (
    LEAST_COUNT,
    Picture,
    details_of,
    picture_of,
    registered_views,
    warped,
    without_layer,
)

SPAN = 3
"""Frames to either side of a frame left out that the layers are fitted to."""
FEWEST_FRAMES = 4
"""Fewest frames that can tell: from fewer than three, two layers cannot be fitted."""
ENOUGH_FRAMES = 2 * SPAN + 2
"""Frames from which evidence against a sum is trusted. In fewer, no frame left out has its full
span of frames on both sides, and real sums were measured at -0.95 to +0.34."""
MOST_LEFT_OUT = 3
"""Frames of a long window that are left out, each in turn."""
ITERATIONS = 6
"""Rounds of fitting one layer to what the other one leaves."""
LEAST_SEEN = 0.6
"""Least part of the frames that has to show a place for it to count."""
SQUARE_SIDE = 3
"""Side, in pixels, of the squares within which the best single layer is chosen."""
LEAST_UNREGISTERED_GAIN = 0.05
"""Gain of layers that are not registered, above which a clip is a sum."""
DETAIL_ERROR, MOST_ERROR = 0.003, 0.02
"""Parts of the details' mean square: what counts as an error of any prediction by registered
layers, because no motion is known exactly, and most of a pixel's error."""
HOPELESS_GAIN = -0.15
"""Gain in the first frame left out below which other frames are not asked."""
ROUNDING_ERROR = 3 * (0.5 / 255) ** 2
"""Squared error of rounding to 8 bits, over three channels: smaller errors say nothing."""
NO_GAIN = -1.0
"""The gain where nothing tells."""

TwoViews = tuple[list[Homography], list[Homography]]
"""For each of two layers, the homographies from one frame to some others."""


@dataclass(frozen=True)
class SumEvidence:
    """How much a sum of two layers explains beyond one of them.

    gain: the part of the best single layer's error that the sum avoids; -1 if no frame tells.
    gain_beside_one: the same, where a layer that is registered alone counts as a single layer, too.
    motion_difference: pixels by which the two motions differ over :data:`SPAN` frames or fewer.
    """

    gain: float
    gain_beside_one: float
    motion_difference: float


def sum_evidence(frames: Tensor, homographies: LayerHomographies) -> float:
    """Return how much better a sum predicts frames left out than the best single layer.

    frames: encoded, ``(T, 3, H, W)`` in [0, 1].
    homographies: of each layer, from the first frame to every frame, in pixels of ``frames``.

    Returns the part of the best single layer's squared error that the sum avoids, median over
    frames left out. Above :data:`LEAST_UNREGISTERED_GAIN` the clip is a sum. -1 for fewer than
    :data:`FEWEST_FRAMES` frames.
    """
    if len(frames) < FEWEST_FRAMES:
        return NO_GAIN
    small, motions = at_tracked_size(frames, homographies)
    details = [details_of(picture_of(frame)) for frame in small]
    gains = []
    for left_out in _frames_to_leave_out(len(frames)):
        others = neighbors_of(left_out, len(frames))
        views = views_from(left_out, others, motions)
        prediction = _predict([details[t] for t in others], views)
        errors = _ErrorMeasure(details[left_out], ROUNDING_ERROR)
        gains.append(errors.gain(prediction, prediction.singles))
    return float(np.median(gains))


def registered_sum_evidence(frames: Tensor, homographies: LayerHomographies) -> SumEvidence:
    """Return how much better a sum predicts frames left out, once both layers are registered.

    frames, homographies: as in :func:`sum_evidence`, of :data:`FEWEST_FRAMES` frames or more.

    Each figure is the median over frames left out.
    """
    small, motions = at_tracked_size(frames, homographies)
    compared = [_ComparedFrame.of(frame) for frame in small]
    found: list[SumEvidence] = []
    for left_out in sorted(set(_frames_to_leave_out(len(frames)))):
        others = neighbors_of(left_out, len(frames))
        views = views_from(left_out, others, motions)
        found.append(
            _registered_evidence_of(compared[left_out], [compared[t] for t in others], views)
        )
        if found[0].gain < HOPELESS_GAIN:
            break
    return SumEvidence(
        float(np.median([each.gain for each in found])),
        float(np.median([each.gain_beside_one for each in found])),
        float(np.median([each.motion_difference for each in found])),
    )


def neighbors_of(left_out: int, count: int) -> list[int]:
    """Return the numbers of the frames around the frame ``left_out`` of ``count``, without it."""
    near = range(max(0, left_out - SPAN), min(count, left_out + SPAN + 1))
    return [t for t in near if t != left_out]


def views_from(
    left_out: int, others: Sequence[int], homographies: Sequence[Sequence[Homography]]
) -> TwoViews:
    """Return each layer's homographies from the frame ``left_out`` to the ``others``."""
    one, other = (
        [layer[t] @ np.linalg.inv(layer[left_out]) for t in others] for layer in homographies
    )
    return one, other


@dataclass(frozen=True)
class _ComparedFrame:
    """A frame as it is registered and predicted. gray: ``(H, W)``. details: ``(H, W, 3)``."""

    gray: Picture
    details: Picture

    @classmethod
    def of(cls, frame: Tensor) -> _ComparedFrame:
        """Return what is compared of a frame ``(3, H, W)``."""
        picture = picture_of(frame)
        return cls(picture.mean(2), details_of(picture))


def _registered_evidence_of(
    left_out: _ComparedFrame, others: Sequence[_ComparedFrame], views: TwoViews
) -> SumEvidence:
    """Return the evidence of one frame left out.

    Two nearly equal motions under one camera predict a frame better than each of them, as the mean
    of both does. So that mean counts as a single layer, too. Errors are bounded: where things move
    by themselves, neither prediction is right.

    views: to start with, from the frame left out to the others.
    """
    truth, size = left_out.details, left_out.gray.shape
    other_grays, other_details = [each.gray for each in others], [each.details for each in others]
    one, other = registered_views(left_out.gray, other_grays, views)
    prediction = _predict(other_details, (one, other))
    square = float((truth**2).sum(2).mean())
    errors = _ErrorMeasure(truth, ROUNDING_ERROR + DETAIL_ERROR * square, MOST_ERROR * square)
    mean = np.asarray((prediction.singles[0] + prediction.singles[1]) / 2, np.float32)
    singles = [*prediction.singles, mean]
    gain = gain_beside_one = errors.gain(prediction, singles)
    if gain > 0:
        (alone,) = registered_views(left_out.gray, other_grays, views[:1])
        by_one = _LayerWarps.along(alone, size).mean(other_details)
        gain_beside_one = errors.gain(prediction, [*singles, by_one])
    distances = [distance(*pair, size) for pair in zip(one, other, strict=True)]
    return SumEvidence(gain, gain_beside_one, float(np.median(distances)))


def _frames_to_leave_out(count: int) -> list[int]:
    """Return the numbers of frames to leave out: inner ones, with frames on both sides."""
    if count <= 2 * SPAN + 1:
        return list(range(1, count - 1))
    return [round(t) for t in np.linspace(SPAN, count - 1 - SPAN, MOST_LEFT_OUT)]


@dataclass(frozen=True)
class _LayerWarps:
    """How one layer is warped between the frame left out and the K frames it is fitted to.

    forth: homographies from the frame left out to each of the others. back: the opposite ones.
    count: how many frames show each place, ``(H, W, 1)``.
    """

    forth: list[Homography]
    back: list[Homography]
    count: Picture

    @classmethod
    def along(cls, forth: list[Homography], size: tuple[int, ...]) -> _LayerWarps:
        """Return the warps along homographies to the others. size: height, width of a frame."""
        everywhere = np.ones((size[0], size[1]), np.float32)
        count = np.sum([warped(everywhere, each) for each in forth], 0)
        back = [np.asarray(np.linalg.inv(each), np.float64) for each in forth]
        return cls(forth, back, count[..., None] + LEAST_COUNT)

    def mean(self, pictures: list[Picture]) -> Picture:
        """Return the mean of pictures of the other frames, warped to the frame left out."""
        brought = [warped(each, matrix) for each, matrix in zip(pictures, self.forth, strict=True)]
        return np.asarray(np.sum(brought, 0) / self.count, np.float32)


@dataclass(frozen=True)
class _Prediction:
    """The details that are predicted of a frame left out, as ``(H, W, 3)`` each.

    both: the sum of two layers. singles: each layer alone, fitted to all of the other frames, and
    fitted beside the other layer. seen: where the prediction counts, ``(H, W)``.
    """

    both: Picture
    singles: list[Picture]
    seen: NDArray[np.bool_]


def _predict(others: list[Picture], views: TwoViews) -> _Prediction:
    """Predict a frame left out as a sum of two layers, and as single ones.

    others: details of the other frames, ``(H, W, 3)``. views: of each layer, from the frame left
    out to the others.
    """
    one, other = (_LayerWarps.along(layer, others[0].shape) for layer in views)
    alone = one.mean(others), other.mean(others)
    first, second = alone[0], np.zeros_like(alone[1])
    for _ in range(ITERATIONS):
        second = other.mean(without_layer(others, first, one.back))
        first = one.mean(without_layer(others, second, other.back))
    least_count = LEAST_SEEN * len(others)
    seen = ((one.count > least_count) & (other.count > least_count))[..., 0]
    return _Prediction(first + second, [*alone, first, second], seen)


@dataclass(frozen=True)
class _ErrorMeasure:
    """How predictions of a frame left out are compared with it.

    truth: the frame's details, ``(H, W, 3)``. floor: squared error that any prediction has.
    bound: most squared error of a pixel, which larger ones approach; 0 for none.
    """

    truth: Picture
    floor: float
    bound: float = 0.0

    def gain(self, prediction: _Prediction, singles: Sequence[Picture]) -> float:
        """Return the part of the best single layer's error that the sum avoids.

        singles: predictions by single layers, ``(H, W, 3)`` each.
        """
        if not prediction.seen.any():
            return NO_GAIN
        single = np.minimum.reduce([self._squared(each) for each in singles])
        both = self._squared(prediction.both)
        if self.bound > 0:
            single, both = (error / (1 + error / self.bound) for error in (single, both))
        single_error, error = (float(each[prediction.seen].mean()) for each in (single, both))
        return 1 - (error + self.floor) / (single_error + self.floor)

    def _squared(self, predicted: Picture) -> Picture:
        """Return the squared error at each place, averaged over small squares, ``(H, W)``."""
        error = ((predicted - self.truth) ** 2).sum(2)
        return np.asarray(cv2.blur(error, (SQUARE_SIDE, SQUARE_SIDE)), np.float32)
