"""Wipes and irises: transitions in which each place of the picture changes at a time of its own.

The time at which a block changes is that of the step from 0 to 1 that is nearest to its weights.
In a dissolve that time is the same everywhere; in a wipe or an iris it follows one of the patterns
of :mod:`stages.kinds`, which is fitted to the times. Axes: T frames, K blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from stages.find.curve import NOISE
from stages.find.features import Array, blocked, resized
from stages.kinds import PATTERNS, kind_of_pattern
from stages.kinds.base import WipePattern

ROWS, COLUMNS = 12, 16  # blocks of a frame

# The thresholds below were set on synthetic wipes and dissolves of real shots.
EXPLAINED = 0.85  # share of the variance of the blocks' times that a pattern has to explain
LEAST_RANGE = 0.15  # least time between the first and the last place, as part of the window
# The same as part of the time that one place takes to change. In a dissolve it is 0.
SLOWEST = 0.6
SIMPLE = 0.02  # how much more than the best so far a pattern that is not simple has to explain
# The same for a fine pattern, of which blocks see little: in drawn slices it explained 0.012 to
# 0.07 more than a straight edge, in straight hard wipes 0.012 to 0.05 less, and in smooth ones 0.01
# more at most.
SIMPLE_FINE = 0.01
# Most time that one place takes to change in a fine pattern, as part of the whole way. Its edges
# are hard, but a block holds places that change at different times. In drawn slices it was 0.35 to
# 0.70, in smooth wipes 0.76 to 1.2.
MOST_FINE_LENGTH = 0.73
CENTERS = (0.0, -0.2, 0.2)  # centres tried off the middle, as parts of the picture's sides
LEAST_BLOCKS = 12  # blocks that have to differ between the two sides for a pattern to be fitted
DIFFERENT = 10 * NOISE  # mean square from which the sides of a block count as different
RAMP = 6.0  # the sum of w (1 - w) over a linear ramp is a sixth of the ramp's length
CELLS = 8  # cells along each side of a block, over which a fine pattern's time is the median
FINE_GRID = (96, 96)  # places of the picture at which the ends of a pattern are looked for
ROUNDS = 10  # of reweighted least squares; the terms have settled by then
RIDGE = 1e-6  # keeps the equations solvable where two columns are alike
ROUNDING = 0.3  # frames: times are whole numbers, so that errors of this size say nothing

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FittedPattern:
    """A wipe pattern fitted to the times at which the blocks change.

    pattern: its name. terms: the time is ``terms[0] + terms[1] * map 1 + terms[2] * map 2``, in
    frames. center: in picture widths from the middle. aspect: height / width of the picture.
    explained: share of the times' variance that it explains, up to 1.
    first, last: the times of the first and the last place.
    """

    pattern: str
    terms: tuple[float, ...]
    center: tuple[float, float]
    aspect: float
    explained: float
    first: float
    last: float

    @property
    def kind(self) -> str:
        """The kind of transition that has this pattern."""
        return kind_of_pattern(self.pattern)

    def effect(self, soft: float) -> str | None:
        """Return FFmpeg's name for it with an edge of width ``soft``, or None where it has none."""
        if self.center != (0.0, 0.0):
            return None
        return PATTERNS[self.pattern].effect(self.terms[1:], soft, self.aspect)

    def times(self, x: Float, y: Float) -> Float:
        """Return the times of change at places given in picture widths from the middle."""
        columns = design(self.pattern, x, y, self.center, self.aspect)
        return np.asarray(columns @ np.array(self.terms))

    def order(self, height: int, width: int) -> Float:
        """Return the order of change of ``height x width`` equal parts, 0 first and 1 last."""
        x, y = pixel_places(height, width, self.aspect)
        times = self.times(x.ravel(), y.ravel()).reshape(height, width)
        return (times - self.first) / max(self.last - self.first, 1e-6)


def pixel_places(rows: int, columns: int, aspect: float) -> tuple[Float, Float]:
    """Return the middles of ``rows x columns`` equal parts of a picture of width 1.

    aspect: the picture's height. Places count from its middle.
    """
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float64)
    return (x + 0.5) / columns - 0.5, ((y + 0.5) / rows - 0.5) * aspect


