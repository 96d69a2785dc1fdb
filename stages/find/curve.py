"""The weights of a mixture's frames, measured block by block against the clean frames on both sides.

In a mixture ``M = (1 - w) A + w B`` every block that stands still in A and B tells the same w; blocks in which something moves
each tell another lie. So each block is asked three times (below), how much each answer drifts is learned from the clean frames,
and w is the value that the answers agree on. Axes: T frames, K blocks, N pixels of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.find.features import Array, blocked, resized
from stages.find.track import Layers

Curve = npt.NDArray[np.float64]

ROWS, COLUMNS = 6, 8
CLEAN_FRAMES = 12
NOISE = 2e-5  # variance of coding noise in a small frame
CORRELATED = 12  # neighbouring pixels err alike: so many of them count as one
DRIFT_GROWTH = 1.5  # variance of an answer grows with the distance in time to this power: between a random walk and a steady motion
AGREEMENT_ROUNDS = 12
NEAREST = 10


@dataclass(frozen=True)
class Measured:
    """Weights of the frames between two clean ones, with two kinds of error for each, all ``(T,)``.

    error: standard error that differs from frame to frame. unexplained: the share of the picture's change that no weight explains, as an
    amplitude (root of a share of energy): things that moved, which pull the weights of neighbouring frames the same way.
    texture: the same for structure within blocks alone, and the mean over blocks and over the middle of the transition.
    restless: the same for the clean frames on both sides, mean over the nearest of them.
    """

    before: int
    after: int
    curve: Curve
    error: Curve
    unexplained: Curve
    texture: float = 0.0
    restless: float = 0.0


@dataclass(frozen=True)
class Products:
    """Mean products of the pixels of two clean frames a, b and a mixture m within each block, ``(T, K)``: all that the regressions need."""

    aa: Array
    bb: Array
    ab: Array
    am: Array
    bm: Array
    mm: Array

    def left(self, weight: Array | np.float32) -> Array:
        """Mean square of ``m - (1 - weight) a - weight b``."""
        other = 1 - weight
        cross = weight * self.bm + other * self.am - weight * other * self.ab
        return np.asarray(
            np.maximum(self.mm + weight**2 * self.bb + other**2 * self.aa - 2 * cross, 0),
            np.float32,
        )

    def step(self) -> Array:
        """Mean square of ``b - a``."""
        return np.asarray(np.maximum(self.aa + self.bb - 2 * self.ab, 0), np.float32)

    def only(self, times: slice) -> Products:
        """The same for some of the frames."""
        return Products(
            *(part[times] for part in (self.aa, self.bb, self.ab, self.am, self.bm, self.mm))
        )


def products(mixed: Array, outgoing: Array, incoming: Array) -> tuple[Products, Products]:
    """Products of blocks ``(T, K, N, 3)``, as they are and with each block's mean colours taken away."""
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
    return Products(*raw), Products(*(both - mean for both, mean in zip(raw, flat, strict=True)))


@dataclass(frozen=True)
class Answers:
    """What each block says about w in each frame, ``(T, K)``, with the variance that noise alone would give it."""

    value: Array
    noise: Array


def ask(whole: Products, fine: Products, pixels: int) -> tuple[Answers, Answers, Answers]:
    """Three regressions of each block of a mixture M on two clean frames A and B.

    whole, fine: as of :func:`products`; pixels: how many a block has.

    1. ``M - A = w (B - A)``: best where both stand still.
    2. and 3. ``M = (1 - w) A + v B + offset`` with w and v free: where only A stands still, w is right whatever B does, and the reverse.
    """
    independent = pixels / CORRELATED * 3
    power = whole.step()
    both = np.asarray((whole.bm - whole.am - whole.ab + whole.aa) / (power + NOISE), np.float32)
    both_noise = np.asarray((whole.left(both) + NOISE) / (power + 1e-9) / independent, np.float32)
    aa, bb, ab = fine.aa + 5 * NOISE, fine.bb + 5 * NOISE, fine.ab
    determinant = np.maximum(aa * bb - ab * ab, 1e-12)
    kept, come = (
        (bb * fine.am - ab * fine.bm) / determinant,
        (aa * fine.bm - ab * fine.am) / determinant,
    )
    left = (
        (np.maximum(fine.mm - kept * fine.am - come * fine.bm, 0) + NOISE)
        * 2
        / independent
        / determinant
    )
    kept_noise, come_noise = (np.asarray(left * part, np.float32) for part in (bb, aa))
    return Answers(both, both_noise), Answers(1 - kept, kept_noise), Answers(come, come_noise)


