"""Find the known word that a mistyped one is meant to be."""

from __future__ import annotations

from collections.abc import Sequence

LETTERS_PER_SLIP = 4
"""Letters of a mistyped word for each slip in it, at least."""
MOST_SLIPS = 3
"""Slips in a mistyped word, at most."""
FIRST_LETTER_MAY_DIFFER_FROM = 6
"""Letters of the shortest word whose first letter may be the mistyped one."""
LEAST_SHARED = 3
"""Letters of the shortest beginning, or part, by which a word stands for a longer one."""

_FAR = (9, 0)
"""The distance of words that have nothing to do with each other: larger than any other."""


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """Return ``"; did you mean X?"`` for the nearest of ``choices``, or an empty string.

    A choice is near if the word can be the choice with a few slips: a letter that is left out,
    added, changed or swapped with the next one. It is also near if the word is its beginning, or
    one of its parts between hyphens.
    """
    ranked = sorted((_distance(word, choice), choice) for choice in choices)
    if not ranked or ranked[0][0] is _FAR:
        return ""
    return f"; did you mean {ranked[0][1]}?"


def _distance(word: str, choice: str) -> tuple[int, int]:
    """Return how far a word is from a choice: by which rule it is near, and how near."""
    typed, known = word.strip("-").lower(), choice.strip("-").lower()
    longer = max(len(typed), len(known))
    slips = edit_distance(typed, known)
    # Few people miss the first letter, and another one makes another word of a short one.
    is_short = longer < FIRST_LETTER_MAY_DIFFER_FROM
    if is_short and typed[:1] != known[:1] and sorted(typed[:2]) != sorted(known[:2]):
        return _FAR
    if slips <= min(MOST_SLIPS, max(1, longer // LETTERS_PER_SLIP)):
        return 0, slips
    parts = known.replace("_", "-").split("-")
    is_part = typed in parts or typed.removesuffix("s") in parts
    begins = known.startswith(typed) or (typed.startswith(known) and len(known) >= LEAST_SHARED)
    if len(typed) >= LEAST_SHARED and (is_part or begins):
        return 1, abs(len(typed) - len(known))
    return _FAR


def edit_distance(one: str, other: str) -> int:
    """Return how many letters must be left out, added, changed or swapped to get ``other``.

    Two letters side by side may be swapped. Each letter takes part in one change at most (the
    restricted distance of Damerau, 1964).
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, above, row = row, before, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(row[j - 1] + 1, before[j] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
    return row[-1]
