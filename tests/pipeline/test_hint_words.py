"""Test the words of ``--hint``: files, boxes and points, with and without a frame's number."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pipeline.hint_words import HintWord, parse_hint
from pipeline.settings import Settings
from pipeline.tasks import check_options, find_task
from stages.errors import UsageError


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("a.png", HintWord(file=Path("a.png"))),
        ("48:a b.png", HintWord(48, file=Path("a b.png"))),
        ("0:folder/48:a.png", HintWord(0, file=Path("folder/48:a.png"))),
        ("./48:a.png", HintWord(file=Path("48:a.png"))),
        ("C:a.png", HintWord(file=Path("C:a.png"))),
        ("box:1,2,30,40", HintWord(box=(1, 2, 30, 40))),
        ("7:box:0,0,1,1", HintWord(7, box=(0, 0, 1, 1))),
        ("point:5,6", HintWord(point=(5, 6))),
        ("9:point:0,0", HintWord(9, point=(0, 0))),
    ],
)
def test_words_of_hints(word: str, hint: HintWord) -> None:
    assert parse_hint(word) == hint
    assert parse_hint(str(hint)) == hint


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("", "is empty"),
        ("box:", "is not box:X,Y,W,H"),
        ("box:1,2,3", "is not box:X,Y,W,H"),
        ("box:1,2,0,4", "is not box:X,Y,W,H"),
        ("3:box:1,2,-3,4", "is not box:X,Y,W,H"),
        ("point:1", "is not point:X,Y"),
        ("point:1.5,2", "is not point:X,Y"),
    ],
)
def test_words_that_are_no_hints(word: str, says: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=says):
        parse_hint(word)


def test_a_hint_is_named_as_the_manifest_names_its_file() -> None:
    temporary = Path("/tmp/made")
    settings = Settings(
        task="segment",
        temporary=temporary,
        hint=(HintWord(4, file=temporary / "array-hint.png"), HintWord(box=(1, 2, 3, 4))),
        hint_background=(HintWord(file=Path("bg.png")),),
    )
    kept = settings.kept()
    assert kept["hint"] == ["4:array-hint", "box:1,2,3,4"]
    assert kept["hint_background"] == "bg.png"
    assert Settings().kept()["hint"] is None and Settings().kept()["hint_background"] is None
    assert settings.hint_files == (temporary / "array-hint.png", Path("bg.png"))


def test_tasks_refuse_hints_that_they_have_no_use_for() -> None:
    watermark = find_task("watermark")
    check_options(watermark, Settings(hint=(HintWord(box=(1, 2, 3, 4)),)))
    with pytest.raises(UsageError, match="^--hint-background has no meaning for --task watermark"):
        check_options(watermark, Settings(hint_background=(HintWord(point=(1, 2)),)))
    with pytest.raises(UsageError, match="^--hint 48:box:1,2,3,4: --task watermark takes hints"):
        check_options(watermark, Settings(hint=(HintWord(48, box=(1, 2, 3, 4)),)))
    check_options(find_task("segment"), Settings(hint=(HintWord(48, box=(1, 2, 3, 4)),)))
