"""The course of a fit's losses, kept short: some tens of points each, for any number of steps.

A trace is filled through the callbacks that report progress, so the fits do not know it. Its values
are plain lists and mappings, which a checkpoint can hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Curve = list[list[float]]
"""Points ``[progress, value]``, with the progress rising from 0 to 1 over the whole fit."""

Curves = dict[str, dict[str, Curve]]
"""Curves by stage, then by the name of the loss."""

MOST_POINTS = 60
"""Most points of a curve while it is recorded."""

PROGRESS_DECIMALS = 5
"""Decimal places that are kept of the progress."""


class Trace:
    """Records losses as they come.

    A full curve drops every second point, and takes only every second of those that follow.

    most: points of a curve.
    """

    def __init__(self, most: int = MOST_POINTS) -> None:
        self.most = most
        self._points: dict[tuple[str, str], Curve] = {}
        self._stride: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self._last: dict[tuple[str, str], list[float]] = {}

    def add(self, stage: str, progress: float, losses: Mapping[str, float]) -> None:
        """Record ``losses`` by name at ``progress``. Values that are not finite are left out."""
        for name, value in losses.items():
            if not math.isfinite(value):
                continue
            key = stage, name
            points = self._points.setdefault(key, [])
            seen = self._seen.get(key, 0)
            point = [round(progress, PROGRESS_DECIMALS), float(f"{value:.5g}")]
            if seen % self._stride.setdefault(key, 1) == 0:
                points.append(point)
                if len(points) > self.most:
                    del points[1::2]
                    self._stride[key] *= 2
            self._seen[key] = seen + 1
            self._last[key] = point

    def curves(self) -> Curves:
        """Return all that was recorded, with the last point of every curve."""
        recorded: Curves = {}
        for (stage, name), points in self._points.items():
            last = self._last[stage, name]
            tail = [list(last)] if points[-1] != last else []
            recorded.setdefault(stage, {})[name] = [list(point) for point in points] + tail
        return recorded


def joined(
    one: Mapping[str, Mapping[str, Curve]], other: Mapping[str, Mapping[str, Curve]]
) -> Curves:
    """Return the curves of ``one`` followed by those of ``other``."""
    all_curves: Curves = {
        stage: {name: list(curve) for name, curve in curves.items()}
        for stage, curves in one.items()
    }
    for stage, curves in other.items():
        for name, curve in curves.items():
            all_curves.setdefault(stage, {}).setdefault(name, []).extend(curve)
    return all_curves


def placed(curves: Mapping[str, Mapping[str, Curve]], begin: float, end: float) -> Curves:
    """Return a fit's curves with the progress that they have in a longer fit.

    begin, end: the part of the longer fit that this one is, in [0, 1].
    """

    def moved(progress: float) -> float:
        return round(begin + (end - begin) * progress, PROGRESS_DECIMALS)

    return {
        stage: {
            name: [[moved(progress), value] for progress, value in curve]
            for name, curve in by_name.items()
        }
        for stage, by_name in curves.items()
    }


def thinned(curves: Mapping[str, Mapping[str, Curve]], most: int = 4 * MOST_POINTS) -> Curves:
    """Return the curves with at most ``most`` points each, the first and the last among them."""

    def thin(curve: Curve) -> Curve:
        if len(curve) <= most:
            return curve
        return [curve[round(place * (len(curve) - 1) / (most - 1))] for place in range(most)]

    return {
        stage: {name: thin(curve) for name, curve in by_name.items()}
        for stage, by_name in curves.items()
    }
