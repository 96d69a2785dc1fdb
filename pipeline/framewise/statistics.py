"""Collect what the windows of a frame-wise run report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.frame_ranges import consecutive_ranges
from pipeline.task import WrittenLayer
from stages.context import ExpectedQuality, Separation
from stages.optim.loss_curves import Curves


class ExpectedQualities:
    """How good the layers are expected to be, over all windows of a run."""

    def __init__(self) -> None:
        self._measures: dict[str, str] = {}
        self._values: dict[str, dict[int, list[float | None]]] = defaultdict(
            lambda: defaultdict(list)
        )

    def add(self, first: int, separated: Separation) -> None:
        """Add what a window expects of its layers. first: the number of its first frame."""
        for name, expected in separated.expected.items():
            self._measures[name] = expected.measure
            for number, value in enumerate(expected.values, first):
                self._values[name][number].append(value)

    def added_to(self, layer: WrittenLayer) -> WrittenLayer:
        """Return ``layer`` with what is expected of it in its frames, if that is known.

        Two windows that share a frame are cross-faded there, so their expectations are averaged.
        """
        numbers = range(layer.first_frame, layer.last_frame + 1)
        values = self._values.get(layer.role, {})
        if not all(number in values for number in numbers):
            return layer
        means = tuple(_mean(values[number]) for number in numbers)
        return replace(layer, expected=ExpectedQuality(self._measures[layer.role], means))


class ShownFrames:
    """The frames that show what the task takes out, where not all of them do."""

    def __init__(self) -> None:
        self._shown: dict[int, bool] = {}

    def add(self, first: int, separated: Separation) -> None:
        """Add what a window says of its frames. first: the number of its first frame."""
        self._shown |= dict(enumerate(separated.shown, first))

    def spans(self) -> list[list[int]]:
        """Return the first and last frame, inclusive, of each time in which it is shown.

        There are none where every frame shows it.
        """
        if all(self._shown.values()):
            return []
        numbers = sorted(number for number, is_shown in self._shown.items() if is_shown)
        return [[first, last] for first, last in consecutive_ranges(numbers)]


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the known values, to three digits; ``None`` if none is known."""
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 3) if known else None


@dataclass
class RunStatistics:
    """What the windows report: seconds by stage, figures with their frame counts, and losses."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    figures: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    curves: Curves = field(default_factory=dict)

    def add(self, separated: Separation, frame_count: int, reduced: int) -> None:
        """Add what one window of ``frame_count`` frames reports.

        reduced: how often its working size was halved because memory was short.
        """
        self.figures["reduced"].append((reduced, frame_count))
        for name, spent in separated.seconds.items():
            self.seconds[name] += spent
        for name, value in separated.report.items():
            self.figures[name].append((value, frame_count))

    def means(self) -> dict[str, float]:
        """Return the mean of each figure, weighted by frames, to four digits."""
        return {
            name: round(weighted_mean(values), 4) for name, values in sorted(self.figures.items())
        }


def weighted_mean(pairs: Sequence[tuple[float, int]]) -> float:
    """Return the mean of values, each given with its weight; the weights must not add up to 0."""
    return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)
