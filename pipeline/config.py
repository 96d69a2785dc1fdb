"""``--config``: settings from a TOML file, by the settings' own names, or those of a finished run from its ``manifest.json``.

    preset = "fast"
    max_seconds = 60
    start = "0:01:02"
    transition = ["48:71"]

Values are written as on the command line, numbers and switches (``lossless = true``) as TOML has them. Paths count from the current folder.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any

from pipeline.settings import Settings, nearest, options, plain
from stages.errors import UsageError
from stages.media.sniff import printable

LARGEST = 64 * 2**20
"""Bytes of a configuration: a manifest lists the weight of every mixed frame."""


def read_config(path: Path, verb: str = "run") -> dict[str, Any]:
    """The settings that a file gives to ``verb``, by name. Raises UsageError, which names the file and the key."""
    shown = printable(path)
    try:
        if path.is_dir():
            raise UsageError(
                f"--config {shown}: is a folder; give a TOML file, or a run's manifest.json"
            )
        if not path.is_file():
            raise UsageError(f"--config {shown}: there is no such file")
        if path.stat().st_size > LARGEST:
            raise UsageError(f"--config {shown}: is too large for a configuration")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"--config {shown}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"--config {shown}: is no text in UTF-8") from error
    return settings_of(text, shown, verb, manifest=path.suffix.lower() == ".json")


def settings_of(
    text: str, name: str, verb: str = "run", *, manifest: bool = False
) -> dict[str, Any]:
    """The settings in the text of a configuration called ``name``; ``manifest``: in that of a manifest. Raises UsageError."""
    try:
        whole = json.loads(text, object_pairs_hook=_once_each) if manifest else tomllib.loads(text)
    # Python refuses numbers of thousands of digits, and nests only so deep.
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"--config {name}: is no {'JSON' if manifest else 'TOML'} ({' '.join(str(error).split())})"
        ) from error
    return checked(_of_manifest(whole, name) if manifest else whole, f"--config {name}", verb)


def checked(
    whole: Mapping[str, Any], where: str, verb: str = "run", without: Collection[str] = ("config",)
) -> dict[str, Any]:
    """Settings by name from plain values, those that are ``None`` left out. ``where`` begins the message of a UsageError."""
    known = {item.name: item for item in options(verb) if item.name not in without}
    found = {}
    for key, value in whole.items():
        if key not in known:
            raise UsageError(f"{where}: {key!r} {_why_not(key, list(known))}")
        try:
            # From Python or a manifest it may be there though it was not given; TOML knows no such value.
            if value is not None:
                found[key] = value_of(known[key], value)
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"{where}: {key}: {error}") from error
    return found


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, as TOML would read it. Raises ValueError for a key that stands there twice: one of its values would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice"
        )
    return found


def _of_manifest(whole: object, name: str) -> Mapping[str, Any]:
    settings = whole.get("settings") if isinstance(whole, dict) else None
    if not isinstance(whole, dict) or whole.get("schema") != 1 or not isinstance(settings, dict):
        raise UsageError(
            f"--config {name}: is no manifest of ours; give a run's manifest.json or a TOML file"
        )
    # A manifest has every setting: one at its default says nothing, and not every command has an option for it.
    usual = {item.name: plain(item.default) for item in options("run")}
    return {
        "task": whole.get("task"),
        **{
            key: value for key, value in settings.items() if key not in usual or value != usual[key]
        },
    }


def _why_not(key: str, known: Sequence[str]) -> str:
    if key in Settings.__dataclass_fields__:
        return "cannot be set here; leave it out"
    # Written as on the command line, it is as near as can be.
    return f"is not a setting{nearest(key.lstrip('-').replace('-', '_').lower(), known) or '; names are as in a manifest: max_seconds'}"


def value_of(item: Field[Any], value: object) -> Any:
    """A setting's value from what TOML or JSON has for it. Raises ArgumentTypeError."""
    if item.default is False:
        if not isinstance(value, bool):
            raise argparse.ArgumentTypeError(f"{value!r} is neither true nor false")
        return value
    if item.metadata["repeat"]:
        # One alone needs no list around it.
        values: list[Any] = value if isinstance(value, list) and not _is_span(value) else [value]
        return tuple(
            item.metadata["parse"](_word(f"{one[0]}:{one[1]}" if _is_span(one) else one))
            for one in values
        )
    return item.metadata["parse"](_word(value))


def _is_span(value: Any) -> bool:
    """Whether it is two numbers, as ``[48, 71]``, as which a manifest keeps ``48:71``."""
    return (
        isinstance(value, list) and len(value) == 2 and all(type(number) is int for number in value)
    )


def _word(value: object) -> str:
    """A value as the word that the command line would have for it. Raises ArgumentTypeError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        kind = {bool: "a switch", dict: "a table", list: "a list"}.get(
            type(value), f"a {type(value).__name__}"
        )
        raise argparse.ArgumentTypeError(
            f"{kind} is not what belongs here; write it as on the command line, in quotes"
        )
    # TOML's 2e9 is 2000000000.0, and no less whole for it.
    word = (
        str(int(value))
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        else str(value)
    )
    if "\0" in word:
        raise argparse.ArgumentTypeError("holds a null character")
    return word
