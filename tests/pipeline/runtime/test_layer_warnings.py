"""Test that each warning about layers is said once, with the names of its layers."""

from __future__ import annotations

import pytest

from pipeline.runtime.layer_warnings import joined_warnings


@pytest.mark.parametrize(
    ("layers", "lines"),
    [
        ([], []),
        ([("clean", [])], []),
        ([("clean", ["a", "a"])], ["clean: a"]),
        ([("one", ["a", "b"]), ("two", ["b"])], ["one: a", "one, two: b"]),
        ([(f"s{n}", ["a"]) for n in range(4)], ["s0, s1, s2, s3: a"]),
        ([(f"s{n}", ["a"]) for n in range(5)], ["s0, s1, s2 and 2 more layers: a"]),
    ],
)
def test_warnings_name_their_layers(layers: list[tuple[str, list[str]]], lines: list[str]) -> None:
    assert joined_warnings(layers) == lines
