"""Test what a separation says of empty and full mattes: it blames the hints that were given."""

from __future__ import annotations

import pytest
import torch

from stages.context import FitSettings, SeparationContext
from stages.hint_regions import HintRegion
from stages.segment.account import hinted_side, matte_notes

PIXEL = torch.ones(1, 1, dtype=torch.bool)
FOREGROUND, BACKGROUND = HintRegion(PIXEL), HintRegion(PIXEL, foreground=False)


@pytest.mark.parametrize(
    ("hint", "regions", "side"),
    [
        (None, (), None),
        (None, (FOREGROUND,), "foreground"),
        (None, (BACKGROUND,), "background"),
        (None, (BACKGROUND, FOREGROUND), "foreground"),
        (torch.ones(1, 1, 1, 1), (), "foreground"),
        (torch.ones(1, 1, 1, 1), (BACKGROUND,), "foreground"),
    ],
)
def test_the_side_that_hints_mark(
    hint: torch.Tensor | None, regions: tuple[HintRegion, ...], side: str | None
) -> None:
    context = SeparationContext(FitSettings(), hint=hint, hint_regions=regions)
    assert hinted_side(context) == side


@pytest.mark.parametrize("moving", [False, True])
def test_an_empty_matte_names_the_option_that_was_given(moving: bool) -> None:
    empty = torch.zeros(2, 1, 8, 8)
    (note,) = matte_notes(empty, moving=moving, hinted="background")
    assert "what {hint_background} marks" in note.text and "with {hint}" in note.text
    (note,) = matte_notes(empty, moving=moving, hinted="foreground")
    assert "nothing that {hint} marks was found" in note.text
    (note,) = matte_notes(empty, moving=moving, hinted=None)
    assert "marks was found" not in note.text and ("moves" in note.text) == moving
    assert note.places == (0, 1)


def test_a_full_matte_is_said_too() -> None:
    (note,) = matte_notes(torch.ones(1, 1, 8, 8), moving=False, hinted=None)
    assert "nearly the whole picture" in note.text
