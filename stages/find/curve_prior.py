"""From measured weights to a transition's exact ends and its curve.

Measured weights have two errors: one that each frame has for itself, and one that neighbouring
frames share, because what moves in a shot moves for many frames. Together they are Gaussian with
covariance ``C``. The ends are those that make the measurement most probable. The curve is the mean
of a Gaussian process given the measurement; the process has a rising curve of a fixed family as
its prior mean, from which it may stray. Where little moves, the measurement rules; where nearly
everything moves, the prior fills in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.find.curve import Curve, MeasuredWeights, even_mix

Matrix = npt.NDArray[np.float64]

BENDS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0)  # parameters of the incomplete beta functions
FAMILY_PLACES = 1001  # places at which the family's curves are tabulated
# Error that neighbours share, as part of what is unexplained; fitted on synthetic clips.
SHARED = 0.42
OWN = 0.0015  # rounding and coding, as an error of a weight
STRAY = 0.002  # how far single weights stray from any smooth curve
OUTLIER = 4.0  # standard errors beyond which a weight says no more against a curve
# Mean squares of the second derivative by which a curve may stray from its prior mean.
LOOSENESS = (0.02, 0.3, 3.0)
LOOSENESS_PENALTY = 0.15  # log probability lost for each e-fold more looseness
SHORTEST_CORRELATION = 3.0  # frames over which the shared error is correlated at least
EARLY, LATE = 0.35, 0.65  # the weights between which no end lies
RISE = 1e-3  # part of the curve that is a plain ramp, so that it rises strictly


def rising_family() -> tuple[Curve, Matrix, Curve]:
    """Return a table of rising curves on 0 to 1 and their prior.

    Returns the places ``(P,)``, the values ``(S, P)``, and the log prior of each curve ``(S,)``.
    The curves are the incomplete beta functions ``I_x(a, b)``: (1, 1) is linear, (2, 1) a square,
    (1, 2) its mirror image, (2, 2) the usual ease, (3, 3) the smoother one. Linear is the most
    usual; the one-sided and the symmetric ones come next.
    """
    places = np.linspace(0, 1, FAMILY_PLACES)
    middle = (places[1:] + places[:-1]) / 2
    values, log_prior = [], []
    for a in BENDS:
        for b in BENDS:
            total = np.concatenate([[0.0], np.cumsum(middle ** (a - 1) * (1 - middle) ** (b - 1))])
            values.append(total / total[-1])
            log_prior.append(-float(a != 1) - float(b != 1) + float(a == b or min(a, b) == 1))
    return places, np.array(values), np.array(log_prior)


PLACES, FAMILY, LOG_PRIOR = rising_family()


def family(start: float, end: float, times: Curve) -> Matrix:
    """Return all curves of the family that leave 0 at ``start`` and reach 1 at ``end``.

    times: ``(T,)``, where they are evaluated. Returns ``(S, T)``.
    """
    at = np.clip((times - start) / (end - start), 0, 1) * (len(PLACES) - 1)
    lower = np.minimum(at.astype(int), len(PLACES) - 2)
    part = at - lower
    return np.asarray(FAMILY[:, lower] * (1 - part) + FAMILY[:, lower + 1] * part)


def covariance(measured: MeasuredWeights, length: float) -> Matrix:
    """Return the covariance ``C`` of the measured weights, ``(T, T)``.

    It is the sum of each frame's own error and of the one that is shared by frames up to about a
    third of the transition's ``length`` apart.
    """
    times = np.arange(len(measured.curve))
    shared = SHARED * measured.unexplained
    reach = max(SHORTEST_CORRELATION, length / 3)
    together = np.exp(-np.abs(times[:, None] - times) / reach)
    return np.asarray(np.outer(shared, shared) * together + np.diag(measured.error**2 + OWN**2))


def ends(measured: MeasuredWeights, robust: bool = False) -> tuple[int, int]:
    """Return the clean frames next to the transition that make the measurement most probable.

    These are the last one of the outgoing shot and the first one of the incoming shot.

    robust: single weights may be arbitrarily wrong; no frame then speaks against a curve more than
    :data:`OUTLIER` standard errors would.
    """
    count = len(measured.curve)
    times = np.arange(1, count + 1, dtype=np.float64)
    length = float(np.sum((measured.curve > 0.1) & (measured.curve < 0.9)) / 0.8 + 2)
    factor = np.linalg.cholesky(covariance(measured, length) + STRAY**2 * np.eye(count))
    whitened = np.linalg.solve(factor, measured.curve)
    latest_start, earliest_end = count - 1, 0
    if (measured.curve > EARLY).any():
        latest_start = int(np.argmax(measured.curve > EARLY))
    if (measured.curve < LATE).any():
        earliest_end = count - 1 - int(np.argmax(measured.curve[::-1] < LATE))
    best, likeliest = -np.inf, (0, count + 1)
    white = np.linalg.inv(factor)
    for start in range(0, max(latest_start, 0) + 1):
        for end in range(min(earliest_end + 2, count + 1), count + 2):
            if end - start < 2:
                continue
            errors = (whitened - family(start, end, times) @ white.T) ** 2
            if robust:
                errors = errors / (1 + errors / OUTLIER**2)
            log_probability = float((LOG_PRIOR - 0.5 * errors.sum(1)).max())
            if log_probability > best:
                best, likeliest = log_probability, (start, end)
    return measured.before + likeliest[0], measured.before + likeliest[1]


def smooth_curve(measured: MeasuredWeights) -> Curve:
    """Return the curve between exact ends, ``(T,)``.

    It rises strictly inside (0, 1) and is as near to the measured weights as their errors ask for.
    """
    count = len(measured.curve)
    bends = np.zeros((count, count + 2))
    for row in range(count):
        bends[row, row : row + 3] = 1, -2, 1
    smooth = np.linalg.inv(bends[:, 1:-1].T @ bends[:, 1:-1]) / (count + 1) ** 3
    error = covariance(measured, count + 1)
    means = family(0, count + 1, np.arange(1, count + 1, dtype=np.float64)).T
    away = measured.curve[:, None] - means
    logs, curves = [], []
    for loose in LOOSENESS:
        prior = loose * smooth + STRAY**2 * np.eye(count)
        factor = np.linalg.cholesky(prior + error)
        white = np.linalg.solve(factor, away)
        logs.append(
            LOG_PRIOR
            - 0.5 * (white**2).sum(0)
            - np.log(np.diag(factor)).sum()
            - LOOSENESS_PENALTY * np.log(loose / LOOSENESS[0])
        )
        curves.append(means + prior @ np.linalg.solve(factor.T, white))
    log = np.concatenate(logs)
    weight = np.exp(log - log.max())
    return rising(np.concatenate(curves, axis=1) @ (weight / weight.sum()))


def rising(curve: Curve) -> Curve:
    """Return the nearest curve that rises strictly inside (0, 1), by pool adjacent violators."""
    pools: list[tuple[float, int]] = []
    for value in curve:
        mean, size = float(value), 1
        while pools and pools[-1][0] >= mean:
            other, more = pools.pop()
            mean = (mean * size + other * more) / (size + more)
            size += more
        pools.append((mean, size))
    flat = np.concatenate([np.full(size, mean) for mean, size in pools])
    return np.asarray(np.clip(flat, 0, 1) * (1 - RISE) + even_mix(len(flat)) * RISE)
