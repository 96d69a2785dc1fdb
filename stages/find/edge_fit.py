"""Exact ends and curve of a wipe or an iris: a soft edge of a known pattern that passes over."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from stages.find.curve import NOISE, MeasuredWeights
from stages.find.curve_prior import ends, rising, smooth_curve
from stages.find.features import Array, is_too_small
from stages.find.soft_edge import EdgeFit, Float, coverage, edge_models, fit_edge
from stages.find.stretch import Stretch, TransitionFit
from stages.find.track import CameraWarp, Grid
from stages.find.wipes import (
    COLUMNS,
    EXPLAINED,
    ROWS,
    FittedPattern,
    block_weights,
    fit_pattern,
)
from stages.mixing.blend import blend

ROUNDS = 5  # of moving the ends; they have settled by then
# The most squared error that a matte may leave, see TransitionFit.relative_error. Wipes and irises
# over moving shots leave 0.01 to 0.23. Pushes and squeezes leave 0.25 and more: their scenes move
# as a whole.
MOST_ERROR = 0.24
SHOWS_BOTH = 0.03  # mean weight of a scene from which a frame counts for that error
# Least part of the variance of the blocks' times that a pattern explains, where the clean frames
# are carried by motion; stages.find.wipes.EXPLAINED is the same for held frames. Carried frames are
# less exact, so the error that the matte leaves decides.
EXPLAINED_CARRIED = 0.8
MOST_CARRIED = 2  # windows in which frames carried by motion are tried
SHORTEST = 4  # frames between the clean ones; fewer show no pattern
LEAST_ERROR = 0.005  # standard error of the edge's progress that is always assumed
SHARED_ERROR = 0.1  # part of the matte's misfit that shifts neighbouring frames the same way
CELLS = 4  # cells along each side of a block, at which the order of change is sampled
# Progress below which, and above 1 minus which, the edge has nearly left the picture. Few blocks
# tell it there, and if the edge is soft, what moves in them looks like a slow beginning or end.
NEARLY_OUT = 0.15
ERROR_NEARLY_OUT = 0.1  # standard error of the progress there
SOFT = 0.5  # width of an edge from which this is done; the ends of harder ones are seen well
EARLIER = 1.5  # frames by which a soft wipe may be longer than its pattern and its width say


@dataclass(frozen=True)
class MeasuredEdge:
    """The edge of a wipe: how far it has come in each frame, and the error that it leaves.

    pattern: the order in which it passes over the picture.
    softness: its width, as part of its whole way.
    relative_error: as of :class:`stages.find.stretch.TransitionFit`.
    """

    pattern: FittedPattern
    progress: MeasuredWeights
    softness: float
    relative_error: float


def pattern_between(
    stretch: Stretch, start: int, end: int, carried: bool = False, least: float | None = None
) -> FittedPattern | None:
    """Return the pattern of the wipe between two clean frames, None where there is none.

    Its times count from frame ``start + 1``. carried: whether the clean frames are carried by
    motion; else they are held. least: share of the variance of the blocks' times that it has to
    explain; :data:`stages.find.wipes.EXPLAINED` or :data:`EXPLAINED_CARRIED` unless given.
    """
    frames = stretch.frames
    if is_too_small(frames) or end - start < SHORTEST:
        return None
    inner = frames[start + 1 : end]
    weights, power = block_weights(inner, *_sides_between(stretch, start, end, carried))
    if least is None:
        least = EXPLAINED_CARRIED if carried else EXPLAINED
    return fit_pattern(weights, power.mean(0), stretch.aspect, least)


def _sides_between(stretch: Stretch, start: int, end: int, carried: bool) -> tuple[Array, Array]:
    """Return two clean frames as they would be in the frames between them, ``(T, H, W, 3)``."""
    times = range(start + 1, end)
    if carried:
        _, layers = stretch.measured(start, end)
        one = np.stack([layers.outgoing_at(time) for time in times])
        return one, np.stack([layers.incoming_at(time) for time in times])
    shape = (len(times), *stretch.frames.shape[1:])
    return (
        np.broadcast_to(stretch.frames[start], shape),
        np.broadcast_to(stretch.frames[end], shape),
    )


def find_wipe(
    stretch: Stretch, before: int, after: int, carried: bool = False
) -> TransitionFit | None:
    """Return the wipe or iris near two frames, None where no pattern passes over the picture.

    carried: as of :func:`pattern_between`. In scenes that move, blocks of held frames differ from
    the clip without any wipe; carried frames cost ten times as much.
    """
    # Dense flows would explain a wipe as motion.
    if carried and (stretch.dense or not _moves(stretch, before, after)):
        return None
    windows = stretch.windows_around(before, after)
    for one, other in windows[:MOST_CARRIED] if carried else windows:
        if wipe := _wipe_near(stretch, one, other, carried):
            return wipe
    return None


def _moves(stretch: Stretch, before: int, after: int) -> bool:
    """Return whether the camera moves on a side, so that carried frames differ from held ones."""
    _, layers = stretch.measured(*stretch.widened(before, after))
    cameras = (layers.outgoing, layers.incoming) if isinstance(layers, CameraWarp) else ()
    return any(len(camera) > 1 for camera in cameras)


def _wipe_near(stretch: Stretch, before: int, after: int, carried: bool) -> TransitionFit | None:
    """Return the wipe near two frames, with ends that no longer change, or None.

    carried: as of :func:`pattern_between`.
    """
    seen: set[tuple[int, int]] = set()
    for _ in range(ROUNDS):
        seen.add((before, after))
        edge = _edge_around(stretch, before, after, carried)
        if edge is None:
            return None
        before, after = edge_ends(edge)
        # The window may have held a part of the wipe only: then the edge has yet to reach places
        # of the picture beyond it.
        start = edge.progress.before
        before = max(stretch.low, min(before, round(start + edge.pattern.first)))
        after = min(stretch.high, max(after, round(start + 1 + edge.pattern.last)))
        if after - before < 2:
            return None
        if (before, after) in seen:
            break
    edge = _edge_around(stretch, before, after, carried)
    if edge is None:
        return None
    wipe = _wipe_of_edge(stretch, edge, edge_ends(edge))
    return wipe if wipe.relative_error <= MOST_ERROR else None


def _edge_around(stretch: Stretch, before: int, after: int, carried: bool) -> MeasuredEdge | None:
    """Return the edge in a window a little wider than two frames, None where no pattern fits."""
    start, end = stretch.widened(before, after)
    pattern = pattern_between(stretch, start, end, carried)
    return None if pattern is None else measure_edge(stretch, pattern, start, end, carried)


def wipe_of_pattern(
    stretch: Stretch, pattern: FittedPattern, before: int, after: int
) -> TransitionFit:
    """Return the wipe of a pattern between the two clean frames next to it."""
    edge = measure_edge(stretch, pattern, before, after)
    return _wipe_of_edge(stretch, edge, (before, after))


def _wipe_of_edge(stretch: Stretch, edge: MeasuredEdge, sides: tuple[int, int]) -> TransitionFit:
    """Return the wipe of a measured edge. sides: the clean frames next to it."""
    pattern, measured, (before, after) = edge.pattern, edge.progress, sides
    part = slice(before - measured.before, after - measured.before - 1)
    inner = MeasuredWeights(
        before, after, measured.curve[part], measured.error[part], measured.unexplained[part]
    )
    order = pattern.order(*stretch.frames.shape[1:3])
    mix = np.array(
        [
            float(coverage(order, float(progress), edge.softness).mean())
            for progress in smooth_curve(inner)
        ]
    )
    return TransitionFit(
        before,
        after,
        rising(mix),
        pattern.kind,
        unexplained=float(measured.unexplained.mean()),
        relative_error=edge.relative_error,
        effect=pattern.effect(edge.softness),
    )


def measure_edge(
    stretch: Stretch, pattern: FittedPattern, start: int, end: int, carried: bool = False
) -> MeasuredEdge:
    """Measure how far a pattern's edge has come in each frame between two clean ones.

    It is measured twice. The first progress tells what each frame shows of each scene, and so how
    the cameras move. carried: as of :func:`pattern_between`.
    """
    inner = stretch.frames[start + 1 : end]
    order = _order_in_blocks(pattern)
    models = edge_models(order)
    times = np.arange(len(inner)) + 0.5
    even = np.clip((times - pattern.first) / (pattern.last - pattern.first), 0, 1)
    rough = fit_edge(
        *block_weights(inner, *_sides_between(stretch, start, end, carried)), models, even
    )
    outgoing, incoming = _sides_behind_edge(stretch, pattern, rough, start, end)
    weights, power = block_weights(inner, outgoing, incoming)
    edge = fit_edge(weights, power, models, even)
    model = np.stack([coverage(order, float(one), edge.softness).mean(1) for one in edge.progress])
    misfit = np.sqrt((power * (weights - model) ** 2).sum(1) / power.sum(1))
    error = np.maximum(edge.error, LEAST_ERROR)
    measured = MeasuredWeights(start, end, edge.progress, error, SHARED_ERROR * misfit)
    fine = pattern.order(*stretch.frames.shape[1:3])
    matte = np.stack([coverage(fine, float(one), edge.softness) for one in edge.progress])
    relative_error = _error_of_matte(matte[..., None].astype(np.float32), inner, outgoing, incoming)
    return MeasuredEdge(pattern, measured, edge.softness, relative_error)


def _order_in_blocks(pattern: FittedPattern) -> Float:
    """Return the order of change in the cells of each block, ``(K, cells)``."""
    cells = np.asarray(pattern.order(ROWS * CELLS, COLUMNS * CELLS))
    cells = cells.reshape(ROWS, CELLS, COLUMNS, CELLS).transpose(0, 2, 1, 3)
    return cells.reshape(ROWS * COLUMNS, CELLS * CELLS)


def _sides_behind_edge(
    stretch: Stretch, pattern: FittedPattern, edge: EdgeFit, start: int, end: int
) -> tuple[Array, Array]:
    """Return two clean frames carried by their cameras to the frames between them.

    The edge tells which parts of a frame show which scene. Both results are ``(T, H, W, 3)``.
    """
    progress = dict(zip(range(start + 1, end), edge.progress, strict=True))

    def weight(time: int, grid: Grid) -> Array:
        order = pattern.order(*grid.x.shape)
        return coverage(order, progress[time], edge.softness).astype(np.float32)

    layers = stretch.camera_warp(start, end, weight)
    outgoing = np.stack([layers.outgoing_at(time) for time in progress])
    incoming = np.stack([layers.incoming_at(time) for time in progress])
    return outgoing, incoming


def edge_ends(edge: MeasuredEdge) -> tuple[int, int]:
    """Return the clean frames next to a wipe from the progress of its edge.

    The frames in which the edge is well inside the picture decide.
    """
    pattern, progress = edge.pattern, edge.progress
    if edge.softness < SOFT:
        return ends(progress, robust=True)
    curve = progress.curve
    is_nearly_out = (curve < NEARLY_OUT) | (curve > 1 - NEARLY_OUT)
    error = np.where(is_nearly_out, np.maximum(progress.error, ERROR_NEARLY_OUT), progress.error)
    before, after = ends(replace(progress, error=error), robust=True)
    # Half of the edge's width goes before the middle that the pattern's times are of.
    margin = edge.softness * (pattern.last - pattern.first) / 2 + EARLIER
    before = max(before, math.floor(progress.before + pattern.first - margin))
    after = min(after, math.ceil(progress.before + 1 + pattern.last + margin))
    return before, after


def _error_of_matte(matte: Array, frames: Array, outgoing: Array, incoming: Array) -> float:
    """Return ``relative_error`` of :class:`MeasuredEdge`, from the frames that show both sides.

    matte: ``(T, H, W, 1)``; frames, outgoing, incoming: ``(T, H, W, 3)``.
    """
    mean = matte.mean((1, 2, 3))
    both = (mean > SHOWS_BOTH) & (mean < 1 - SHOWS_BOTH)
    if not both.any():
        return 0.0
    frames, outgoing, incoming, matte = (part[both] for part in (frames, outgoing, incoming, matte))
    error = ((frames - blend(outgoing, incoming, matte)) ** 2).mean()
    return float(error / (((outgoing - incoming) ** 2).mean() + NOISE))
