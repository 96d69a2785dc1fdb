"""Values from a checkpoint must match the annotations of their dataclass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import pytest
import torch

from stages.storage.value_types import check_types, fits


@dataclass
class Sample:
    """Fields of many kinds."""

    count: int
    share: float
    name: str | None
    times: list[Fraction]
    spans: tuple[tuple[int, int], ...]
    pair: tuple[int, str]
    layers: Mapping[str, torch.Tensor]
    rest: dict[str, Any]
    some: frozenset[str]
    row: Sequence[float]
    kind: Literal["cut", "fade"]


GOOD: dict[str, Any] = {
    "count": 3,
    "share": 1,
    "name": None,
    "times": [Fraction(1, 2)],
    "spans": ((1, 2), (3, 4)),
    "pair": (1, "a"),
    "layers": {"a": torch.zeros(1)},
    "rest": {"a": object(), "b": [1]},
    "some": frozenset({"a"}),
    "row": (1.0, 2),
    "kind": "cut",
}
BAD: dict[str, list[Any]] = {
    "count": [True, 1.0, "1", None],
    "share": [True, "1", None],
    "name": [1, b""],
    "times": [[1.5], (Fraction(1),), None, {"a": 1}],
    "spans": [((1,),), [(1, 2)], ((1, "a"),), 3],
    "pair": [(1,), ("a", 1), (1, "a", 2)],
    "layers": [{"a": [0.0]}, {1: torch.zeros(1)}, []],
    "rest": [[], {1: 2}],
    "some": [{"a": 1}, ["a"], frozenset({1})],
    "row": ["text", 3, ("a",)],
    "kind": ["iris", None],
}


def test_matching_values_pass() -> None:
    check_types(Sample(**GOOD))
    assert fits(GOOD, Any) and fits(None, None) and not fits(0, None)


@pytest.mark.parametrize("name", sorted(BAD))
def test_the_field_that_does_not_match_is_named(name: str) -> None:
    for value in BAD[name]:
        with pytest.raises(TypeError, match=f"Sample.{name} is "):
            check_types(Sample(**{**GOOD, name: value}))
