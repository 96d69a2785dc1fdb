"""Register two layers that add up: each to what the other one leaves of the frames around.

Corners and small mosaics tell two motions to about a pixel. That is too little to predict details,
and least of all those of a faint layer. Here one layer's present estimate is subtracted from the
frames, and what is left is registered to the other layer by least squares, each in turn (Bergen et
al., PAMI 1992, "A three-frame algorithm for estimating two-component image motion"; here with
homographies and several frames). It is done at a quarter of the size first, where it reaches
further. Details are compared (band-passed values), because smooth light may belong to either layer.

A view is the homography from the middle frame to another one. Pictures are grey, ``(h, w)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stages.transparency.motion import Homography

FINE_BLUR = 1.0
"""Standard deviation, in pixels, of the blur that removes detail too fine to compare."""
COARSE_BLUR = 8.0
"""Standard deviation, in pixels, of the blur whose result is too coarse to compare."""
LEVELS = ((4, 24), (2, 8), (1, 2))
"""Divisors of the size, and rounds in which both layers are registered at each. They converge
slowly, and small pictures cost little."""
LEAST_SIDE = 24
"""Least side, in pixels, of reduced pictures."""
LAYER_ROUNDS = 3
"""Rounds of fitting one layer to what the other one leaves, within each of these."""
LARGEST_STEP = 0.03
"""Largest change of an entry of a homography in a step, in halves of the width."""
RIDGE = 1e-3
"""Pull of a step towards none, relative to the mean of the normal equations' diagonal."""
OUTLIER = 4.0
"""Squared error, in medians, at which a pixel counts a quarter: things that move by themselves."""
LEAST_ERROR = 1e-7
"""Least squared error for that."""
WELL_INSIDE = 0.99
"""Part of a pixel that has to lie inside a frame to count in a step."""
LEAST_COUNT = 1e-3
"""Least number of frames that show a place, where it is divided by."""

Picture = NDArray[np.float32]
Views = list[Homography]


def picture_of(frame: Tensor) -> Picture:
    """Return a frame ``(3, H, W)`` as ``(H, W, 3)``."""
    return np.ascontiguousarray(frame.permute(1, 2, 0).cpu().numpy(), np.float32)


def details_of(picture: Picture) -> Picture:
    """Return the details of a picture ``(H, W)`` or ``(H, W, 3)``."""
    fine = cv2.GaussianBlur(picture, (0, 0), FINE_BLUR)
    return np.asarray(fine - cv2.GaussianBlur(picture, (0, 0), COARSE_BLUR), np.float32)


def registered_views(
    middle: Picture, others: Sequence[Picture], views: Sequence[Views]
) -> list[Views]:
    """Return the views of two layers that add up, or of a single one, registered to the pictures.

    middle: the frame that views start from. others: K frames around it. views: of each layer, K
    homographies to start with.
    """
    height, width = middle.shape
    found = [list(layer_views) for layer_views in views]
    for divisor, rounds in LEVELS:
        size = (width // divisor, height // divisor)
        if divisor > 1 and min(size) < LEAST_SIDE:
            continue
        shrink = np.diag([size[0] / width, size[1] / height, 1.0])
        enlarge = np.linalg.inv(shrink)
        details = [details_of(_resized(each, size)) for each in (middle, *others)]
        found = [[shrink @ view @ enlarge for view in layer_views] for layer_views in found]
        found = _registered_at_size(details, found, rounds)
        found = [[enlarge @ view @ shrink for view in layer_views] for layer_views in found]
    return found


def warped(picture: Picture, matrix: Homography) -> Picture:
    """Look up a picture, ``(h, w)`` or ``(h, w, C)``, along a homography; zero outside of it."""
    options = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpPerspective(picture, matrix, size, flags=options), np.float32)


