"""Test what a run says of a search that found little, and of a shot list that names little."""

from __future__ import annotations

import itertools

import pytest

from pipeline.tasks.transition.describe import search_warnings
from stages.shots import Analysis, Shot, Transition

ONE = Analysis(10, (Shot(0, 9),), ())
CUTS = Analysis(10, (Shot(0, 4), Shot(5, 9)), (Transition(5, 4, "cut", outgoing=0, incoming=1),))
UNKNOWN = Analysis(
    10,
    (Shot(0, 3), Shot(6, 9)),
    (Transition(4, 5, "other", (0.3, 0.6), outgoing=0, incoming=1),),
)
MIXED = Analysis(
    10,
    (Shot(0, 3), Shot(6, 9)),
    (Transition(4, 5, "dissolve", (0.3, 0.6), outgoing=0, incoming=1),),
)


@pytest.mark.parametrize(
    ("analysis", "listed"), list(itertools.product((ONE, CUTS, UNKNOWN, MIXED), (False, True)))
)
def test_a_shot_list_is_never_told_to_use_transition(analysis: Analysis, listed: bool) -> None:
    warnings = search_warnings(analysis, listed=listed)
    assert len(warnings) == (0 if analysis is MIXED else 1)
    # Both options together are refused.
    assert any("--transition" in text for text in warnings) == (
        not listed and analysis in (ONE, UNKNOWN)
    )
    assert all(("shot list" in text) == listed for text in warnings)
