"""Test the report's curves: where they lie, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.report.plots import frames_plot, losses_plot, read_fits


def test_curves_are_drawn_where_they_lie() -> None:
    plot = frames_plot({"w": [0.0, 0.5, 1.0]}, 7)
    assert plot.lines[0].points == "166.7,100.00 500.0,50.00 833.3,0.00" and [
        mark.label for mark in plot.across
    ] == ["7", "8", "9"]
    drawn = losses_plot(
        {
            "motion": {"loss": [[0.1, 1.0], [0.5, 0.1]]},
            "sweeps": {"moved": [[1.0, 0.01]], "none": [[1.0, 0.0]]},
        }
    )
    assert drawn is not None and [line.name for line in drawn.lines] == [
        "motion: loss",
        "sweeps: moved",
    ]
    assert [(band.label, band.at, band.end) for band in drawn.bands] == [
        ("motion", 0, 50),
        ("sweeps", 50, 100),
    ]
    alone = losses_plot({"networks": {"total": [[1.0, 0.1]], "other": [[0.5, 1.0], [1.0, 0.1]]}})
    assert alone is not None and [line.is_dot for line in alone.lines] == [True, False]
    assert losses_plot({}) is None


@pytest.mark.parametrize(
    "losses",
    [
        {},
        {"fits": 3},
        {
            "fits": [
                3,
                {"name": "x"},
                {"name": 1, "first_frame": 0, "last_frame": 1, "curves": {"a": {"b": [[0, "x"]]}}},
            ]
        },
    ],
)
def test_damaged_losses_are_left_out(losses: dict[str, Any]) -> None:
    assert read_fits(losses) == []
