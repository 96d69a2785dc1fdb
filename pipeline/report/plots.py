"""Curves as the template draws them: points in a box of 1000 by 100, marks in percent of its width and height."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.optim.loss_curves import Curves

WIDE, HIGH = 1000, 100
COLOURS = 10
"""Colours that the style sheet has for curves."""


@dataclass(frozen=True)
class Line:
    """One curve. points: for ``<polyline>``; two of the same place are a dot. end: its last value, for the legend."""

    name: str
    colour: int
    points: str
    end: str

    @property
    def is_dot(self) -> bool:
        """Whether there is one point alone."""
        return len(set(self.points.split())) == 1


@dataclass(frozen=True)
class Mark:
    """A label at a place, in percent. end: where a band that begins there ends."""

    at: float
    label: str
    end: float = 0.0


@dataclass(frozen=True)
class Plot:
    """Curves with marks along both axes; bands: the stages of a fit."""

    lines: tuple[Line, ...]
    across: tuple[Mark, ...]
    up: tuple[Mark, ...]
    bands: tuple[Mark, ...] = ()


def frames_plot(values: Mapping[str, Sequence[float]], first: int) -> Plot:
    """Curves from 0 to 1 over frames, the first of which is number ``first``; a value lies in the middle of its frame."""
    count = max(1, max((len(each) for each in values.values()), default=1))
    lines = []
    for number, (name, each) in enumerate(values.items()):
        # More points than the plot has pixels are no use.
        every = max(1, len(each) // 1500)
        chosen = list(range(0, len(each), every))
        points = [(place(index, count), 1 - min(1.0, max(0.0, each[index]))) for index in chosen]
        if len(points) == 1:
            points = [(0.0, points[0][1]), (1.0, points[0][1])]
        lines.append(
            Line(name, number % COLOURS, _points(points), f"{each[-1]:.2f}" if each else "")
        )
    every = max(1, math.ceil(count / 6))
    across = tuple(
        Mark(round(100 * place(index, count), 2), str(first + index))
        for index in range(0, count, every)
    )
    return Plot(
        tuple(lines), across, tuple(Mark(100 - 100 * level, f"{level:g}") for level in (0, 0.5, 1))
    )


def place(index: int, count: int) -> float:
    """Where the middle of frame ``index`` of ``count`` lies, 0 to 1."""
    return (index + 0.5) / count


def losses_plot(curves: Curves) -> Plot | None:
    """Losses over the fit's progress on a logarithmic axis, its stages as bands; ``None`` where there is nothing to draw."""
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
    low, high = max(low, high - 8), max(high, low + 1)

    def level(value: float) -> float:
        return 1 - min(1.0, max(0.0, (math.log10(value) - low) / (high - low)))

    lines = []
    for number, (name, points) in enumerate(drawn):
        spots = [((at - begin) / span, level(value)) for at, value in points]
        if len(spots) == 1:
            spots = 2 * spots
        lines.append(Line(name, number % COLOURS, _points(spots), f"{points[-1][1]:.3g}"))
    every = max(1, math.ceil((high - low) / 5))
    up = tuple(
        Mark(round(100 * level(10.0**power), 2), f"1e{power}" if power else "1")
        for power in range(low, high + 1, every)
    )
    across = tuple(Mark(part, f"{part} %") for part in (0, 25, 50, 75))
    return Plot(tuple(lines), across, up, _bands(curves, begin, span))


def _bands(curves: Curves, begin: float, span: float) -> tuple[Mark, ...]:
    """The stages in the order of their points: a stage that comes again after another has a band for each time."""
    spots = sorted(
        (at, stage)
        for stage, by_name in curves.items()
        for curve in by_name.values()
        for at, _ in curve
    )
    bands: list[tuple[str, float, float]] = []
    since = begin
    for at, stage in spots:
        if bands and bands[-1][0] == stage:
            bands[-1] = stage, bands[-1][1], at
        else:
            bands.append((stage, since, at))
        since = at
    return tuple(
        Mark(round(100 * (first - begin) / span, 2), stage, round(100 * (last - begin) / span, 2))
        for stage, first, last in bands[:60]
    )


def _points(spots: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{WIDE * x:.1f},{HIGH * y:.2f}" for x, y in spots)


def fits_of(told: Mapping[str, Any]) -> list[tuple[str, Curves]]:
    """What ``losses.json`` holds, as headings and curves; what is none is left out."""
    made: list[tuple[str, Curves]] = []
    fits = told.get("fits")
    for fit in fits[:200] if isinstance(fits, list) else []:
        try:
            curves: Curves = {
                str(stage): {
                    str(name): [_point(point) for point in curve[:5000]]
                    for name, curve in list(by_name.items())[:20]
                }
                for stage, by_name in list(fit["curves"].items())[:20]
            }
            made.append(
                (
                    f"{fit['name']}, frames {int(fit['first_frame'])} to {int(fit['last_frame'])}",
                    curves,
                )
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return made


def _point(point: Any) -> list[float]:
    at, value = float(point[0]), float(point[1])
    if not (math.isfinite(at) and math.isfinite(value)):
        raise ValueError("no number")
    return [at, value]
