"""Exact ends and curve of a wipe or an iris: a soft edge of a known pattern that passes over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.find.curve import NOISE, MeasuredWeights
from stages.find.curve_prior import ends, rising, smooth_curve
from stages.find.features import Array
from stages.find.stretch import Stretch, TransitionFit
from stages.find.track import Grid
from stages.find.wipes import (
    COLUMNS,
    ROWS,
    FittedPattern,
    block_weights,
    coverage,
    fit_edge,
    fit_pattern,
)

ROUNDS = 5  # of moving the ends; they have settled by then
# The most that a matte may leave unexplained; see TransitionFit.left. Wipes and irises over moving
# shots leave 0.01 to 0.23. Pushes and squeezes leave 0.25 and more: their scenes move as a whole.
MOST_LEFT = 0.24
PASSED = 0.03  # mean weight from which a frame counts for that
LEAST_SIDE = 16  # pixels; a smaller picture shows no pattern
SHORTEST = 4  # frames between the clean ones; fewer show no pattern
LEAST_ERROR = 0.005  # standard error of the edge's progress that is always assumed
SHARED_ERROR = 0.1  # part of the matte's misfit that shifts neighbouring frames the same way
CELLS = 4  # cells along each side of a block, at which the order of change is sampled


@dataclass(frozen=True)
class MeasuredEdge:
    """How far an edge has come in each frame, how soft it is, and the error that it leaves.

    left: as of :class:`stages.find.stretch.TransitionFit`.
    """

    progress: MeasuredWeights
    soft: float
    left: float


def pattern_between(stretch: Stretch, start: int, end: int) -> FittedPattern | None:
    """Return the pattern of the wipe between two clean frames, None where there is none.

    Its times count from frame ``start + 1``.
    """
    frames = stretch.frames
    if min(frames.shape[1:3]) < LEAST_SIDE or end - start < SHORTEST:
        return None
    inner = frames[start + 1 : end]
    weights, power = block_weights(
        inner,
        np.broadcast_to(frames[start], inner.shape),
        np.broadcast_to(frames[end], inner.shape),
    )
    return fit_pattern(weights, power[0], stretch.aspect)


def find_wipe(stretch: Stretch, before: int, after: int) -> TransitionFit | None:
    """Return the wipe or iris near two frames, None where no pattern passes over the picture."""
    for one, other in stretch.wider(before, after):
        if wipe := _wipe_near(stretch, one, other):
            return wipe
    return None


def _wipe_near(stretch: Stretch, before: int, after: int) -> TransitionFit | None:
    """Find a wipe's ends from the progress of its edge, then its curve."""
    seen: set[tuple[int, int]] = set()
    for _ in range(ROUNDS):
        seen.add((before, after))
        start, end = stretch.widened(before, after)
        pattern = pattern_between(stretch, start, end)
        if pattern is None:
            return None
        edge = measure_edge(stretch, pattern, start, end)
        before, after = ends(edge.progress, robust=True)
        # The window may have held a part of the wipe only: then the edge has yet to reach places
        # of the picture beyond it.
        before = max(stretch.low, min(before, round(start + pattern.first)))
        after = min(stretch.high, max(after, round(start + 1 + pattern.last)))
        if after - before < 2:
            return None
        if (before, after) in seen:
            break
    start, end = stretch.widened(before, after)
    pattern = pattern_between(stretch, start, end)
    if pattern is None:
        return None
    wipe = wipe_of_pattern(stretch, pattern, start, end, exact=False)
    return wipe if wipe.left <= MOST_LEFT else None


def wipe_of_pattern(
    stretch: Stretch, pattern: FittedPattern, start: int, end: int, exact: bool = True
) -> TransitionFit:
    """Return the transition in which a pattern's edge passes between two clean frames.

    exact: whether the clean frames are those next to the transition; else its ends are measured.
    """
    edge = measure_edge(stretch, pattern, start, end)
    measured = edge.progress
    before, after = (start, end) if exact else ends(measured, robust=True)
    part = slice(before - start, after - start - 1)
    inner = MeasuredWeights(
        before, after, measured.curve[part], measured.error[part], measured.unexplained[part]
    )
    order = pattern.order(*stretch.frames.shape[1:3])
    mix = np.array(
        [
            float(coverage(order, float(progress), edge.soft).mean())
            for progress in smooth_curve(inner)
        ]
    )
    return TransitionFit(
        before,
        after,
        rising(mix),
        pattern.kind,
        unexplained=float(measured.unexplained.mean()),
        left=edge.left,
        effect=pattern.effect(edge.soft),
    )


def measure_edge(stretch: Stretch, pattern: FittedPattern, start: int, end: int) -> MeasuredEdge:
    """Measure how far a pattern's edge has come in each frame between two clean ones."""
    frames = stretch.frames
    cells = np.asarray(pattern.order(ROWS * CELLS, COLUMNS * CELLS))
    cells = cells.reshape(ROWS, CELLS, COLUMNS, CELLS).transpose(0, 2, 1, 3)
    order = cells.reshape(ROWS * COLUMNS, CELLS * CELLS)
    inner = frames[start + 1 : end]
    one, other = (np.broadcast_to(frames[time], inner.shape) for time in (start, end))
    progress, error, soft = fit_edge(*block_weights(inner, one, other), order)
    known = dict(zip(range(start + 1, end), progress, strict=True))

    def weight(time: int, grid: Grid) -> Array:
        return coverage(pattern.order(*grid.x.shape), known[time], soft).astype(np.float32)

    layers = stretch.camera_warp(start, end, weight)
    one = np.stack([layers.outgoing_at(time) for time in known])
    other = np.stack([layers.incoming_at(time) for time in known])
    weights, power = block_weights(inner, one, other)
    progress, error, soft = fit_edge(weights, power, order)
    model = np.stack([coverage(order, float(value), soft).mean(1) for value in progress])
    wrong = np.sqrt((power * (weights - model) ** 2).sum(1) / power.sum(1))
    measured = MeasuredWeights(
        start, end, progress, np.maximum(error, LEAST_ERROR), SHARED_ERROR * wrong
    )
    fine = pattern.order(*frames.shape[1:3])
    matte = np.stack([coverage(fine, float(value), soft) for value in progress])
    left = _left_by_matte(matte[..., None].astype(np.float32), inner, one, other)
    return MeasuredEdge(measured, soft, left)


def _left_by_matte(matte: Array, frames: Array, outgoing: Array, incoming: Array) -> float:
    """Return ``left`` of :class:`MeasuredEdge`, from the frames that show both sides.

    matte: ``(T, H, W, 1)``; frames, outgoing, incoming: ``(T, H, W, 3)``.
    """
    mean = matte.mean((1, 2, 3))
    both = (mean > PASSED) & (mean < 1 - PASSED)
    if not both.any():
        return 0.0
    frames, outgoing, incoming, matte = (part[both] for part in (frames, outgoing, incoming, matte))
    wrong = ((frames - (1 - matte) * outgoing - matte * incoming) ** 2).mean()
    return float(wrong / (((outgoing - incoming) ** 2).mean() + NOISE))
