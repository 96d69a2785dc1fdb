"""Prepare curves for the template: points in a box of 1000 by 100, labels in percent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.runtime.run_record import list_of
from stages.optim.loss_curves import Curves

WIDTH, HEIGHT = 1000, 100
"""The box of a plot, in SVG units."""

COLORS = 10
"""Colours that the style sheet has for curves."""

MAX_POINTS = 1500
"""Points of a curve over frames, about: more than a plot has pixels."""

MAX_DECADES = 8
"""Powers of ten on a logarithmic axis, at most."""

FRAME_LABELS, DECADE_LABELS = 6, 5
"""Labels of an axis of frames and of a logarithmic axis, at most."""

MAX_BANDS = 60
"""Stages that are drawn as bands, at most."""

MAX_FITS, MAX_STAGES, MAX_CURVES, MAX_CURVE_POINTS = 200, 20, 20, 5000
"""Entries that are read from ``losses.json``, at most: anybody may have changed it."""


@dataclass(frozen=True)
class PlotLine:
    """One curve.

    points: for ``<polyline>``.
    end: its last value, for the legend.
    """

    name: str
    color: int
    points: str
    end: str

    @property
    def is_dot(self) -> bool:
        """Whether all its points are in one place."""
        return len(set(self.points.split())) == 1


@dataclass(frozen=True)
class PlotLabel:
    """A label at a place on an axis, in percent.

    end: where the band that begins at ``at`` ends, in percent.
    """

    at: float
    label: str
    end: float = 0.0


@dataclass(frozen=True)
class Plot:
    """Curves with labels along both axes; bands are the stages of a fit."""

    lines: tuple[PlotLine, ...]
    across: tuple[PlotLabel, ...]
    up: tuple[PlotLabel, ...]
    bands: tuple[PlotLabel, ...] = ()


def frames_plot(values: Mapping[str, Sequence[float]], first: int, top: float = 1.0) -> Plot:
    """Return curves from 0 to ``top`` over frames.

    values: one value a frame, by the curve's name.
    first: number of the first frame. A value lies in the middle of its frame.
    """
    count = max(1, max((len(curve) for curve in values.values()), default=1))
    lines = []
    for number, (name, curve) in enumerate(values.items()):
        stride = max(1, len(curve) // MAX_POINTS)
        points = [
            (frame_middle(index, count), 1 - min(1.0, max(0.0, curve[index] / top)))
            for index in range(0, len(curve), stride)
        ]
        if len(points) == 1:
            points = [(0.0, points[0][1]), (1.0, points[0][1])]
        end = f"{curve[-1]:.{2 if top <= 1 else 0}f}" if curve else ""
        lines.append(PlotLine(name, number % COLORS, _points(points), end))
    stride = max(1, math.ceil(count / FRAME_LABELS))
    across = tuple(
        PlotLabel(round(100 * frame_middle(index, count), 2), str(first + index))
        for index in range(0, count, stride)
    )
    up = tuple(PlotLabel(100 - 100 * level, f"{level * top:g}") for level in (0, 0.5, 1))
    return Plot(tuple(lines), across, up)


def frame_middle(index: int, count: int) -> float:
    """Return where the middle of frame ``index`` of ``count`` lies, 0 to 1."""
    return (index + 0.5) / count


def losses_plot(curves: Curves) -> Plot | None:
    """Return losses over the fit's progress on a logarithmic axis, with its stages as bands.

    Returns ``None`` where no loss is above zero.
    """
    drawn = [
        (f"{stage}: {name}", [(at, value) for at, value in curve if value > 0])
        for stage, by_name in curves.items()
        for name, curve in by_name.items()
    ]
    drawn = [(name, points) for name, points in drawn if points]
    if not drawn:
        return None
    begin = min(0.0, min(points[0][0] for _, points in drawn))
    span = max(1e-9, max(points[-1][0] for _, points in drawn) - begin)
    low = math.floor(math.log10(min(value for _, points in drawn for _, value in points)))
    high = math.ceil(math.log10(max(value for _, points in drawn for _, value in points)))
    low, high = max(low, high - MAX_DECADES), max(high, low + 1)

    def level(value: float) -> float:
        """Return where a value lies below the top, 0 to 1."""
        return 1 - min(1.0, max(0.0, (math.log10(value) - low) / (high - low)))

    lines = []
    for number, (name, points) in enumerate(drawn):
        spots = [((at - begin) / span, level(value)) for at, value in points]
        if len(spots) == 1:
            spots = 2 * spots
        lines.append(PlotLine(name, number % COLORS, _points(spots), f"{points[-1][1]:.3g}"))
    stride = max(1, math.ceil((high - low) / DECADE_LABELS))
    up = tuple(
        PlotLabel(round(100 * level(10.0**power), 2), f"1e{power}" if power else "1")
        for power in range(low, high + 1, stride)
    )
    across = tuple(PlotLabel(part, f"{part} %") for part in (0, 25, 50, 75))
    return Plot(tuple(lines), across, up, _bands(curves, begin, span))


def _bands(curves: Curves, begin: float, span: float) -> tuple[PlotLabel, ...]:
    """Return the stages in the order of their points; a stage that returns has another band."""
    spots = sorted(
        (at, stage)
        for stage, by_name in curves.items()
        for curve in by_name.values()
        for at, _ in curve
    )
    bands: list[tuple[str, float, float]] = []
    previous = begin
    for at, stage in spots:
        if bands and bands[-1][0] == stage:
            bands[-1] = stage, bands[-1][1], at
        else:
            bands.append((stage, previous, at))
        previous = at

    def percent(at: float) -> float:
        return round(100 * (at - begin) / span, 2)

    return tuple(
        PlotLabel(percent(first), stage, percent(last)) for stage, first, last in bands[:MAX_BANDS]
    )


def _points(spots: Sequence[tuple[float, float]]) -> str:
    """Return points for ``<polyline>``; x and y run from 0 to 1, y downwards."""
    return " ".join(f"{WIDTH * x:.1f},{HEIGHT * y:.2f}" for x, y in spots)


def read_fits(losses: Mapping[str, Any]) -> list[tuple[str, Curves]]:
    """Return headings and curves from the content of ``losses.json``, without damaged entries."""
    found: list[tuple[str, Curves]] = []
    for fit in list_of(losses, "fits")[:MAX_FITS]:
        try:
            frames = f"frames {int(fit['first_frame'])} to {int(fit['last_frame'])}"
            found.append((f"{fit['name']}, {frames}", _curves(fit["curves"])))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


def _curves(stages: Mapping[str, Any]) -> Curves:
    """Return the curves of one fit. Raises ValueError and others where they are damaged."""
    return {
        str(stage): {
            str(name): [_point(point) for point in curve[:MAX_CURVE_POINTS]]
            for name, curve in list(by_name.items())[:MAX_CURVES]
        }
        for stage, by_name in list(stages.items())[:MAX_STAGES]
    }


def _point(point: Any) -> list[float]:
    at, value = float(point[0]), float(point[1])
    if not (math.isfinite(at) and math.isfinite(value)):
        raise ValueError("no number")
    return [at, value]
