"""What a fit's losses did while it went on, kept short: some tens of points for each, whatever the number of steps.

A trace hangs on the callbacks that progress leaves the loops by, so that the loops know nothing of it. Its values are plain lists and
mappings, which a checkpoint keeps as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Curve = list[list[float]]
"""Points ``[progress, value]``, progress from 0 to 1 over the whole fit, rising."""
Curves = dict[str, dict[str, Curve]]
"""By stage, then by the loss's name."""

MOST = 60


class Trace:
    """Takes losses as they come. A curve that is full gives up every second point and takes only every second of those that follow."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._points: dict[tuple[str, str], Curve] = {}
        self._stride: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self._last: dict[tuple[str, str], list[float]] = {}

    def add(self, stage: str, progress: float, losses: Mapping[str, float]) -> None:
        """Takes note of ``losses`` by name at ``progress``. What is no number is left out."""
        for name, value in losses.items():
            if not math.isfinite(value):
                continue
            key = stage, name
            points, seen = self._points.setdefault(key, []), self._seen.get(key, 0)
            point = [round(progress, 5), float(f"{value:.5g}")]
            if seen % self._stride.setdefault(key, 1) == 0:
                points.append(point)
                if len(points) > self.most:
                    del points[1::2]
                    self._stride[key] *= 2
            self._seen[key], self._last[key] = seen + 1, point

    def curves(self) -> Curves:
        """All that was noted, the last point of every curve included."""
        made: Curves = {}
        for (stage, name), points in self._points.items():
            last = self._last[stage, name]
            made.setdefault(stage, {})[name] = [list(point) for point in points] + (
                [list(last)] if points[-1] != last else []
            )
        return made


def joined(
    one: Mapping[str, Mapping[str, Curve]], other: Mapping[str, Mapping[str, Curve]]
) -> Curves:
    """``one`` gone on by ``other``."""
    made: Curves = {
        stage: {name: list(curve) for name, curve in curves.items()}
        for stage, curves in one.items()
    }
    for stage, curves in other.items():
        for name, curve in curves.items():
            made.setdefault(stage, {}).setdefault(name, []).extend(curve)
    return made


def placed(curves: Mapping[str, Mapping[str, Curve]], begin: float, end: float) -> Curves:
    """The same for a fit that is the part from ``begin`` to ``end`` of a longer one."""
    return {
        stage: {
            name: [[round(begin + (end - begin) * at, 5), value] for at, value in curve]
            for name, curve in by_name.items()
        }
        for stage, by_name in curves.items()
    }


def thinned(curves: Mapping[str, Mapping[str, Curve]], most: int = 4 * MOST) -> Curves:
    """The same with at most ``most`` points a curve, the first and the last among them."""

    def thin(curve: Curve) -> Curve:
        if len(curve) <= most:
            return curve
        return [curve[round(place * (len(curve) - 1) / (most - 1))] for place in range(most)]

    return {
        stage: {name: thin(curve) for name, curve in by_name.items()}
        for stage, by_name in curves.items()
    }
