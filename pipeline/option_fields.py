"""Describe an option at the field of the setting that it sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.values import parse_text


@dataclass(frozen=True, kw_only=True)
class Option:
    """What the command line and the manifest must know about a setting.

    help: one line. metavar: what the help calls the value. parse: turns the word into the value.
    group: the heading in the help. verbs: the commands that have the option; ``batch`` also has
    those of ``run``. repeat: whether it may be given several times. result: whether it can change
    the layers; only such settings are compared between runs and kept in the manifest. rare: the
    commands that show it only with ``--help-all``. elsewhere: other help texts, by command.
    one_clip: whether ``batch`` leaves it out, as it has a meaning for one clip only.
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
