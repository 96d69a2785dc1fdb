"""Turn the words of the command line and of configuration files into values.

Each parser takes one word and returns its value, or raises argparse.ArgumentTypeError with a
message that quotes the word and says what to write instead.
"""

from __future__ import annotations

import argparse
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pipeline.near_words import did_you_mean
from stages.errors import UsageError
from stages.setting_values import MOST_THINGS

MAX_NUMBER = 1e8
"""Largest number that an option takes. As seconds it is about three years; with a longer budget,
time plans would overflow."""
MIN_PLAIN_BYTES = 2**20
"""Least amount of memory that may be written as a plain number of bytes: 1 MiB."""
MAX_PLAIN_BYTES = 10**16
"""Upper limit of such a number, more than any machine has: 10 petabytes."""
MAX_LIST_BYTES = 16 * 2**20
"""Largest shot list in bytes."""
AUTO_LAYERS = "auto"
"""The word of ``--layers`` for as many foregrounds as are found."""
_UNITS = {"M": 2**20, "G": 2**30, "T": 2**40}


def parse_text(word: str) -> str:
    """Return a word that holds more than spaces."""
    if not word.strip():
        raise argparse.ArgumentTypeError("is empty; write a value, or leave the option out")
    return word


def parse_path(word: str) -> Path:
    """Return a path. An empty word is refused, as it would mean the current folder.

    A name of nothing but spaces is written with its folder: ``./ ``.
    """
    return Path(parse_text(word))


def parse_local_folder(word: str) -> Path:
    """Return a path on this machine; refuse an address."""
    if "://" in word:
        raise argparse.ArgumentTypeError(
            "is an address; give a folder of this machine, and the address as --store of batch"
        )
    return parse_path(word)


@dataclass(frozen=True)
class TimeCode:
    """A time code, ``hh:mm:ss:ff``; only a clip's rate and first label turn it into seconds."""

    label: str

    def __str__(self) -> str:
        return self.label


def parse_time(word: str) -> Fraction | TimeCode:
    """Return exact seconds from ``12``, ``12.5``, ``12.5s``, ``mm:ss`` or ``hh:mm:ss.mmm``.

    Fractions such as ``1/3`` are taken too, as :func:`plain` writes them. A time code,
    ``hh:mm:ss:ff``, is returned as it is.
    """
    if re.fullmatch(r"\d{1,24}/[1-9]\d{0,12}", word, re.ASCII):
        return Fraction(word)
    if re.fullmatch(r"\d\d:\d\d:\d\d[:;]\d\d", word, re.ASCII):
        return TimeCode(word)
    if re.fullmatch(r"\d{1,12}(\.\d{0,12})?s", word, re.ASCII):
        return Fraction(word[:-1])
    match = re.fullmatch(
        r"(?:(?:(\d{1,6}):)?([0-5]?\d):(?=[0-5]?\d(?:\.|$)))?(\d{1,12}(?:\.\d{0,12})?)",
        word,
        re.ASCII,
    )
    if not match:
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a time; write seconds (12.5), hh:mm:ss.mmm (0:01:12.500) or a time "
            "code (00:01:12:05)"
        )
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + Fraction(seconds)


@dataclass(frozen=True)
class TimedSpan:
    """Frames that are given by times; only a clip turns them into numbers.

    first, last: a frame number, seconds or a time code each.
    """

    first: int | Fraction | TimeCode
    last: int | Fraction | TimeCode

    def __str__(self) -> str:
        ends = (self.first, self.last)
        return ":".join(f"{plain(end)}s" if isinstance(end, Fraction) else str(end) for end in ends)


Span = tuple[int, int] | TimedSpan
"""Frames from first to last, both inclusive: two numbers, or times that a clip turns into two."""
_CODE = r"\d\d:\d\d:\d\d[:;]\d\d"
_END = rf"({_CODE}|\d{{1,9}}|\d{{1,9}}(?:\.\d{{1,12}})?s|\d{{1,22}}/[1-9]\d{{0,12}}s)"
"""One end of a span: a time code, a frame number, or seconds, as a number or as a fraction.

A fraction has the 9 + 12 digits of a number, and one more.
"""


