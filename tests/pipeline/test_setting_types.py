"""The types of the settings for Python callers agree with the one list of settings."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

from pipeline.api import NOT_HERE
from pipeline.config import parsed_settings
from pipeline.setting_types import SeparateSettings
from pipeline.settings import Settings, options

TYPES = get_type_hints(SeparateSettings)
OWN = get_type_hints(Settings)
OPTIONS = {item.name: item for item in options("run") if item.name not in NOT_HERE}
EXAMPLES: dict[type, list[Any]] = {
    bool: [True],
    int: [3],
    float: [0.5],
    Fraction: [Fraction(1, 3)],
    str: ["12"],
    Path: [Path("a")],
}


def test_every_setting_has_a_type_in_the_same_order() -> None:
    assert list(TYPES) == list(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_type_takes_what_the_setting_holds(name: str) -> None:
    taken = set(get_args(TYPES[name]))
    assert NoneType in taken
    held = set(get_args(OWN[name])) or {OWN[name]}
    # Python's int is a float to a type checker. Other kinds, such as hints, are written as text.
    for kind in held & {bool, int, float, str, Fraction}:
        assert kind in taken or (kind is int and float in taken)
    assert (OPTIONS[name].default is False) == (bool in taken)
    assert bool in taken or str in taken


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_value_of_the_settings_own_type_is_taken(name: str) -> None:
    item = OPTIONS[name]
    if item.default is False:
        assert parsed_settings({name: True}, "test") == {name: True}
    elif isinstance(item.default, int | float | str) and item.default != "":
        assert parsed_settings({name: item.default}, "test") == {name: item.default}
    assert parsed_settings({name: None}, "test") == {}


def test_a_list_of_words_may_be_a_list() -> None:
    assert parsed_settings({"timeline": ["otio", "edl"]}, "test")["timeline"] == ("otio", "edl")
    assert parsed_settings({"timeline": "otio,edl"}, "test")["timeline"] == ("otio", "edl")