def drift(errors: Array, frames: int) -> Array:
    """Variance ``(frames, K)`` of each block's answers 1, 2, ... frames away from a clean frame.

    errors: ``(n, K)``, wrong answers of the clean frames 1, 2, ... n frames away from it on its other side.
    """
    reach = np.arange(1, frames + 1, dtype=np.float32)[:, None] ** DRIFT_GROWTH
    if not len(errors):
        return np.asarray(1e-4 * reach * np.ones(errors.shape[1]), np.float32)
    known = np.arange(1, len(errors) + 1, dtype=np.float32)[:, None] ** DRIFT_GROWTH
    rate = (errors**2 / known).mean(0)
    return np.asarray((0.8 * rate + 0.2 * np.median(rate) + 1e-5) * reach, np.float32)


def agreement(
    values: Array, fixed: Array, out_drift: Array, in_drift: Array
) -> tuple[Curve, Curve]:
    """The curve ``(T,)`` on which the answers ``(T, K)`` agree, with its standard error: a Student-t location of two degrees of freedom."""
    count = len(values)
    curve: Curve = np.arange(1, count + 1) / (count + 1)
    weight = np.ones_like(values)
    for _ in range(AGREEMENT_ROUNDS):
        w = curve[:, None].astype(np.float32)
        variance = fixed + (1 - w) ** 2 * out_drift + w**2 * in_drift + 1e-6
        weight = 3 / (2 + (values - w) ** 2 / variance) / variance
        curve = np.clip(
            (weight * values).sum(1, dtype=np.float64) / weight.sum(1, dtype=np.float64), 0, 1
        )
    return curve, 1 / np.sqrt(weight.sum(1, dtype=np.float64))


def block_frames(frames: Array) -> Array:
    """Frames ``(T, H, W, 3)`` as ``(T, K, N, 3)`` blocks; sides are stretched to whole blocks."""
    height = ROWS * max(1, round(frames.shape[1] / ROWS))
    width = COLUMNS * max(1, round(frames.shape[2] / COLUMNS))
    return np.ascontiguousarray(
        blocked(resized(frames, height, width, how=cv2.INTER_LINEAR), ROWS, COLUMNS)
    )


def measure(
    frames: Array, before: int, after: int, low: int, high: int, layers: Layers | None = None
) -> Measured:
    """Weights of the frames strictly between ``before`` and ``after``.

    frames: ``(T, H, W, 3)``, all that may be looked at; ``before`` is a clean frame of the outgoing shot and ``after`` one of the incoming;
    more clean frames lie in ``low..before`` and ``after..high``. layers: those two frames carried by motion; held where not given.
    """
    low, high = max(low, before - CLEAN_FRAMES), min(high, after + CLEAN_FRAMES)
    pieces = block_frames(frames[low : high + 1])
    if layers is None:
        outgoing, incoming = (
            np.broadcast_to(pieces[place - low], pieces.shape) for place in (before, after)
        )
    else:
        times = range(low, high + 1)
        outgoing = block_frames(
            np.stack([layers.outgoing_at(min(time, after - 1)) for time in times])
        )
        incoming = block_frames(
            np.stack([layers.incoming_at(max(time, before + 1)) for time in times])
        )
    whole, fine = products(pieces, outgoing, incoming)
    count = after - before - 1
    inside, early, late = (
        slice(before - low + 1, after - low),
        slice(0, before - low),
        slice(after - low + 1, None),
    )
    values, fixed, out_drifts, in_drifts = [], [], [], []
    for number, answer in enumerate(ask(whole, fine, pieces.shape[2])):
        out_error, in_error = answer.value[early][::-1], answer.value[late] - 1
        # The second answer does not depend on the incoming side nor the third on the outgoing one.
        out_drifts.append(drift(out_error * np.float32(number != 2), count))
        in_drifts.append(drift(in_error * np.float32(number != 1), count)[::-1])
        values.append(answer.value[inside])
        fixed.append(answer.noise[inside])
    curve, error = agreement(
        *(np.concatenate(part, axis=1) for part in (values, fixed, out_drifts, in_drifts))
    )
    clean = np.concatenate(
        [
            whole.only(early).left(np.float32(0))[-NEAREST:],
            whole.only(late).left(np.float32(1))[:NEAREST],
        ]
    )
    restless = (
        float(
            np.sqrt(np.median(clean, axis=1) / max(float(whole.step()[inside].mean()), 1e-5)).mean()
        )
        if len(clean)
        else 0.0
    )
    return Measured(
        before, after, curve, error, *misfit(whole.only(inside), fine.only(inside), curve), restless
    )


def misfit(whole: Products, fine: Products, curve: Curve) -> tuple[Curve, float]:
    """``unexplained`` and ``texture`` of :class:`Measured` for weights ``(T,)``."""
    weight = curve[:, None].astype(np.float32)
    # The median block, not the mean: agreement() already leaves out a minority of blocks in which something moves.
    share = np.median(whole.left(weight), axis=1) / np.maximum(whole.step().mean(1), 1e-5)
    middle = slice(len(curve) // 4, max(len(curve) * 3 // 4, len(curve) // 4 + 1))
    texture = float(fine.left(weight)[middle].mean() / max(float(fine.step()[middle].mean()), 1e-5))
    return np.sqrt(share, dtype=np.float64), float(np.sqrt(texture))
