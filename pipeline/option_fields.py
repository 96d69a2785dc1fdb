"""Describe an option at the field of the setting that it sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field
from typing import Any

from pipeline.values import parse_text, word_of


@dataclass(frozen=True, kw_only=True)
class Option:
    """What the command line and the manifest must know about a setting.

    help: one line. metavar: what the help calls the value.
    parse: turns the word into the value.
    group: the heading in the help.
    verbs: the commands that have the option; ``batch`` also has those of ``run``.
    repeat: whether it may be given several times.
    result: whether it can change the layers. Only such settings are compared between runs and kept
    in the manifest.
    rare: the commands that show it only with ``--help-all``.
    elsewhere: help texts of commands that need another one than ``help``.
    one_clip: whether ``batch`` leaves it out, because it has a meaning for one clip only.
    """

    help: str
    metavar: str = ""
    parse: Callable[[str], Any] = parse_text
    group: str = "what to do"
    verbs: tuple[str, ...] = ("run",)
    repeat: bool = False
    result: bool = True
    rare: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    one_clip: bool = False


def setting(default: Any, help: str, **more: Any) -> Any:
    """Return a dataclass field that is an option; ``more`` as in :class:`Option`.

    A default of ``False`` makes a switch, which takes no value.
    """
    return field(default=default, metadata=vars(Option(help=help, **more)))


def flag(item: Field[Any]) -> str:
    """Return a field's option on the command line: ``--max-seconds`` for ``max_seconds``."""
    return "--" + item.name.replace("_", "-")


def words_of(item: Field[Any], value: object) -> list[str]:
    """Return the words of the command line that give an option this value; none for its default."""
    if value == item.default:
        return []
    if value is True:
        return [flag(item)]
    if isinstance(value, tuple) and item.metadata["repeat"]:
        return [word for one in value for word in (flag(item), word_of(one))]
    return [flag(item), word_of(value)]
