"""The commands and their options: parsing, help and completion by Typer.

All options come from :class:`pipeline.settings.Settings`. Nothing heavy is imported here, so that
a mistyped word is answered at once.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import Field
from functools import cache
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from pipeline.cli.help import show_help
from pipeline.cli.verbs import EXAMPLE, HELP_ALL, VERBS, Verb, formatted_help
from pipeline.cli.word_order import in_order
from pipeline.option_fields import flag
from pipeline.program import invocation
from pipeline.settings import Settings, options
from pipeline.values import OneOf, parse_device
from stages.errors import UsageError

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Devices that the shell offers."""


def settings_from(verb: str, words: Sequence[str]) -> Settings:
    """Return the settings that ``words``, without the command, ask for.

    Raises UsageError. ``--help`` prints the help and exits with 0.
    """
    values, switched_off = read_words(verb, words)
    if (path := values.get("config")) is not None:
        from pipeline.config import read_config

        values = {**read_config(path, verb), **values}
    for name in switched_off:
        values.pop(name, None)
    inputs = VERBS[verb].inputs
    if inputs is not None and not values.get("inputs"):
        raise UsageError(f"{verb} needs {inputs[0]}: {inputs[1]}")
    return Settings(**values)


def read_words(verb: str, words: Sequence[str]) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the settings in ``words``, and the names of those that are switched off.

    A switch is turned off with ``--no-``, as in ``--no-lossless``. Raises UsageError for a wrong
    word. ``--help`` prints the help and exits with 0.
    """
    cut = list(words).index("--") if "--" in words else len(words)
    if {"-h", "--help", HELP_ALL} & set(words[:cut]):
        show_help(verb, everything=HELP_ALL in words[:cut])
        raise SystemExit(0)
    if "--version" in words[:cut]:
        print_versions()
        raise SystemExit(0)
    ordered, switched_off = in_order(verb, words[:cut])
    try:
        # After "--" everything is the name of a file, whatever it begins with.
        answer = command().main(
            [verb, *ordered, *words[cut + 1 :]], prog_name=invocation(), standalone_mode=False
        )
    except typer.TyperException as error:
        raise UsageError(" ".join(error.format_message().split())) from error
    if not isinstance(answer, dict):
        # Ctrl-C while the words are read: Typer returns an exit status in place of the settings.
        raise KeyboardInterrupt
    return answer, switched_off


@cache
def command() -> Any:
    """Return the command line as Typer has it, with help and completion for each command."""
    app = typer.Typer(epilog=f"VERB --help shows a verb's options. Example: {EXAMPLE}")

    @app.callback(context_settings={"help_option_names": ["-h", "--help"]})
    def top(
        version: bool = typer.Option(
            False,
            "--version",
            help="Show the versions that matter and exit.",
            callback=_version,
            is_eager=True,
        ),
    ) -> None:
        """Take mixed video apart."""

    for name, verb in VERBS.items():
        app.command(name, cls=_Command, help=verb.help)(_typer_function(name, verb))
    return typer.main.get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        print_versions()
        raise typer.Exit


def print_versions() -> None:
    """Print the versions that matter, one a line."""
    from pipeline.cli.versions import versions

    for name, number in versions().items():
        print(f"unlayer {number}" if name == "unlayer" else f"{name:<8}{number}")


def _typer_function(name: str, verb: Verb) -> Callable[..., dict[str, Any]]:
    """Return a function with the command's options as parameters, for Typer.

    It returns the settings that were given, by name.
    """

    def given_settings(**words: Any) -> dict[str, Any]:
        # An option that was not given is None, False or an empty list. A given word may be empty.
        settings = {
            item.name: _value(item, words[item.name])
            for item in options(name)
            if words[item.name] or words[item.name] == ""
        }
        if verb.inputs is not None:
            settings["inputs"] = tuple(_input(word, *verb.inputs) for word in words["inputs"] or ())
        return settings

    parameters = [] if verb.inputs is None else [_inputs_parameter(*verb.inputs)]
    parameters += [_parameter(item, name) for item in options(name)]
    help_all = typer.Option(None, HELP_ALL, help="show all options and exit")
    parameters.append(_keyword("help_all", help_all, bool | None))
    given_settings.__annotations__ = {item.name: item.annotation for item in parameters}
    given_settings.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return given_settings


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _inputs_parameter(metavar: str, help: str) -> inspect.Parameter:
    """Return the parameter for the inputs."""
    argument = typer.Argument(None, metavar=metavar, help=help, parser=_same)
    return _keyword("inputs", argument, list[Any] | None)


def _parameter(item: Field[Any], verb: str) -> inspect.Parameter:
    """Return the parameter for an option."""
    is_switch = item.default is False
    more: dict[str, Any] = {}
    if not is_switch:
        more |= {"parser": _same, "metavar": item.metadata["metavar"]}
    if choices := choices_of(item):
        more["autocompletion"] = _completing(choices)
    spelling = flag(item)
    # The shell offers the word that turns a switch off; --no-progress has none.
    if is_switch and not item.name.startswith("no_"):
        spelling = f"{spelling}/--no-{spelling[2:]}"
    option = typer.Option(
        None,
        spelling,
        help=formatted_help(item, verb),
        rich_help_panel=item.metadata["group"],
        show_default=False,
        **more,
    )
    if is_switch:
        return _keyword(item.name, option, bool | None)
    return _keyword(item.name, option, list[Any] | None if item.metadata["repeat"] else Any)


def _same(word: str) -> str:
    """Return the word unchanged.

    The settings parse the words. Typer would refuse names of files that are not valid text.
    """
    return word


def _input(word: str, metavar: str, help: str) -> Path:
    if not word:
        # This happens where a shell variable is not set. It would mean the current folder.
        raise UsageError(f"{metavar} is empty; give {help}")
    refuse_address(word)
    return Path(word)


def refuse_address(word: str) -> None:
    """Raise UsageError where a word is the address of something on the network."""
    if re.match(r"(https?|ftps?|s3|gs|rtmps?|rtsp)://", word, re.ASCII | re.IGNORECASE):
        raise UsageError(f"{word} is an address; download it first, and give the file")


def _value(item: Field[Any], words: Any) -> Any:
    """Return a setting's value from its option's words. Raises UsageError."""
    if words is True:
        return True
    parse = item.metadata["parse"]
    try:
        return tuple(map(parse, words)) if item.metadata["repeat"] else parse(words)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{flag(item)}: {error}") from error


def choices_of(item: Field[Any]) -> tuple[str, ...]:
    """Return all values of a setting, where they can be listed."""
    parse = item.metadata["parse"]
    if isinstance(parse, OneOf):
        return parse.choices
    if parse is parse_device:
        return DEVICES
    if item.name == "task":
        from pipeline.tasks import names

        return names()
    return ()


def _completing(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a function that completes a word to those of ``choices`` that begin with it."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in choices if word.startswith(incomplete)]

    return complete


class _Command(TyperCommand):
    """A command whose help takes one line an option, so that it fits a screen."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        assert self.name is not None
        show_help(self.name)
