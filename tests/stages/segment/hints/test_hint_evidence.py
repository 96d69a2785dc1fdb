"""Test what regions are taken for."""

from __future__ import annotations

import torch
from drawn_things import SIZE, area, disc

from stages.hint_regions import HintRegion
from stages.segment.hints.evidence import evidence


def test_a_box_bounds_the_foreground() -> None:
    known = evidence([HintRegion(area(10, 50, 20, 70))], SIZE)
    assert not known.foreground.any() and torch.equal(known.background, ~area(10, 50, 20, 70))
    assert known.prior[30, 45] > 0 > known.prior[11, 21]


def test_shapes_are_told_apart() -> None:
    assert HintRegion(area(10, 50, 20, 70)).is_box and HintRegion(area(10, 16, 20, 30)).is_box
    assert (
        not HintRegion(area(10, 14, 20, 60)).is_box
        and HintRegion(area(10, 14, 20, 60), boxed=True).is_box
    )
    assert not HintRegion(disc(40, 40, 12)).is_box and not HintRegion(area(4, 5, 4, 5)).is_box


def test_strokes_are_certain_and_nothing_is_assumed_around_them() -> None:
    stroke = area(30, 33, 20, 60)
    known = evidence([HintRegion(stroke)], SIZE)
    assert torch.equal(known.foreground, stroke) and not known.background.any()
    assert float(known.prior.abs().max()) == 0


def test_a_blob_is_certain_in_its_core_and_likely_in_its_rim() -> None:
    blob = disc(40, 36, 16)
    known = evidence([HintRegion(blob)], SIZE)
    assert known.foreground[36, 40] and not known.foreground[36, 54] and known.prior[36, 54] > 0
    assert not known.background.any() and float(known.prior[~blob].abs().max()) == 0


def test_marks_add_up() -> None:
    marks = [
        HintRegion(area(10, 50, 20, 70)),
        HintRegion(area(60, 62, 2, 30)),
        HintRegion(area(20, 22, 30, 60), foreground=False),
    ]
    known = evidence(marks, SIZE)
    assert known.background[21, 40] and known.background[5, 5] and not known.background[40, 40]
    assert not (known.foreground & known.background).any()


def test_marks_keep_thin_strokes_and_points_at_a_smaller_size() -> None:
    known = evidence(
        [HintRegion(area(30, 31, 10, 80)), HintRegion(area(5, 6, 5, 6), False)], (24, 32)
    )
    assert known.foreground[10, 4:26].all() and known.background[1, 1]


def test_strokes_outside_a_box_stay_foreground() -> None:
    known = evidence([HintRegion(area(10, 50, 20, 70)), HintRegion(area(60, 62, 2, 30))], SIZE)
    assert known.foreground[61, 10] and not known.background[61, 10]
