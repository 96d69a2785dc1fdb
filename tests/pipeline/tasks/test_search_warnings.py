"""Test what a run says of a search that found little, and of a shot list that names little."""

from __future__ import annotations

import itertools

import pytest

from pipeline.tasks.transition.transition_warnings import (
    search_warnings,
    unseparated_warnings,
)
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


def test_a_warning_says_which_frames_a_scene_holds() -> None:
    changes = (
        Transition(0, 3, "other", (0.2, 0.4, 0.6, 0.8), outgoing=0, incoming=1),
        Transition(8, 9, "dissolve", (0.3, 0.6), outgoing=1, incoming=2),
        Transition(14, 15, "other", (0.3, 0.6), outgoing=2, color="#000000"),
    )
    analysis = Analysis(16, (Shot(0, -1), Shot(4, 7), Shot(10, 13)), changes)
    first, last = unseparated_warnings(analysis)
    assert "scene-001 repeats frame 0, because it has no clean one" in first
    assert "scene-002 holds its first clean frame there, and the layer mixed-001 has" in first
    assert "scene-003 holds its last clean frame there, and the layer mixed-003 has" in last


def test_a_doubtful_kind_is_named_with_its_frames() -> None:
    doubtful = Transition(4, 5, "wipe", (0.3, 0.6), outgoing=0, incoming=1, doubtful=True)
    (warning,) = search_warnings(Analysis(10, (Shot(0, 3), Shot(6, 9)), (doubtful,)))
    assert "frames 4 to 5 are not well explained" in warning and "wipe" in warning
