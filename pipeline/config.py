"""Read ``--config``: settings from a TOML file, or those of a run from its ``manifest.json``.

    preset = "fast"
    max_seconds = 60
    start = "0:01:02"
    transition = ["48:71"]

Keys are the settings' names. Values are written as on the command line; numbers and switches
(``lossless = true``) are written as TOML has them. Paths are relative to the current folder.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any

from pipeline.near_words import did_you_mean
from pipeline.runtime.run_record import SCHEMA, list_of
from pipeline.settings import Settings, options
from pipeline.timeline.formats import find_format, format_names
from pipeline.values import ListOf, plain
from stages.errors import UsageError
from stages.media.sniff import printable

MAX_BYTES = 64 * 2**20
"""Largest configuration in bytes: a manifest lists the weight of every mixed frame."""
MAX_EXACT_FLOAT = 2**53
"""Whole numbers below this are exact as floating-point numbers."""


def read_config(path: Path, verb: str = "run") -> dict[str, Any]:
    """Return the settings that a file gives to the command ``verb``, by name.

    Raises UsageError, which names the file and the key.
    """
    shown = printable(path)
    try:
        if path.is_dir():
            raise UsageError(
                f"--config {shown}: is a folder; give a TOML file, or a run's manifest.json"
            )
        if not path.is_file():
            raise UsageError(f"--config {shown}: there is no such file")
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"--config {shown}: is too large for a configuration")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"--config {shown}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"--config {shown}: is not text in UTF-8") from error
    return settings_of(text, shown, verb, manifest=path.suffix.lower() == ".json")


def settings_of(
    text: str, name: str, verb: str = "run", *, manifest: bool = False
) -> dict[str, Any]:
    """Return the settings in the text of a configuration file.

    name: what messages call the file. verb: the command that uses them. manifest: whether it is a
    manifest rather than TOML. Raises UsageError.
    """
    try:
        contents = json.loads(text, object_pairs_hook=_unique) if manifest else tomllib.loads(text)
    # Python refuses numbers of thousands of digits, and deep nesting.
    except (ValueError, RecursionError) as error:
        kind = "JSON" if manifest else "TOML"
        reason = " ".join(str(error).split())
        raise UsageError(f"--config {name}: is not valid {kind} ({reason})") from error
    values = _of_manifest(contents, name) if manifest else contents
    return parsed_settings(values, f"--config {name}", verb)


def parsed_settings(
    values: Mapping[str, Any],
    where: str,
    verb: str = "run",
    without: Collection[str] = ("config",),
) -> dict[str, Any]:
    """Return settings by name, parsed from plain values. Values of ``None`` are left out.

    where: how messages begin. without: settings that cannot be given here. Raises UsageError.
    """
    known = {item.name: item for item in options(verb) if item.name not in without}
    settings = {}
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"{where}: {key!r} {_reason_unknown(key, list(known))}")
        try:
            # Python callers and manifests may give None for what was not given.
            if value is not None:
                settings[key] = value_of(known[key], value)
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"{where}: {key}: {error}") from error
    return settings


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; raise ValueError for a key that appears twice."""
    unique = dict(pairs)
    if len(unique) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} appears twice")
    return unique


def _of_manifest(manifest: object, name: str) -> Mapping[str, Any]:
    """Return a manifest's task and settings, without those at their defaults."""
    contents = manifest if isinstance(manifest, dict) else {}
    settings = contents.get("settings")
    if contents.get("schema") != SCHEMA or not isinstance(settings, dict):
        raise UsageError(
            f"--config {name}: is not a manifest of this program; "
            "give a run's manifest.json or a TOML file"
        )
    # A manifest has every setting, and not every command has an option for each of them.
    usual = {item.name: plain(item.default) for item in options("run")}
    changed = {
        key: value
        for key, value in settings.items()
        if value is not None and (key not in usual or value != usual[key])
    }
    if files := list_of(contents, "timelines"):
        formats = [name for name in format_names() if find_format(name).file_name in files]
        changed["timeline"] = ",".join(formats) or None
    return {"task": contents.get("task"), **changed}


def _reason_unknown(key: str, known: Sequence[str]) -> str:
    """Return what is wrong with a key that is none of the ``known`` settings."""
    if key in Settings.__dataclass_fields__:
        return "cannot be set here; leave it out"
    # The key may be written as on the command line.
    similar = did_you_mean(key.lstrip("-").replace("-", "_").lower(), known)
    return f"is not a setting{similar or '; names are as in a manifest: max_seconds'}"


def value_of(item: Field[Any], value: object) -> Any:
    """Return a setting's value from what TOML or JSON has for it. Raises ArgumentTypeError."""
    if item.default is False:
        if not isinstance(value, bool):
            raise argparse.ArgumentTypeError(f"{value!r} is neither true nor false")
        return value
    parse = item.metadata["parse"]
    if isinstance(parse, ListOf) and isinstance(value, list):
        value = ",".join(map(_word, value))
    if not item.metadata["repeat"]:
        return parse(_word(value))
    # One value may stand without a list around it.
    values: list[Any] = value if isinstance(value, list) and not _is_span(value) else [value]
    return tuple(parse(_word(f"{one[0]}:{one[1]}" if _is_span(one) else one)) for one in values)


def _is_span(value: Any) -> bool:
    """Return whether a value is two whole numbers: a manifest keeps ``48:71`` as ``[48, 71]``."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(type(number) is int for number in value)


def _word(value: object) -> str:
    """Return a value as the word that the command line would have. Raises ArgumentTypeError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        kinds = {bool: "a switch", dict: "a table", list: "a list"}
        kind = kinds.get(type(value), f"a {type(value).__name__}")
        raise argparse.ArgumentTypeError(
            f"{kind} does not belong here; write the value as on the command line, in quotes"
        )
    # TOML reads 2e9 as 2000000000.0, which is a whole number all the same.
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_EXACT_FLOAT:
        value = int(value)
    word = str(value)
    if "\0" in word:
        raise argparse.ArgumentTypeError("contains a null character")
    return word
