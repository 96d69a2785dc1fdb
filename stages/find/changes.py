"""How much is new in each frame of a stretch, and where the run of large changes begins and ends.

A change is 1 - NCC of a frame with the one before it, from 0 (nothing is new) to 1. Changes are
given by the number of the later frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.find.curve import Curve

QUIET = 0.004  # change below which nothing happens
SIDE = 12  # frames that are looked at on each side of a window


def burst_ratio(changes: dict[int, float], start: int, end: int) -> float:
    """Return the change in the frames ``start + 1..end``, divided by the change around them.

    It is 1 where there are none around them. Means are compared, not medians: where frames are
    repeated, every second change is zero.
    """
    near = {time: change for time, change in changes.items() if start - SIDE < time <= end + SIDE}
    inside = [change for time, change in near.items() if start < time <= end]
    outside = [change for time, change in near.items() if not start < time <= end]
    if not outside:
        return 1.0
    return float(np.mean(inside)) / max(float(np.mean(outside)), QUIET)


def change_ends(changes: dict[int, float], start: int, end: int) -> tuple[int, int]:
    """Return the first and last frame of the run of large changes between two clean frames.

    The changes to the frames ``first..last + 1`` belong to the transition, the others to the shots.
    The changes before, in and behind the run are taken to have one level each. The run whose levels
    explain the changes best is returned. The fit is by least squares of the logarithms of the
    changes, relative to how much each shot changes by itself. Inside the window this goes evenly
    from the outgoing shot's to the incoming shot's.
    """
    times = np.array(sorted(changes))
    logs = np.log(np.array([max(changes[int(time)], QUIET) for time in times]))
    sides = [logs[times <= start], logs[times > end]]
    levels = [float(np.median(side)) for side in sides if len(side)] or [float(logs.min())]
    sums = _PrefixSums.of(logs - np.interp(times, [start, end], [levels[0], levels[-1]]))
    middle, count = (start + end + 1) / 2, len(times)
    least_error, ends = np.inf, (start + 1, end - 1)
    for one in range(count):
        for other in range(one + 2, count + 1):
            outside = max(sums.mean(0, one), sums.mean(other, count))
            if sums.mean(one, other) <= outside or not times[one] <= middle <= times[other - 1]:
                continue
            error = sums.error(0, one) + sums.error(one, other) + sums.error(other, count)
            if error < least_error:
                least_error, ends = error, (int(times[one]), int(times[other - 1]) - 1)
    return ends


@dataclass(frozen=True)
class _PrefixSums:
    """Running sums of values and of their squares, with a zero in front."""

    total: Curve
    squares: Curve

    @staticmethod
    def of(values: Curve) -> _PrefixSums:
        return _PrefixSums(
            np.concatenate([[0.0], np.cumsum(values)]),
            np.concatenate([[0.0], np.cumsum(values**2)]),
        )

    def mean(self, one: int, other: int) -> float:
        """Return the mean of the values ``one..other - 1``, minus infinity where there are none."""
        if one == other:
            return -np.inf
        return float(self.total[other] - self.total[one]) / (other - one)

    def error(self, one: int, other: int) -> float:
        """Return the squared error of the values ``one..other - 1`` around their mean."""
        count = other - one
        if not count:
            return 0.0
        total = self.total[other] - self.total[one]
        return float(self.squares[other] - self.squares[one] - total**2 / count)