def parse_span(word: str) -> Span:
    """Return the frames from ``FIRST:LAST``, both inclusive.

    Each end is a frame number from 0, seconds (``1.5s``) or a time code (``00:00:01:12``). The
    ends may also be joined by ``-``.
    """
    match = re.fullmatch(f"{_END}[:-]{_END}", word, re.ASCII)
    ends = [_span_end(part) for part in match.groups()] if match else []
    if ends and not all(isinstance(end, int) for end in ends):
        return TimedSpan(ends[0], ends[1])
    if not ends or ends[0] > ends[1]:  # type: ignore[operator]
        raise argparse.ArgumentTypeError(
            f"{word!r} is not FIRST:LAST; write two frame numbers, counted from 0, "
            "with FIRST not after LAST (48:71), seconds (1s:2s) or time codes "
            "(00:00:01:23:00:00:02:21)"
        )
    return int(ends[0]), int(ends[1])  # type: ignore[arg-type]


def _span_end(word: str) -> int | Fraction | TimeCode:
    """Return a frame number, seconds or a time code from a word that is one of these."""
    if word.isdecimal():
        return int(word)
    return Fraction(word[:-1]) if word.endswith("s") else TimeCode(word)


def parse_positive(word: str) -> float:
    """Return a number above 0 and up to :data:`MAX_NUMBER`."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_NUMBER:
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a number above 0 and up to {MAX_NUMBER:.0f}"
        )
    return value


def parse_budget(word: str) -> float:
    """Return seconds above 0 from ``90``, ``90s``, ``1m``, ``1m30s``, ``2h`` or ``00:01:30``."""
    plain_word = word
    units = re.fullmatch(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?", word, re.ASCII)
    if word and units:
        hours, minutes, seconds = (int(part or 0) for part in units.groups())
        plain_word = str(3600 * hours + 60 * minutes + seconds)
    elif re.fullmatch(r"\d{1,6}(:[0-5]\d){1,2}", word, re.ASCII):
        plain_word = str(parse_time(word))
    try:
        return parse_positive(plain_word)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a time above 0; write seconds (90), 90s, 1m30s, 2h or 00:01:30"
        ) from None


def parse_not_negative(word: str) -> float:
    """Return a number from 0 to :data:`MAX_NUMBER`."""
    return 0.0 if re.fullmatch(r"0(\.0*)?", word, re.ASCII) else parse_positive(word)


def parse_strength(word: str) -> float:
    """Return a strength from 0 to 2."""
    if not re.fullmatch(r"[01](\.\d{0,12})?|2(\.0{0,12})?", word, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a strength; write a number from 0 (leave the input as it is) to 2, "
            "where 1 removes what was found"
        )
    return float(word)


def parse_whole_number(word: str) -> int:
    """Return a whole number from 0 to 2³¹ − 1."""
    if not re.fullmatch(r"\d{1,10}", word, re.ASCII) or int(word) >= 2**31:
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number from 0 to {2**31 - 1}")
    return int(word)


def parse_layers(word: str) -> int | str:
    """Return a number of foregrounds, from 1 to :data:`MOST_THINGS`, or ``auto``."""
    if word == AUTO_LAYERS:
        return word
    if not re.fullmatch(r"\d{1,4}", word, re.ASCII) or not 1 <= int(word) <= MOST_THINGS:
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a number of foregrounds; write 1 to {MOST_THINGS}, or {AUTO_LAYERS} "
            "for as many as are found"
        )
    return int(word)


def parse_threads(word: str) -> int:
    """Return a whole number from 1."""
    number = parse_whole_number(word)
    if not number:
        raise argparse.ArgumentTypeError("'0' would do nothing; give 1 or more")
    return number


def parse_memory(word: str) -> int:
    """Return bytes from ``3G``, ``1.5GiB`` or ``800M``, where units are powers of 1024.

    Plain numbers of 1 MiB or more are taken too (``2000000000``, ``2e9``), as :func:`plain` writes
    them.
    """
    number = re.fullmatch(r"\d{7,16}|[1-9](\.\d+)?e[+]?\d\d?", word, re.ASCII | re.IGNORECASE)
    if number and MIN_PLAIN_BYTES <= float(word) < MAX_PLAIN_BYTES:
        return int(word) if word.isdecimal() else int(float(word))
    match = re.fullmatch(
        r"(\d{1,6}(?:\.\d{1,6})?)\s?([MGT])(?:i?B)?", word, re.ASCII | re.IGNORECASE
    )
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(
            f"{word!r} is not an amount of memory; write it as 3G or 800M"
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


def parse_counts(word: str) -> tuple[int, ...]:
    """Return whole numbers above 0 from ``20,60,200`` or ``144p,1080p``, each once."""
    if not re.fullmatch(r"[1-9]\d{0,4}p?(,[1-9]\d{0,4}p?)*", word, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a list of numbers; write them as 20,60 or 144p,360p"
        )
    return tuple(dict.fromkeys(int(part.removesuffix("p")) for part in word.split(",")))


def parse_device(word: str) -> str:
    """Return the name of a device if it is spelled right.

    :func:`pipeline.run.device.pick_device` checks whether this machine has it.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", word, re.ASCII):
        near = did_you_mean(word, ("auto", "cpu", "cuda", "mps"))
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a device; choose auto, cpu, cuda, cuda:N or mps{near}"
        )
    return word