def design(pattern: str, x: Float, y: Float, center: tuple[float, float], aspect: float) -> Float:
    """Return the columns of the linear model of a pattern's times, ``(places, 2 or 3)``.

    The first column is constant, the others are the pattern's maps.
    """
    across, down = torch.from_numpy(x - center[0]), torch.from_numpy(y - center[1])
    maps = PATTERNS[pattern].order(across, down, aspect)
    return np.stack([np.ones_like(x), *(part.numpy() for part in maps)], 1)


def block_weights(frames: Array, outgoing: Array, incoming: Array) -> tuple[Float, Float]:
    """Return each block's own weight of ``incoming`` and how much the two sides differ there.

    frames, outgoing, incoming: ``(T, H, W, 3)``. Returns two arrays ``(T, K)``: weights in [0, 1]
    and mean squared differences.
    """
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
    """Return for each block the step from 0 to 1 that is nearest to its weights.

    weights: ``(T, K)``. Returns ``(K,)``, the number of frames before the step.
    """
    gain = np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(0.5 - weights, axis=0)])
    return np.asarray(gain.argmax(0), np.float64)


def fitted_times(tables: Float, times: Float, trust: Float) -> tuple[Float, Float]:
    """Fit the times of the blocks by robust least squares, with each of ``M`` models.

    tables: the models' columns ``(M, K, n)``; times, trust: ``(K,)``. Returns the terms ``(M, n)``
    and the share of the times' variance that each model explains, ``(M,)``.
    """
    count, _, terms_each = tables.shape
    ridge = RIDGE * np.eye(terms_each)
    weight = np.broadcast_to(trust, (count, len(trust)))
    terms: Float = np.zeros((count, terms_each))
    residual, is_trusted = np.broadcast_to(times, weight.shape), trust > 0
    for _ in range(ROUNDS):
        weighted = (tables * weight[..., None]).transpose(0, 2, 1)
        solved = np.linalg.solve(weighted @ tables + ridge, (weighted @ times)[..., None])
        terms = np.asarray(solved[..., 0], np.float64)
        residual = times - (tables @ terms[..., None])[..., 0]
        scale = 1.5 * _medians(np.abs(residual[:, is_trusted])) + ROUNDING
        weight = trust / (1 + (residual / scale[:, None]) ** 2)
    mean = (weight * times).sum(1) / weight.sum(1)
    total = (weight * (times - mean[:, None]) ** 2).sum(1)
    return terms, 1 - (weight * residual**2).sum(1) / np.maximum(total, 1e-9)


def _medians(values: Float) -> Float:
    """Return the median of each row ``(M, N)``, as :func:`stages.find.features.median` does."""
    half = values.shape[1] // 2
    if values.shape[1] % 2:
        return np.asarray(np.partition(values, half, axis=1)[:, half])
    sides = np.partition(values, (half - 1, half), axis=1)
    return np.asarray((sides[:, half - 1] + sides[:, half]) / 2)


def fit_pattern(
    weights: Float, power: Float, aspect: float, least: float = EXPLAINED
) -> FittedPattern | None:
    """Return the pattern of the wipe or iris that the blocks' weights follow.

    weights: ``(T, K)``. power: how much the two sides differ in each block, ``(K,)``. aspect:
    height / width. least: share of the times' variance that it has to explain. Returns None where
    all blocks change together or in no known order. Times count from the first frame given.
    """
    trust = np.minimum(power / (np.median(power) + 1e-5), 1) * (power > DIFFERENT)
    if (trust > 0.1).sum() < LEAST_BLOCKS:
        return None
    times = step_times(weights)
    length = RAMP * float((trust * (weights * (1 - weights)).sum(0)).sum() / trust.sum())
    shortest = max(LEAST_RANGE * len(weights), SLOWEST * length)
    best: FittedPattern | None = None
    fits = _fit_all(aspect, times, trust)
    for candidate, (terms, explained) in zip(_candidates(aspect), fits, strict=True):
        if explained < least:
            continue
        found = candidate.fitted(aspect, terms, explained)
        if found.last - found.first < shortest:
            continue
        if candidate.pattern.fine and length > MOST_FINE_LENGTH * (found.last - found.first):
            continue
        if best is None or explained > best.explained + candidate.margin():
            best = found
    return best


