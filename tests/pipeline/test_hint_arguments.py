"""Test the words of ``--hint``: files, boxes and points, with and without a frame's number."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pipeline.hint_arguments import HintArgument, parse_hint
from pipeline.settings import Settings
from pipeline.tasks import check_options, find_task
from stages.errors import UsageError


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("a.png", HintArgument(file=Path("a.png"))),
        ("48:a b.png", HintArgument(48, file=Path("a b.png"))),
        ("0:folder/48:a.png", HintArgument(0, file=Path("folder/48:a.png"))),
        ("./48:a.png", HintArgument(file=Path("48:a.png"))),
        ("C:a.png", HintArgument(file=Path("C:a.png"))),
        ("box:1,2,30,40", HintArgument(box=(1, 2, 30, 40))),
        ("7:box:0,0,1,1", HintArgument(7, box=(0, 0, 1, 1))),
        ("point:5,6", HintArgument(point=(5, 6))),
        ("9:point:0,0", HintArgument(9, point=(0, 0))),
    ],
)
def test_words_of_hints(word: str, hint: HintArgument) -> None:
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
        ("bx:1,2,3,4", "'bx:1,2,3,4' is neither a file nor box:X,Y,W,H or point:X,Y"),
        ("Box:1,2,3,4", "is neither a file nor"),
        ("48:bx:1,2,3,4", "'48:bx:1,2,3,4' is neither a file nor"),
        ("box=1,2,3,4", "is neither a file nor"),
        ("box(1, 2, 3, 4)", "is neither a file nor"),
        ("box 1 2 3 4", "is neither a file nor"),
        ("boxes: 1.5,2", "is neither a file nor"),
        ("10,20,30,40", "is neither a file nor"),
        ("poin:-3,4", "is neither a file nor"),
    ],
)
def test_words_that_are_no_hints(word: str, says: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=says):
        parse_hint(word)


@pytest.mark.parametrize("name", ["bx:1,2,3,4", "1,2", "take 3 4"])
def test_a_file_may_have_a_name_of_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"")
    assert parse_hint(name) == HintArgument(file=Path(name))
    assert parse_hint(f"48:{name}") == HintArgument(48, file=Path(name))
    # A name with a suffix is a file in any case.
    assert parse_hint(f"other {name}.png") == HintArgument(file=Path(f"other {name}.png"))


def test_a_hint_is_named_as_the_manifest_names_its_file() -> None:
    temporary = Path("/tmp/made")
    settings = Settings(
        task="segment",
        temporary=temporary,
        hint=(HintArgument(4, file=temporary / "array-hint.png"), HintArgument(box=(1, 2, 3, 4))),
        hint_background=(HintArgument(file=Path("bg.png")),),
    )
    kept = settings.kept()
    assert kept["hint"] == ["4:array-hint", "box:1,2,3,4"]
    assert kept["hint_background"] == "bg.png"
    assert Settings().kept()["hint"] is None and Settings().kept()["hint_background"] is None
    assert settings.hint_files == (temporary / "array-hint.png", Path("bg.png"))


def test_tasks_refuse_hints_that_they_have_no_use_for() -> None:
    watermark = find_task("watermark")
    check_options(watermark, Settings(hint=(HintArgument(box=(1, 2, 3, 4)),)))
    with pytest.raises(UsageError, match="^--hint-background has no meaning for --task watermark"):
        check_options(watermark, Settings(hint_background=(HintArgument(point=(1, 2)),)))
    with pytest.raises(UsageError, match="^--hint 48:box:1,2,3,4: --task watermark takes hints"):
        check_options(watermark, Settings(hint=(HintArgument(48, box=(1, 2, 3, 4)),)))
    check_options(find_task("segment"), Settings(hint=(HintArgument(48, box=(1, 2, 3, 4)),)))
