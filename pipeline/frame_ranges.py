"""Find ranges of consecutive frames, and write them in words."""

from __future__ import annotations

from collections.abc import Sequence


def consecutive_ranges(numbers: Sequence[int], add: int = 0) -> list[tuple[int, int]]:
    """Return the first and last of each range of consecutive numbers, plus ``add``.

    numbers: in rising order.
    """
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number + add == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], number + add
        else:
            ranges.append((number + add, number + add))
    return ranges


def range_text(first: int, last: int) -> str:
    """Return a range of frames in words: ``3 to 9``, or ``3`` for one frame."""
    return f"{first} to {last}" if last > first else str(first)
