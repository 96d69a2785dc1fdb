"""Settings: what the words of the command line become."""

from __future__ import annotations

import argparse
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import values
from pipeline.cli.parser import settings_from
from pipeline.hint_arguments import HintArgument
from pipeline.option_fields import flag
from pipeline.settings import Settings, options
from stages.errors import UsageError


@pytest.mark.parametrize(
    ("word", "seconds"),
    [
        ("0", 0),
        ("12", 12),
        ("12.5", Fraction(25, 2)),
        ("90", 90),
        ("1:30", 90),
        ("0:01:12.500", Fraction(145, 2)),
        ("10:00:00.001", Fraction(36000001, 1000)),
        ("00:00:00.1", Fraction(1, 10)),
    ],
)
def test_times_are_exact(word: str, seconds: Fraction) -> None:
    assert values.parse_time(word) == seconds


@pytest.mark.parametrize(
    "word",
    [
        "",
        "x",
        "-1",
        "1:",
        ":1",
        "1:60",
        "1:2:3:4",
        "1:99:00",
        "1e3",
        "nan",
        "inf",
        "1,5",
        "٣",
        " 1",
    ],
)
def test_what_is_no_time_is_refused(word: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time"):
        values.parse_time(word)


@given(st.text(max_size=12))
def test_parsers_answer_or_refuse_any_text(word: str) -> None:
    for parse_word in (
        values.parse_time,
        values.parse_span,
        values.parse_positive,
        values.parse_whole_number,
        values.parse_device,
    ):
        try:
            answer = parse_word(word)
        except argparse.ArgumentTypeError as error:
            assert repr(word) in str(error)
        else:
            assert answer is not None


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59999))
def test_times_read_back(hours: int, minutes: int, thousandths: int) -> None:
    word = f"{hours:02d}:{minutes:02d}:{thousandths // 1000:02d}.{thousandths % 1000:03d}"
    assert values.parse_time(word) == 3600 * hours + 60 * minutes + Fraction(thousandths, 1000)


def test_span() -> None:
    assert values.parse_span("48:71") == (48, 71)
    assert values.parse_span("3:3") == (3, 3)
    for word in ("5:4", "4", "a:b", "-1:4", "1:2:3", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="FIRST:LAST"):
            values.parse_span(word)


def test_every_setting_is_documented() -> None:
    for item in fields(Settings):
        if item.name not in ("inputs", "temporary"):
            assert item.metadata["help"] and item.metadata["verbs"], item.name


def test_all_options_of_the_contract_exist() -> None:
    promised = (
        "out preset max-seconds device seed lossless alpha stream salvage hint hint-background "
        "transition start end resume anew overwrite no-progress json debug task space strength "
        "config dry-run max-memory max-pixels interlaced codec timeline shots no-cache quiet "
        "threads layers refine confidence force mark"
    ).split()
    assert {flag(item) for item in options("run")} == {f"--{name}" for name in promised}


def test_words_become_settings() -> None:
    made = settings_from(
        "run",
        (
            "a.mp4 --task transition --transition 3:9 --seed 4 --transition 20:30 --start 0:02 "
            "--max-seconds 60"
        ).split(),
    )
    assert made == Settings(
        inputs=(Path("a.mp4"),),
        task="transition",
        transition=((3, 9), (20, 30)),
        seed=4,
        start=Fraction(2),
        max_seconds=60.0,
    )


def test_what_is_not_given_keeps_its_default() -> None:
    assert settings_from("run", ["a.mp4"]) == Settings(inputs=(Path("a.mp4"),))


def test_inputs_may_stand_anywhere_and_begin_with_a_dash() -> None:
    made = settings_from("run", ["a.png", "--task", "watermark", "b.png", "--", "-c.png", "--seed"])
    assert made.inputs == (Path("a.png"), Path("b.png"), Path("-c.png"), Path("--seed"))
    assert made.seed == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "needs INPUT"),
        ("a --presett best", "--preset"),
        ("a --preset bets", "did you mean best"),
        ("a --max-seconds 0", "above 0"),
        ("a --max-seconds nan", "above 0"),
        ("a --max-seconds inf", "--max-seconds"),
        ("a --max-seconds 1e308", "--max-seconds"),
        ("a --out memory://x", "is an address"),
        ("a --seed -1", "--seed"),
        ("a --seed 1.5", "whole number"),
        ("a --device tpu", "not a device"),
        ("a --device cdua", "did you mean cuda"),
        ("a --device cuda:x", "not a device"),
        ("a --start 5 --end 5", "not before"),
        ("a --transition 9:3", "FIRST:LAST"),
        ("a --transition 3:9 --transition 9:12", "overlaps"),
        ("a --resume --overwrite", "contradict"),
        ("a --out", "--out needs DIR"),
        ("a --out --json", "--out needs DIR"),
        ("a --json=1", "--json is a switch"),
        ("a --out=", "--out: is empty"),
        ("a --hint=", "--hint: is empty"),
        ("a --task=", "--task: is empty"),
        ("a --no-lossles", "did you mean --no-lossless"),
        ("a --no-preset", "not an option"),
        ("a -p best", "not an option"),
    ],
)
def test_wrong_words_are_refused_in_one_line(words: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_from("run", words.split())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_name_is_not_the_current_folder() -> None:
    for verb, words in (
        ("run", ["a", ""]),
        ("run", [""]),
        ("probe", [""]),
        ("run", ["a", "--out", ""]),
    ):
        with pytest.raises(UsageError, match="is empty"):
            settings_from(verb, words)


def test_amounts_of_memory() -> None:
    told = {
        "3G": 3 * 2**30,
        "1.5GiB": 3 * 2**29,
        "2000000000": 2_000_000_000,
        "2e9": 2_000_000_000,
        "1.5E+9": 1_500_000_000,
    }
    assert {word: values.parse_memory(word) for word in told} == told
    for word in ("", "2e5", "2e99", "4", "lots"):
        with pytest.raises(argparse.ArgumentTypeError, match="amount of memory"):
            values.parse_memory(word)


def test_kept_settings_are_those_that_change_layers() -> None:
    kept = Settings(
        inputs=(Path("a"),),
        task="transition",
        start=Fraction(1, 3),
        hint=(HintArgument(file=Path("x")),),
        out=Path("o"),
        json=True,
    ).kept()
    assert (
        kept["start"] == "1/3"
        and kept["hint"] == "x"
        and kept["preset"] == "balanced"
        and kept["seed"] == 0
    )
    assert not {"out", "json", "resume", "overwrite", "debug", "no_progress", "inputs"} & set(kept)


def test_settings_are_read_back_as_they_are_written() -> None:
    written = {
        "start": Fraction(1, 3),
        "end": Fraction(12345678901234567, 1000000000),
        "max_memory": 3 * 2**30,
        "max_seconds": 0.1,
        "seed": 7,
    }
    for item in options("run"):
        if (value := written.get(item.name)) is not None:
            assert item.metadata["parse"](str(values.plain(value))) == value
    for word in ("3", "1000", "1048575", "0G", "3K", "-1G"):
        with pytest.raises(argparse.ArgumentTypeError, match="not an amount of memory"):
            values.parse_memory(word)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_shot_list(name: str) -> None:
    with pytest.raises(UsageError, match="not a regular file"):
        settings_from("run", ["a.mp4", "--task", "transition", "--shots", name])
