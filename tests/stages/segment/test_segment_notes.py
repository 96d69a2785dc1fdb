"""Test what a separation says of empty and full mattes: it blames the hints that were given."""

from __future__ import annotations

import pytest
import torch

from stages.context import FitSettings, SeparationContext
from stages.hint_regions import HintRegion
from stages.segment.notes import guess_notes, hinted_side, matte_notes

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


def test_the_foreground_of_a_picture_without_hints_is_called_a_guess() -> None:
    matte = torch.zeros(1, 1, 8, 8)
    matte[..., :4] = 1
    plain = SeparationContext(FitSettings())
    (note,) = guess_notes(matte, plain)
    assert "a guess" in note.text and note.places == (0,)
    assert guess_notes(torch.zeros_like(matte), plain) == ()
    assert guess_notes(matte, SeparationContext(FitSettings(), hint=matte)) == ()
    # A clip's foreground is what moves.
    assert guess_notes(matte.repeat(2, 1, 1, 1), plain) == ()
