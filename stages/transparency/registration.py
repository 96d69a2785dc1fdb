"""Register two layers that add up: each to what the other one leaves of the frames around.

Corners and small mosaics tell two motions to about a pixel. That is too little to predict details,
and most so of a faint layer. Here a layer is cancelled by the present estimate of both, and what is
left is registered to the other layer by least squares, each in turn (Bergen et al., PAMI 1992,
"A three-frame algorithm for estimating two-component image motion"; here with homographies and
several frames). It is done at a quarter of the size first, where it reaches further.

A view is the homography from the middle frame to another one. Pictures are grey, ``(h, w)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.transparency.motion import Homography

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
Details = Callable[[Picture], Picture]
Views = list[Homography]


def registered(
    middle: Picture, others: Sequence[Picture], views: Sequence[Views], details: Details
) -> list[Views]:
    """Return the views of two layers that add up, or of a single one, registered to the pictures.

    middle: the frame that views start from. others: K frames around it. views: of each layer, K
    homographies to start with. details: takes a picture, and returns what of it is compared.
    """
    height, width = middle.shape
    found = [list(layer) for layer in views]
    for divisor, rounds in LEVELS:
        size = (width // divisor, height // divisor)
        if divisor > 1 and min(size) < LEAST_SIDE:
            continue
        shrink = np.diag([size[0] / width, size[1] / height, 1.0])
        enlarge = np.linalg.inv(shrink)
        pictures = [details(_resized(each, size)) for each in (middle, *others)]
        found = [[shrink @ view @ enlarge for view in layer] for layer in found]
        layers = [_mean(pictures, [np.eye(3), *found[0]])]
        for _ in range(rounds):
            layers, rests = _layers(pictures, layers[0], found)
            found = [
                _stepped(layer, rest, own)
                for layer, rest, own in zip(layers, rests, found, strict=True)
            ]
        found = [[enlarge @ view @ shrink for view in layer] for layer in found]
    return found


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return a picture at a smaller size (width, height), by area averages."""
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _layers(
    pictures: list[Picture], one: Picture, views: Sequence[Views]
) -> tuple[list[Picture], list[list[Picture]]]:
    """Return each layer in the middle frame, and for each what the other leaves of other frames.

    pictures: details of the middle frame, and of the others. one: the first layer so far.
    """
    there = [[np.eye(3), *layer] for layer in views]
    if len(views) == 1:
        return [_mean(pictures, there[0])], [pictures[1:]]
    back = [[np.linalg.inv(view) for view in layer] for layer in there]
    for _ in range(LAYER_ROUNDS):
        other = _mean(without(pictures, one, back[0]), there[1])
        one = _mean(without(pictures, other, back[1]), there[0])
    # Both steps start from the same views, so neither layer is preferred.
    rests = [without(pictures, other, back[1])[1:], without(pictures, one, back[0])[1:]]
    return [one, other], rests


def _stepped(layer: Picture, rest: list[Picture], views: Views) -> Views:
    """Return the views of one layer after a step of least squares.

    layer: its estimate in the middle frame. rest: what the other layer leaves of the other frames.
    Points are in halves of the width from the centre. The step is inverse compositional (Baker and
    Matthews, IJCV 2004): all views share the estimate's gradients.
    """
    height, width = layer.shape
    scale = width / 2
    to_unit = np.array(
        [[1 / scale, 0, (1 - width) / width], [0, 1 / scale, (1 - height) / width], [0, 0, 1]]
    )
    to_pixels = np.linalg.inv(to_unit)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - (width - 1) / 2) / scale, (y - (height - 1) / 2) / scale
    across, down = (
        scale / 8 * cv2.Sobel(layer, cv2.CV_32F, right, 1 - right, ksize=3) for right in (1, 0)
    )
    along = across * x + down * y
    columns = (across, across * x, across * y, down, down * x, down * y, along * x, along * y)
    slopes = np.stack(columns, -1).reshape(-1, 8)
    missed = [warped(each, view) - layer for each, view in zip(rest, views, strict=True)]
    error = cv2.blur(np.mean(np.square(missed), 0), (5, 5))
    weight = 1 / (1 + error / (OUTLIER * np.median(error) + LEAST_ERROR)) ** 2
    weighted = slopes * weight.reshape(-1, 1)
    normal = weighted.T @ slopes
    normal = normal + (RIDGE * np.trace(normal) / 8 + LEAST_ERROR) * np.eye(8)
    everywhere = np.ones_like(layer)
    found = []
    for off, view in zip(missed, views, strict=True):
        inside = warped(everywhere, view) > WELL_INSIDE
        step = np.linalg.solve(normal, weighted.T @ (off * inside).ravel())
        a, b, c, d, e, f, g, h = step.clip(-LARGEST_STEP, LARGEST_STEP)
        moved = np.array([[1 + b, c, a], [e, 1 + f, d], [-g, -h, 1]])
        stepped = view @ to_pixels @ np.linalg.inv(moved) @ to_unit
        found.append(stepped / stepped[2, 2])
    return found


def _mean(pictures: Sequence[Picture], views: Sequence[Homography]) -> Picture:
    """Return the mean of pictures that are brought to the middle frame."""
    everywhere = np.ones_like(pictures[0])
    count = np.sum([warped(everywhere, view) for view in views], 0) + LEAST_COUNT
    brought = [warped(each, view) for each, view in zip(pictures, views, strict=True)]
    return np.asarray(np.sum(brought, 0) / count, np.float32)


def without(
    pictures: Sequence[Picture], layer: Picture, back: Sequence[Homography]
) -> list[Picture]:
    """Subtract a layer in the middle frame from pictures; back: homographies from each to it."""
    return [each - warped(layer, matrix) for each, matrix in zip(pictures, back, strict=True)]


def warped(picture: Picture, matrix: Homography) -> Picture:
    """Look up a picture, ``(h, w)`` or ``(h, w, C)``, along a homography; zero outside of it."""
    options = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpPerspective(picture, matrix, size, flags=options), np.float32)