def without_layer(
    pictures: Sequence[Picture], layer: Picture, back: Sequence[Homography]
) -> list[Picture]:
    """Return pictures minus a layer. back: homographies from each picture to the layer."""
    return [each - warped(layer, matrix) for each, matrix in zip(pictures, back, strict=True)]


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return a picture at a smaller size (width, height), by area averages."""
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _registered_at_size(details: list[Picture], views: Sequence[Views], rounds: int) -> list[Views]:
    """Return the views after some rounds, in each of which every layer takes a step.

    details: of the middle frame, and of the others. views: of each layer, for pictures of this
    size.
    """
    found = list(views)
    first_layer = _mean_in_middle(details, [np.eye(3), *found[0]])
    for _ in range(rounds):
        layers, remainders = _estimate_layers(details, first_layer, found)
        first_layer = layers[0]
        found = [_after_step(*each) for each in zip(layers, remainders, found, strict=True)]
    return found


def _estimate_layers(
    details: list[Picture], first_layer: Picture, views: Sequence[Views]
) -> tuple[list[Picture], list[list[Picture]]]:
    """Return each layer in the middle frame, and for each what the other leaves of other frames.

    details: of the middle frame, and of the others. first_layer: the estimate so far.
    """
    forth = [[np.eye(3), *layer_views] for layer_views in views]
    if len(views) == 1:
        return [_mean_in_middle(details, forth[0])], [details[1:]]
    back = [[np.linalg.inv(view) for view in layer_views] for layer_views in forth]
    first = first_layer
    for _ in range(LAYER_ROUNDS):
        second = _mean_in_middle(without_layer(details, first, back[0]), forth[1])
        first = _mean_in_middle(without_layer(details, second, back[1]), forth[0])
    # Both steps start from the same views, so neither layer is preferred.
    without_second = without_layer(details, second, back[1])[1:]
    without_first = without_layer(details, first, back[0])[1:]
    return [first, second], [without_second, without_first]


def _after_step(layer: Picture, remainders: list[Picture], views: Views) -> Views:
    """Return the views of one layer after a step of least squares.

    The step is inverse compositional (Baker and Matthews, IJCV 2004): all views share the layer's
    gradients. Points are in halves of the width from the centre.

    layer: its estimate in the middle frame. remainders: what the other layer leaves of the other
    frames.
    """
    height, width = layer.shape
    scale = width / 2
    to_unit = np.array(
        [[1 / scale, 0, (1 - width) / width], [0, 1 / scale, (1 - height) / width], [0, 0, 1]]
    )
    to_pixels = np.linalg.inv(to_unit)
    slopes = _steepest_descent(layer, scale)
    errors = [warped(each, view) - layer for each, view in zip(remainders, views, strict=True)]
    weighted_slopes = slopes * _inlier_weight(errors).reshape(-1, 1)
    normal = weighted_slopes.T @ slopes
    normal = normal + (RIDGE * np.trace(normal) / 8 + LEAST_ERROR) * np.eye(8)
    everywhere = np.ones_like(layer)
    found = []
    for error, view in zip(errors, views, strict=True):
        is_inside = warped(everywhere, view) > WELL_INSIDE
        step = np.linalg.solve(normal, weighted_slopes.T @ (error * is_inside).ravel())
        a, b, c, d, e, f, g, h = step.clip(-LARGEST_STEP, LARGEST_STEP)
        moved = np.array([[1 + b, c, a], [e, 1 + f, d], [-g, -h, 1]])
        stepped = view @ to_pixels @ np.linalg.inv(moved) @ to_unit
        found.append(stepped / stepped[2, 2])
    return found


def _steepest_descent(layer: Picture, scale: float) -> NDArray[np.float32]:
    """Return how each pixel of a layer changes with a homography's eight entries, ``(h w, 8)``.

    scale: half of the width, in pixels.
    """
    height, width = layer.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - (width - 1) / 2) / scale, (y - (height - 1) / 2) / scale
    across, down = (
        scale / 8 * cv2.Sobel(layer, cv2.CV_32F, right, 1 - right, ksize=3) for right in (1, 0)
    )
    along = across * x + down * y
    columns = (across, across * x, across * y, down, down * x, down * y, along * x, along * y)
    return np.stack(columns, -1).reshape(-1, 8)


def _inlier_weight(errors: Sequence[Picture]) -> Picture:
    """Return the weight of each pixel, ``(h, w)``: low where no view brings the layer in place."""
    error = cv2.blur(np.mean(np.square(errors), 0), (5, 5))
    weight: Picture = 1 / (1 + error / (OUTLIER * np.median(error) + LEAST_ERROR)) ** 2
    return weight


def _mean_in_middle(pictures: Sequence[Picture], views: Sequence[Homography]) -> Picture:
    """Return the mean of pictures that are brought to the middle frame."""
    everywhere = np.ones_like(pictures[0])
    count = np.sum([warped(everywhere, view) for view in views], 0) + LEAST_COUNT
    brought = [warped(each, view) for each, view in zip(pictures, views, strict=True)]
    return np.asarray(np.sum(brought, 0) / count, np.float32)
