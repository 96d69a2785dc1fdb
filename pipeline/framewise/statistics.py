"""Collect what the windows of a frame-wise run report."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from stages.context import Separation
from stages.optim.loss_curves import Curves


@dataclass
class RunStatistics:
    """What the windows report: seconds by stage, figures with their frame counts, and losses."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    figures: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    curves: Curves = field(default_factory=dict)

    def add(self, separated: Separation, frame_count: int, reduced: int) -> None:
        """Add what one window of ``frame_count`` frames reports."""
        self.figures["reduced"].append((reduced, frame_count))
        for name, spent in separated.seconds.items():
            self.seconds[name] += spent
        for name, value in separated.report.items():
            self.figures[name].append((value, frame_count))

    def means(self) -> dict[str, float]:
        """Return the mean of each figure, weighted by frames."""
        return {
            name: round(
                sum(value * weight for value, weight in values)
                / sum(weight for _, weight in values),
                4,
            )
            for name, values in sorted(self.figures.items())
        }