def parse_shot_list(word: str) -> str:
    """Return the text of a shot list, given the name of its file or, with line breaks, the text."""
    if "\n" in word:
        return word
    path = parse_path(word)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise argparse.ArgumentTypeError(f"{word!r} is not a regular file")
        with path.open("rb") as file:
            data = file.read(MAX_LIST_BYTES + 1)
        if len(data) > MAX_LIST_BYTES:
            raise argparse.ArgumentTypeError(f"{word!r} is too large for a shot list")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(f"{word!r} cannot be read ({reason})") from error
    try:
        text = data.decode("utf-8-sig")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{word!r} is not text in UTF-8") from error
    # A line break shows everywhere that this is the text, not the name of a file.
    return text.replace("\r\n", "\n").rstrip() + "\n"


@dataclass(frozen=True)
class OneOf:
    """A parser that takes only the words in ``choices``."""

    choices: tuple[str, ...]

    def __call__(self, word: str) -> str:
        if word not in self.choices:
            choices = ", ".join(self.choices)
            raise argparse.ArgumentTypeError(
                f"{word!r} is not known; choose {choices}{did_you_mean(word, self.choices)}"
            )
        return word


@dataclass(frozen=True)
class ListOf:
    """A parser for a list of words in ``choices``, as in ``otio,edl``."""

    choices: tuple[str, ...]

    def __call__(self, word: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(OneOf(self.choices), word.split(","))))


def word_of(value: object) -> str:
    """Return a setting's value as the word that the command line would have."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def plain(value: object) -> object:
    """Return ``value`` as JSON has it: paths and exact times as text, tuples as lists."""
    if isinstance(value, Path | Fraction | TimeCode | TimedSpan):
        return str(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value


def check_order(start: Fraction | TimeCode | None, end: Fraction | TimeCode | None) -> None:
    """Raise UsageError where the start is not before the end; time codes are not compared."""
    if isinstance(start, Fraction) and isinstance(end, Fraction) and start >= end:
        raise UsageError(
            f"--start {float(start):g} is not before --end {float(end):g} (seconds); "
            "give an earlier start or a later end"
        )


def check_spans(spans: Sequence[Span]) -> None:
    """Raise UsageError where two of the frame ranges of ``--transition`` overlap.

    Ranges that are given by times are left out.
    """
    ordered = sorted(span for span in spans if not isinstance(span, TimedSpan))
    for (_, before), (first, last) in zip(ordered, ordered[1:], strict=False):
        if first <= before:
            raise UsageError(
                f"--transition {first}:{last} overlaps the one that ends at frame {before}; "
                "give ranges that do not overlap"
            )
