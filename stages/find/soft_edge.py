"""A soft edge of a known pattern: its matte, and how far it has come in each frame.

The weight of the incoming scene is ``clip((progress (1 + softness) - order) / softness, 0, 1)``.
Here ``order`` is 0 where the picture changes first and 1 where it changes last.
Axes: T frames, K blocks, P values of the progress.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.find.curve import Curve

SOFTNESSES = (0.01, 0.03, 0.06, 0.09, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.55, 0.75, 1.0)
"""Widths of the edge that are tried, as parts of its whole way."""
PROGRESS_STEPS = 121  # values of the progress that are tried for each frame
OUTLIER = 0.25  # error of a block's weight from which a larger one says no more
VAGUE = 0.05  # standard error of the progress from which an even course helps to tell it
UNEVENNESS = 0.03  # how far from an even course the progress is looked for then, roughly
LEAST_LIKELIHOOD = 1e-12  # keeps likelihoods from being 0 everywhere
LEAST_DEVIATION = 0.02  # of weights from the model: coding leaves as much

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EdgeFit:
    """A soft edge in the frames of a wipe.

    progress: in each frame, ``(T,)`` in [0, 1]. error: its standard error, ``(T,)``.
    softness: width of the edge, as part of its whole way.
    """

    progress: Curve
    error: Curve
    softness: float


def coverage(order: Float, progress: float, softness: float) -> Float:
    """Return the weight of the incoming side at each pixel, in the shape of ``order``."""
    return np.clip((progress * (1 + softness) - order) / softness, 0, 1)


def edge_models(order: Float) -> list[Float]:
    """Return the blocks' weights for each softness and progress of an edge that are tried.

    order: of the change of each block's pixels, ``(K, pixels)``. Returns an array
    ``(PROGRESS_STEPS, K)`` for each of :data:`SOFTNESSES`.
    """
    progress = np.linspace(0, 1, PROGRESS_STEPS)
    # All steps use the same memory: new memory for each would cost as much as computing.
    pixels = np.empty((PROGRESS_STEPS, *order.shape))
    models = []
    for softness in SOFTNESSES:
        np.subtract((progress * (1 + softness))[:, None, None], order, out=pixels)
        np.divide(pixels, softness, out=pixels)
        np.clip(pixels, 0, 1, out=pixels)
        models.append(pixels.mean(2))
    return models


def fit_edge(weights: Float, power: Float, models: Sequence[Float], even: Curve) -> EdgeFit:
    """Fit one soft edge with known order of change to the blocks' weights.

    weights, power: ``(T, K)``, as of :func:`stages.find.wipes.block_weights`.
    models: as of :func:`edge_models`. even: the progress of an even course, ``(T,)``.

    The progress and its standard error are the mean and the spread of the likelihood on a grid.
    Where the edge passes over blocks that look the same on both sides, as the borders of two
    pictures do, every progress is as good as the next. There an even course is the likeliest.
    """
    trust = np.minimum(power / (np.median(power) + 1e-5), 1)
    progress = np.linspace(0, 1, PROGRESS_STEPS)
    squares = np.empty((len(weights), PROGRESS_STEPS, weights.shape[1]))
    costs = []
    for model in models:
        np.subtract(weights[:, None], model, out=squares)
        np.square(squares, out=squares)
        np.minimum(squares, OUTLIER**2, out=squares)
        np.multiply(trust[:, None], squares, out=squares)
        costs.append(squares.sum(2))
    totals = [float(cost.min(1).sum()) for cost in costs]
    best = int(np.argmin(totals))
    variance = max(totals[best] / float(trust.sum()), LEAST_DEVIATION**2)
    likelihood = np.exp(-(costs[best] - costs[best].min(1, keepdims=True)) / (2 * variance))
    mean, error = _moments(likelihood, progress)
    prior = np.exp(-(((progress - even[:, None]) / UNEVENNESS) ** 2) / 2)
    is_vague = error > VAGUE
    mean[is_vague], _ = _moments((likelihood * prior)[is_vague] + LEAST_LIKELIHOOD, progress)
    return EdgeFit(mean, error, SOFTNESSES[best])


def _moments(likelihood: Float, values: Curve) -> tuple[Curve, Curve]:
    """Return the mean and the standard deviation of values ``(P,)`` for rows of a likelihood.

    likelihood: ``(T, P)``. A row need not add up to 1.
    """
    chance = likelihood / likelihood.sum(1, keepdims=True)
    mean = chance @ values
    return mean, np.sqrt(np.maximum(chance @ values**2 - mean**2, 0))
