"""Suggestions: a mistyped word is recognised, and another word is left alone."""

from __future__ import annotations

import random

import pytest

from pipeline.cli.verbs import VERBS
from pipeline.near_words import did_you_mean, edit_distance
from pipeline.option_fields import flag
from pipeline.settings import options

OF_OTHER_PROGRAMS = """
    --transparent --fps --bitrate --crf --model --gpu --batch-size --verbose --resolution --width
    --iterations --epochs --lr --workers --scale --iou --checkpoint --weights --format
""".split()


def misspelt(word: str, draw: random.Random) -> str:
    """Return an option with one slip after its first letter."""
    at = draw.randrange(3, len(word))
    kind = draw.choice(["left out", "twice", "swapped", "changed"])
    if kind == "left out":
        return word[:at] + word[at + 1 :]
    if kind == "twice":
        return word[:at] + word[at] + word[at:]
    if kind == "swapped":
        return word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :] if at > 3 else word
    return word[:at] + draw.choice("aeiourstn") + word[at + 1 :]


@pytest.mark.parametrize("verb", VERBS)
def test_one_slip_is_recognized(verb: str) -> None:
    names = [flag(item) for item in options(verb)]
    draw = random.Random(verb)
    for name in [name for name in names if len(name) > 6]:
        typed = misspelt(name, draw)
        assert typed in names or did_you_mean(typed, names) == f"; did you mean {name}?", typed


@pytest.mark.parametrize("word", OF_OTHER_PROGRAMS)
def test_a_word_of_another_program_gets_no_guess(word: str) -> None:
    assert did_you_mean(word, [flag(item) for item in options("run")]) == ""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--output", "--out"),
        ("--seconds", "--max-seconds"),
        ("--cache", "--no-cache"),
        ("--hints", "--hint"),
        ("--lossles", "--lossless"),
        ("--max_seconds", "--max-seconds"),
    ],
)
def test_beginnings_and_parts_count(typed: str, meant: str) -> None:
    assert did_you_mean(typed, [flag(item) for item in options("run")]).endswith(f" {meant}?")


def slow_distance(one: str, other: str) -> int:
    """Return the edit distance by trying everything, from the definition."""
    if not one or not other:
        return len(one) + len(other)
    best = min(
        slow_distance(one[1:], other) + 1,
        slow_distance(one, other[1:]) + 1,
        slow_distance(one[1:], other[1:]) + (one[0] != other[0]),
    )
    if one[:2] == other[1::-1] and len(one) > 1 and len(other) > 1:
        best = min(best, slow_distance(one[2:], other[2:]) + 1)
    return best


def test_the_distance_is_that_of_its_definition() -> None:
    draw = random.Random(4)
    for _ in range(60):
        one, other = ("".join(draw.choices("abc", k=draw.randrange(6))) for _ in range(2))
        assert edit_distance(one, other) == slow_distance(one, other) == edit_distance(other, one)
