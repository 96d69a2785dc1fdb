"""Wipes and irises: transitions in which each place of the picture changes at a time of its own.

The time at which a block changes is the one step that comes nearest to its own weights. In a dissolve it is the same everywhere;
in a wipe or an iris it follows one of the forms of :mod:`stages.find.forms`. The fitted model is a soft edge: weight
``m = clip((e - place) / soft, 0, 1)`` where ``place`` runs from 0 where the picture changes first to 1 where it changes last and ``e``
from 0 to ``1 + soft``. Axes: T frames, K blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch

from stages.find.curve import NOISE, Curve
from stages.find.features import Array, blocked, resized
from stages.find.forms import FORMS

ROWS, COLUMNS = 12, 16
SOFT = (0.01, 0.03, 0.06, 0.09, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.55, 0.75, 1.0)
EXPLAINED = 0.85  # share of the variance of the times that the shape has to explain
LEAST_RANGE = 0.15  # and how much of the window has to pass between the first place and the last
SLOWEST = 0.6  # of the time that a place takes to change, the least between the first place and the last; in a dissolve it is 0
SIMPLE = 0.02  # how much more than the simple forms, which come first, another one has to explain
CENTRES = (
    0.0,
    -0.2,
    0.2,
)  # places tried for an iris's centre, as parts of the picture's sides from its middle
OUTLIER = 0.25  # a block's weight that is further off than this says no more than one that is this far off

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """Order in which the places of a picture change: ``time = terms[0] + terms[1] * map 1 + terms[2] * map 2`` of a form's maps."""

    form: str
    terms: tuple[float, ...]
    centre: tuple[float, float]
    aspect: float
    explained: float
    first: float
    last: float

    @property
    def kind(self) -> Literal["wipe", "iris"]:
        """The kind of transition that it is the shape of."""
        return FORMS[self.form].kind

    def times(self, x: Float, y: Float) -> Float:
        """Time of change at places given in picture widths from the middle."""
        return np.asarray(design(self.form, x, y, self.centre, self.aspect) @ np.array(self.terms))

    def place(self, height: int, width: int) -> Float:
        """Order of change of each of ``H x W`` equal parts of the picture, in 0 to 1."""
        x, y = pixel_places(height, width, self.aspect)
        times = self.times(x.ravel(), y.ravel()).reshape(height, width)
        return (times - self.first) / max(self.last - self.first, 1e-6)


def pixel_places(rows: int, columns: int, aspect: float) -> tuple[Float, Float]:
    """Middles of ``rows x columns`` equal parts of a picture of height ``aspect`` and width 1, from its middle."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float64)
    return (x + 0.5) / columns - 0.5, ((y + 0.5) / rows - 0.5) * aspect


def design(form: str, x: Float, y: Float, centre: tuple[float, float], aspect: float) -> Float:
    """Columns that a form's times are a sum of, a constant first: ``(places, 2 or 3)``."""
    across, down = torch.from_numpy(x - centre[0]), torch.from_numpy(y - centre[1])
    return np.stack(
        [np.ones_like(x), *(part.numpy() for part in FORMS[form].order(across, down, aspect))], 1
    )


def block_weights(frames: Array, outgoing: Array, incoming: Array) -> tuple[Float, Float]:
    """Each block's own weight of ``incoming`` ``(T, K)`` and how much the sides differ there ``(T, K)``; all pictures ``(T, H, W, 3)``."""
    height = ROWS * max(1, round(frames.shape[1] / ROWS))
    width = COLUMNS * max(1, round(frames.shape[2] / COLUMNS))
    mixed, a, b = (
        blocked(resized(part, height, width, cv2.INTER_LINEAR), ROWS, COLUMNS)
        for part in (frames, outgoing, incoming)
    )
    step = b - a
    power = (step * step).mean((2, 3))
    weight = ((mixed - a) * step).mean((2, 3)) / (power + 5 * NOISE)
    return np.clip(weight, 0, 1).astype(np.float64), power.astype(np.float64)


def step_times(weights: Float) -> Float:
    """For each block the step from 0 to 1 that is nearest to its weights ``(T, K)``: ``(K,)``, the number of frames before it."""
    gain = np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(0.5 - weights, axis=0)])
    return np.asarray(gain.argmax(0), np.float64)


