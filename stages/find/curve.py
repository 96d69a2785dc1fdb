"""The weights of a mixture's frames, measured block by block against the clean frames beside it.

In a mixture ``M = (1 - w) A + w B`` every block that stands still in A and B gives the same w.
A block in which something moves gives a wrong one. So w is estimated from each block in three ways
(:func:`estimates`), the error that each estimate makes through motion is learned from the clean
frames (:func:`drift`), and w is the value on which the estimates agree (:func:`agreement`).
Axes: T frames, K blocks, N pixels of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from stages.find.features import Array, blocked, resized
from stages.find.track import WarpedSides

Curve = npt.NDArray[np.float64]

ROWS, COLUMNS = 6, 8
CLEAN_FRAMES = 12  # clean frames that are used on each side
NOISE = 2e-5  # variance of coding noise in a small frame, in [0, 1] squared
CORRELATED = 12  # neighbouring pixels err alike: so many of them count as one
# The variance of an estimate grows with the distance in time to this power: between a random walk
# (1) and a steady motion (2).
DRIFT_GROWTH = 1.5
OWN_DRIFT, MEDIAN_DRIFT = 0.8, 0.2  # weights of a block's own drift and of all blocks' median
LEAST_DRIFT = 1e-5  # variance per frame that is always assumed
UNKNOWN_DRIFT = 1e-4  # variance per frame where there are no clean frames to learn it from
AGREEMENT_ROUNDS = 12  # of reweighting; the curve has settled by then
STUDENT_FREEDOM = 2  # degrees of freedom of the errors: many estimates are far off
LEAST_VARIANCE = 1e-6  # of an estimate
FINE_NOISE = 5 * NOISE  # regularises the regressions on a block's structure
NEAREST = 10  # clean frames on each side that say how restless the shots are


def even_mix(count: int) -> Curve:
    """Return the weights of ``count`` frames that rise evenly from 0 before them to 1 behind."""
    return np.arange(1, count + 1) / (count + 1)


def squared_difference(one: Array, other: Array) -> float:
    """Return the mean squared difference of two pictures ``(H, W, 3)``, above 0."""
    return float(((one - other) ** 2).mean()) + NOISE


@dataclass(frozen=True)
class MeasuredWeights:
    """Weights of the frames between two clean ones.

    before, after: the places of the two clean frames.
    curve: the weights, ``(T,)``.
    error: their standard errors, ``(T,)``, as far as these differ from frame to frame.
    unexplained: the part of the picture's change that no weight explains, ``(T,)``, as an
    amplitude (root of a share of energy). It comes from what moves, and it shifts the weights of
    neighbouring frames the same way.
    texture: the same for the structure within blocks, averaged over blocks and over the middle of
    the transition.
    restless: the same for the nearest clean frames on both sides.
    """

    before: int
    after: int
    curve: Curve
    error: Curve
    unexplained: Curve
    texture: float = 0.0
    restless: float = 0.0


@dataclass(frozen=True)
class BlockProducts:
    """Mean products of the pixels of two clean frames a, b and a mixture m, all ``(T, K)``.

    They are taken within each block and are all that the regressions need.
    """

    aa: Array
    bb: Array
    ab: Array
    am: Array
    bm: Array
    mm: Array

    def residual_power(self, weight: Array | np.float32) -> Array:
        """Return the mean square of ``m - (1 - weight) a - weight b``."""
        other = 1 - weight
        cross = weight * self.bm + other * self.am - weight * other * self.ab
        return np.asarray(
            np.maximum(self.mm + weight**2 * self.bb + other**2 * self.aa - 2 * cross, 0),
            np.float32,
        )

    def step(self) -> Array:
        """Return the mean square of ``b - a``."""
        return np.asarray(np.maximum(self.aa + self.bb - 2 * self.ab, 0), np.float32)

    def only(self, times: slice) -> BlockProducts:
        """Return the same for some of the frames."""
        return BlockProducts(
            *(part[times] for part in (self.aa, self.bb, self.ab, self.am, self.bm, self.mm))
        )


def products(mixed: Array, outgoing: Array, incoming: Array) -> tuple[BlockProducts, BlockProducts]:
    """Return the products of blocks ``(T, K, N, 3)``.

    The first are of the blocks as they are, the second of their structure: each block's mean
    colours are subtracted.
    """
    pairs = (
        (outgoing, outgoing),
        (incoming, incoming),
        (outgoing, incoming),
        (outgoing, mixed),
        (incoming, mixed),
        (mixed, mixed),
    )
    count = outgoing.shape[2] * 3
    raw = [np.einsum("tknc,tknc->tk", one, other) / count for one, other in pairs]
    means = {
        id(part): np.einsum("tknc->tkc", part) / outgoing.shape[2]
        for part in (mixed, outgoing, incoming)
    }
    flat = [np.einsum("tkc,tkc->tk", means[id(one)], means[id(other)]) / 3 for one, other in pairs]
    fine = (both - mean for both, mean in zip(raw, flat, strict=True))
    return BlockProducts(*raw), BlockProducts(*fine)


@dataclass(frozen=True)
class WeightEstimates:
    """Estimates of w for each block and frame, and their variance through noise, ``(T, K)``."""

    value: Array
    noise: Array


def estimates(
    whole: BlockProducts, fine: BlockProducts, pixels: int
) -> tuple[WeightEstimates, WeightEstimates, WeightEstimates]:
    """Estimate w by three regressions of each block of a mixture M on two clean frames A and B.

    whole, fine: as of :func:`products`; pixels: how many a block has.

    1. ``M - A = w (B - A)``: best where both stand still.
    2. and 3. ``M = (1 - w) A + v B + offset`` with w and v free: where only A stands still, w is
       right whatever B does; where only B stands still, v is.
    """
    independent = pixels / CORRELATED * 3
    power = whole.step()
    both = np.asarray((whole.bm - whole.am - whole.ab + whole.aa) / (power + NOISE), np.float32)
    both_noise = np.asarray(
        (whole.residual_power(both) + NOISE) / (power + 1e-9) / independent, np.float32
    )
    aa, bb, ab = fine.aa + FINE_NOISE, fine.bb + FINE_NOISE, fine.ab
    determinant = np.maximum(aa * bb - ab * ab, 1e-12)
    kept = (bb * fine.am - ab * fine.bm) / determinant
    come = (aa * fine.bm - ab * fine.am) / determinant
    rest = np.maximum(fine.mm - kept * fine.am - come * fine.bm, 0) + NOISE
    noise = rest * 2 / independent / determinant
    kept_noise, come_noise = (np.asarray(noise * part, np.float32) for part in (bb, aa))
    return (
        WeightEstimates(both, both_noise),
        WeightEstimates(1 - kept, kept_noise),
        WeightEstimates(come, come_noise),
    )


def drift(errors: Array, frames: int) -> Array:
    """Return the variance of each block's estimates 1, 2, ... ``frames`` away from a clean frame.

    errors: ``(n, K)``, errors of the estimates in the clean frames 1, 2, ... n frames away from it
    on its other side. Returns ``(frames, K)``.
    """
    reach = np.arange(1, frames + 1, dtype=np.float32)[:, None] ** DRIFT_GROWTH
    if not len(errors):
        return np.asarray(UNKNOWN_DRIFT * reach * np.ones(errors.shape[1]), np.float32)
    known = np.arange(1, len(errors) + 1, dtype=np.float32)[:, None] ** DRIFT_GROWTH
    rate = (errors**2 / known).mean(0)
    mixed = OWN_DRIFT * rate + MEDIAN_DRIFT * np.median(rate) + LEAST_DRIFT
    return np.asarray(mixed * reach, np.float32)


def agreement(
    values: Array, fixed: Array, out_drift: Array, in_drift: Array
) -> tuple[Curve, Curve]:
    """Return the curve on which the estimates agree and its standard error, both ``(T,)``.

    values: the estimates. fixed: their variance through noise. out_drift, in_drift: their variance
    through motion in the outgoing and the incoming shot. All are ``(T, K)``. The curve is the
    location of Student's t distributions of two degrees of freedom.
    """
    curve = even_mix(len(values))
    weight = np.ones_like(values)
    for _ in range(AGREEMENT_ROUNDS):
        w = curve[:, None].astype(np.float32)
        variance = fixed + (1 - w) ** 2 * out_drift + w**2 * in_drift + LEAST_VARIANCE
        robust = (STUDENT_FREEDOM + 1) / (STUDENT_FREEDOM + (values - w) ** 2 / variance)
        weight = robust / variance
        curve = np.clip(
            (weight * values).sum(1, dtype=np.float64) / weight.sum(1, dtype=np.float64), 0, 1
        )
    return curve, 1 / np.sqrt(weight.sum(1, dtype=np.float64))


def block_frames(frames: Array) -> Array:
    """Cut frames ``(T, H, W, 3)`` into blocks ``(T, K, N, 3)``; sides are stretched to fit."""
    height = ROWS * max(1, round(frames.shape[1] / ROWS))
    width = COLUMNS * max(1, round(frames.shape[2] / COLUMNS))
    return np.ascontiguousarray(
        blocked(resized(frames, height, width, how=cv2.INTER_LINEAR), ROWS, COLUMNS)
    )


def measure(
    frames: Array,
    sides: tuple[int, int],
    reach: tuple[int, int],
    layers: WarpedSides | None = None,
) -> MeasuredWeights:
    """Measure the weights of the frames strictly between two clean ones.

    frames: ``(T, H, W, 3)``.
    sides: ``before``, a clean frame of the outgoing shot, and ``after``, one of the incoming shot.
    reach: ``low`` and ``high``: more clean frames lie in ``low..before`` and ``after..high``.
    layers: the two clean frames carried by motion; taken as standing still where not given.
    """
    before, after = sides
    low, high = max(reach[0], before - CLEAN_FRAMES), min(reach[1], after + CLEAN_FRAMES)
    mixed = block_frames(frames[low : high + 1])
    times = range(low, high + 1)
    if layers is None:
        outgoing, incoming = (
            np.broadcast_to(mixed[place - low], mixed.shape) for place in (before, after)
        )
    else:
        outgoing = block_frames(
            np.stack([layers.outgoing_at(min(time, after - 1)) for time in times])
        )
        incoming = block_frames(
            np.stack([layers.incoming_at(max(time, before + 1)) for time in times])
        )
    whole, fine = products(mixed, outgoing, incoming)
    parts = _Parts(
        slice(0, before - low), slice(before - low + 1, after - low), slice(after - low + 1, None)
    )
    curve, error = agreement(*_estimates_with_drift(whole, fine, mixed.shape[2], parts))
    unexplained, texture = _unexplained_and_texture(
        whole.only(parts.inside), fine.only(parts.inside), curve
    )
    restless = _restlessness(whole, parts)
    return MeasuredWeights(before, after, curve, error, unexplained, texture, restless)


class _Parts(NamedTuple):
    """The clean frames before a transition, its mixed frames, and the clean ones behind it."""

    early: slice
    inside: slice
    late: slice


def _estimates_with_drift(
    whole: BlockProducts, fine: BlockProducts, pixels: int, parts: _Parts
) -> Sequence[Array]:
    """Return what :func:`agreement` takes: estimates and their variances, ``(T, 3 K)`` each.

    Arguments as of :func:`estimates`.
    """
    values, fixed, out_drifts, in_drifts = [], [], [], []
    for number, estimate in enumerate(estimates(whole, fine, pixels)):
        value = estimate.value[parts.inside]
        out_error, in_error = estimate.value[parts.early][::-1], estimate.value[parts.late] - 1
        # The second estimate does not depend on the incoming side nor the third on the outgoing.
        out_drifts.append(drift(out_error * np.float32(number != 2), len(value)))
        in_drifts.append(drift(in_error * np.float32(number != 1), len(value))[::-1])
        values.append(value)
        fixed.append(estimate.noise[parts.inside])
    return [np.concatenate(part, axis=1) for part in (values, fixed, out_drifts, in_drifts)]


def _restlessness(whole: BlockProducts, parts: _Parts) -> float:
    """Return ``restless`` of :class:`MeasuredWeights`, 0 where there are no clean frames."""
    clean = np.concatenate(
        [
            whole.only(parts.early).residual_power(np.float32(0))[-NEAREST:],
            whole.only(parts.late).residual_power(np.float32(1))[:NEAREST],
        ]
    )
    if not len(clean):
        return 0.0
    change = max(float(whole.step()[parts.inside].mean()), 1e-5)
    return float(np.sqrt(np.median(clean, axis=1) / change).mean())


def _unexplained_and_texture(
    whole: BlockProducts, fine: BlockProducts, curve: Curve
) -> tuple[Curve, float]:
    """Return ``unexplained`` and ``texture`` of :class:`MeasuredWeights` for weights ``(T,)``."""
    weight = curve[:, None].astype(np.float32)
    # The median block, not the mean: agreement() ignores a minority of blocks that move.
    unexplained = np.median(whole.residual_power(weight), axis=1) / np.maximum(
        whole.step().mean(1), 1e-5
    )
    middle = slice(len(curve) // 4, max(len(curve) * 3 // 4, len(curve) // 4 + 1))
    texture = float(
        fine.residual_power(weight)[middle].mean() / max(float(fine.step()[middle].mean()), 1e-5)
    )
    return np.sqrt(unexplained, dtype=np.float64), float(np.sqrt(texture))
