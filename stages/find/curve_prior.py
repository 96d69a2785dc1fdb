"""From measured weights to a transition's exact ends and its curve.

Measured weights have two errors: one of each frame's own, and one that neighbouring frames share, because what moves in a shot moves for
many frames. Together they are a Gaussian with covariance ``C``. The ends are those that make the measurement most probable; the curve is
the mean of a Gaussian process given the measurement, whose prior mean is one of a family of rising curves and which may stray from it.
Where little moves the measurement rules; where nearly everything does, the prior fills in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.find.curve import Curve, Measured

Matrix = npt.NDArray[np.float64]

BENDS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
SHARED = 0.42  # part of what is unexplained that goes into the shared error of the weights
OWN = 0.0015  # rounding and coding, as an error of a weight
STRAY = 0.002  # how far single weights stray from any smooth curve
OUTLIER = 4.0
LOOSE = (
    0.02,
    0.3,
    3.0,
)  # mean squares of the second derivative by which a curve may stray from its prior mean


def rising_family() -> tuple[Curve, Matrix, Curve]:
    """Curves on 0 to 1 as a table: places ``(P,)``, values ``(S, P)``, and how much each is favoured beforehand, log ``(S,)``.

    The incomplete beta functions ``I_x(a, b)``: (1, 1) is linear, (2, 1) a square, (1, 2) its mirror, (2, 2) the usual ease, (3, 3) the
    smoother one. Linear is the most usual; the one-sided and the symmetric come next.
    """
    places = np.linspace(0, 1, 1001)
    middle = (places[1:] + places[:-1]) / 2
    values, favour = [], []
    for a in BENDS:
        for b in BENDS:
            total = np.concatenate([[0.0], np.cumsum(middle ** (a - 1) * (1 - middle) ** (b - 1))])
            values.append(total / total[-1])
            favour.append(-float(a != 1) - float(b != 1) + float(a == b or min(a, b) == 1))
    return places, np.array(values), np.array(favour)


PLACES, FAMILY, FAVOUR = rising_family()


def family(start: float, end: float, times: Curve) -> Matrix:
    """All curves of the family that leave 0 at ``start`` and reach 1 at ``end``, at ``times`` ``(T,)``: ``(S, T)``."""
    at = np.clip((times - start) / (end - start), 0, 1) * (len(PLACES) - 1)
    left = np.minimum(at.astype(int), len(PLACES) - 2)
    part = at - left
    return np.asarray(FAMILY[:, left] * (1 - part) + FAMILY[:, left + 1] * part)


def covariance(measured: Measured, length: float) -> Matrix:
    """``C``, ``(T, T)``: each frame's own error and the one shared by frames about a third of the transition's ``length`` apart."""
    times = np.arange(len(measured.curve))
    shared = SHARED * measured.unexplained
    together = np.exp(-np.abs(times[:, None] - times) / max(3.0, length / 3))
    return np.asarray(np.outer(shared, shared) * together + np.diag(measured.error**2 + OWN**2))


def ends(measured: Measured, robust: bool = False) -> tuple[int, int]:
    """The last clean frame of the outgoing shot and the first of the incoming one that make the measured weights most probable.

    robust: single weights may be anything; no frame then speaks against a curve more than :data:`OUTLIER` standard errors would.
    """
    count = len(measured.curve)
    times = np.arange(1, count + 1, dtype=np.float64)
    length = float(np.sum((measured.curve > 0.1) & (measured.curve < 0.9)) / 0.8 + 2)
    factor = np.linalg.cholesky(covariance(measured, length) + STRAY**2 * np.eye(count))
    whitened = np.linalg.solve(factor, measured.curve)
    low = int(np.argmax(measured.curve > 0.35)) if (measured.curve > 0.35).any() else count - 1
    high = (
        count - 1 - int(np.argmax(measured.curve[::-1] < 0.65))
        if (measured.curve < 0.65).any()
        else 0
    )
    best, answer = -np.inf, (0, count + 1)
    white = np.linalg.inv(factor)
    for start in range(0, max(low, 0) + 1):
        for end in range(min(high + 2, count + 1), count + 2):
            if end - start < 2:
                continue
            wrong = (whitened - family(start, end, times) @ white.T) ** 2
            if robust:
                wrong = wrong / (1 + wrong / OUTLIER**2)
            value = float((FAVOUR - 0.5 * wrong.sum(1)).max())
            if value > best:
                best, answer = value, (start, end)
    return measured.before + answer[0], measured.before + answer[1]


def shaped(measured: Measured) -> Curve:
    """The curve between exact ends: rising, strictly inside (0, 1), as near to the measured weights as their errors ask for."""
    count = len(measured.curve)
    bends = np.zeros((count, count + 2))
    for row in range(count):
        bends[row, row : row + 3] = 1, -2, 1
    smooth = np.linalg.inv(bends[:, 1:-1].T @ bends[:, 1:-1]) / (count + 1) ** 3
    error = covariance(measured, count + 1)
    means = family(0, count + 1, np.arange(1, count + 1, dtype=np.float64)).T
    away = measured.curve[:, None] - means
    logs, curves = [], []
    for loose in LOOSE:
        prior = loose * smooth + STRAY**2 * np.eye(count)
        factor = np.linalg.cholesky(prior + error)
        white = np.linalg.solve(factor, away)
        logs.append(
            FAVOUR
            - 0.5 * (white**2).sum(0)
            - np.log(np.diag(factor)).sum()
            - 0.15 * np.log(loose / LOOSE[0])
        )
        curves.append(means + prior @ np.linalg.solve(factor.T, white))
    log = np.concatenate(logs)
    weight = np.exp(log - log.max())
    return rising(np.concatenate(curves, axis=1) @ (weight / weight.sum()))


def rising(curve: Curve) -> Curve:
    """The nearest curve that does not fall (pool adjacent violators), made strictly rising inside (0, 1)."""
    pools: list[tuple[float, int]] = []
    for value in curve:
        mean, size = float(value), 1
        while pools and pools[-1][0] >= mean:
            other, more = pools.pop()
            mean, size = (mean * size + other * more) / (size + more), size + more
        pools.append((mean, size))
    flat = np.concatenate([np.full(size, mean) for mean, size in pools])
    count = len(flat)
    ramp = np.arange(1, count + 1) / (count + 1)
    return np.asarray(np.clip(flat, 0, 1) * (1 - 1e-3) + ramp * 1e-3)
