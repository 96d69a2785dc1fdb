"""The frames that show what a task takes out, collected over the windows of a run."""

from __future__ import annotations

from pipeline.framewise.statistics import ShownFrames
from stages.context import Separation


def test_times_are_joined_over_windows_and_gaps_divide_them() -> None:
    shown = ShownFrames()
    assert shown.spans() == []
    shown.add(10, Separation({}, shown=(False, True, True, False)))
    shown.add(12, Separation({}, shown=(True, False, True)))
    shown.add(15, Separation({}, shown=(True, False)))
    assert shown.spans() == [[11, 12], [14, 15]]


def test_nothing_is_said_where_every_frame_shows_it() -> None:
    shown = ShownFrames()
    shown.add(0, Separation({}))
    shown.add(2, Separation({}, shown=(True, True)))
    assert shown.spans() == []