def fitted_times(table: Float, times: Float, trust: Float) -> tuple[Float, float]:
    """Robust least squares: terms of ``table`` and the share of the variance that they explain."""
    weight = trust
    terms: Float = np.zeros(table.shape[1])
    wrong = times
    for _ in range(10):
        heavy = table * weight[:, None]
        terms = np.asarray(
            np.linalg.solve(heavy.T @ table + 1e-6 * np.eye(table.shape[1]), heavy.T @ times),
            np.float64,
        )
        wrong = times - table @ terms
        spread = 1.5 * float(np.median(np.abs(wrong[trust > 0]))) + 0.3
        weight = trust / (1 + (wrong / spread) ** 2)
    mean = float((weight * times).sum() / weight.sum())
    total = float((weight * (times - mean) ** 2).sum())
    return terms, 1 - float((weight * wrong**2).sum()) / max(total, 1e-9)


def shape_of(weights: Float, power: Float, aspect: float) -> Shape | None:
    """The wipe or iris that the blocks' weights ``(T, K)`` follow, or None: then they all change together or in no simple order.

    power: how much the two sides differ in each block, ``(K,)``; aspect: height over width. Times count from the first frame given.
    """
    trust = np.minimum(power / (np.median(power) + 1e-5), 1) * (power > 10 * NOISE)
    if (trust > 0.1).sum() < 12:
        return None
    times = step_times(weights)
    length = 6 * float((trust * (weights * (1 - weights)).sum(0)).sum() / trust.sum())
    best: Shape | None = None
    for form, centre, table, corners in _tried(aspect):
        terms, explained = fitted_times(table, times, trust)
        reach = corners @ terms
        first, last = float(reach.min()), float(reach.max())
        if explained < EXPLAINED or last - first < max(
            LEAST_RANGE * len(weights), SLOWEST * length
        ):
            continue
        if best is None or explained > best.explained + (
            0.0 if (form, centre) in SIMPLEST else SIMPLE
        ):
            best = Shape(
                form, tuple(float(term) for term in terms), centre, aspect, explained, first, last
            )
    return best


SIMPLEST = (("plane", (0.0, 0.0)), ("circle", (0.0, 0.0)))


@lru_cache(maxsize=4)
def _tried(aspect: float) -> list[tuple[str, tuple[float, float], Float, Float]]:
    """All forms with the centres at which they are tried, simple ones first, and the columns of each: of the blocks, and of a fine grid."""
    blocks, picture = (pixel_places(*size, aspect) for size in ((ROWS, COLUMNS), (96, 96)))
    middle = [(name, (0.0, 0.0)) for name in FORMS]
    away = [
        ("circle", (cx, cy * aspect)) for cx in CENTRES for cy in CENTRES if (cx, cy) != (0.0, 0.0)
    ]

    def columns(places: tuple[Float, Float], form: str, centre: tuple[float, float]) -> Float:
        return design(form, places[0].ravel(), places[1].ravel(), centre, aspect)

    return [
        (form, centre, columns(blocks, form, centre), columns(picture, form, centre))
        for form, centre in middle + away
    ]


def edges(weights: Float, power: Float, place: Float) -> tuple[Curve, Curve, float]:
    """Progress ``e / (1 + soft)`` of the edge in each frame with its standard error, both ``(T,)``, and its softness.

    weights, power: ``(T, K)`` as of :func:`block_weights`; place: order of change of each block's pixels, ``(K, pixels)``. Mean and spread
    of the probability on a grid: where the edge passes over blocks that look the same on both sides, every progress is as good as the next.
    """
    trust = np.minimum(power / (np.median(power) + 1e-5), 1)
    progress = np.linspace(0, 1, 121)
    costs = []
    for soft in SOFT:
        model = np.clip((progress[:, None, None] * (1 + soft) - place) / soft, 0, 1).mean(2)
        wrong = np.minimum((weights[:, None] - model) ** 2, OUTLIER**2)
        costs.append((trust[:, None] * wrong).sum(2))
    totals = [float(cost.min(1).sum()) for cost in costs]
    choice = int(np.argmin(totals))
    variance = max(totals[choice] / float(trust.sum()), 0.02**2)
    chance = np.exp(-(costs[choice] - costs[choice].min(1, keepdims=True)) / (2 * variance))
    chance /= chance.sum(1, keepdims=True)
    mean = chance @ progress
    spread = np.sqrt(np.maximum(chance @ progress**2 - mean**2, 0))
    return mean, spread, SOFT[choice]


def coverage(place: Float, progress: float, soft: float) -> Float:
    """Weight of the incoming side at each pixel, in the shape of ``place``."""
    return np.clip((progress * (1 + soft) - place) / soft, 0, 1)