def _fit_all(aspect: float, times: Float, trust: Float) -> list[tuple[Float, float]]:
    """Return the terms of each candidate and the share of the times' variance that it explains.

    Candidates with as many columns are fitted together. times, trust: as of :func:`fitted_times`.
    """
    fits: dict[int, tuple[Float, float]] = {}
    for numbers, columns in _tables(aspect):
        terms_of_all, shares = fitted_times(columns, times, trust)
        fits |= dict(zip(numbers, zip(terms_of_all, shares.tolist(), strict=True), strict=True))
    return [fits[number] for number in range(len(fits))]


class _Candidate(NamedTuple):
    """A pattern with a centre at which it is tried.

    name: of the pattern. center: in picture widths from the middle. at_blocks, in_picture: the
    columns of its linear model at the blocks, ``(K, n)``, and on a fine grid of the picture.
    """

    name: str
    center: tuple[float, float]
    at_blocks: Float
    in_picture: Float

    @property
    def pattern(self) -> WipePattern:
        """The pattern itself."""
        return PATTERNS[self.name]

    def fitted(self, aspect: float, terms: Float, explained: float) -> FittedPattern:
        """Return it with fitted terms. The other arguments are as of :class:`FittedPattern`."""
        times = self.in_picture @ terms
        values = tuple(float(term) for term in terms)
        first, last = float(times.min()), float(times.max())
        return FittedPattern(self.name, values, self.center, aspect, explained, first, last)

    def margin(self) -> float:
        """Return how much more than the best so far it has to explain."""
        if self.pattern.simple and self.center == (0.0, 0.0):
            return 0.0
        return SIMPLE_FINE if self.pattern.fine else SIMPLE


@lru_cache(maxsize=4)
def _candidates(aspect: float) -> list[_Candidate]:
    """Return all patterns with the centres at which they are tried, the simple ones first."""
    blocks, picture = (pixel_places(*size, aspect) for size in ((ROWS, COLUMNS), FINE_GRID))
    middle = [(name, (0.0, 0.0)) for name in PATTERNS]
    away = [
        (name, (x, y * aspect))
        for name, pattern in PATTERNS.items()
        if pattern.off_center
        for x in CENTERS
        for y in CENTERS
        if (x, y) != (0.0, 0.0)
    ]

    def columns(places: tuple[Float, Float], name: str, center: tuple[float, float]) -> Float:
        return design(name, places[0].ravel(), places[1].ravel(), center, aspect)

    def at_blocks(name: str, center: tuple[float, float]) -> Float:
        if not PATTERNS[name].fine:
            return columns(blocks, name, center)
        # A block's step comes when half of its pixels have changed.
        cells = columns(pixel_places(ROWS * CELLS, COLUMNS * CELLS, aspect), name, center)
        parts = cells.reshape(ROWS, CELLS, COLUMNS, CELLS, -1).transpose(0, 2, 1, 3, 4)
        return np.asarray(np.median(parts.reshape(ROWS * COLUMNS, CELLS**2, -1), 1), np.float64)

    return [
        _Candidate(name, center, at_blocks(name, center), columns(picture, name, center))
        for name, center in middle + away
    ]


@lru_cache(maxsize=4)
def _tables(aspect: float) -> list[tuple[list[int], Float]]:
    """Return the candidates' numbers and columns at the blocks, ``(M, K, n)``, for each ``n``."""
    by_terms: dict[int, list[int]] = {}
    candidates = _candidates(aspect)
    for number, candidate in enumerate(candidates):
        by_terms.setdefault(candidate.at_blocks.shape[1], []).append(number)
    return [
        (numbers, np.stack([candidates[number].at_blocks for number in numbers]))
        for numbers in by_terms.values()
    ]
