"""The verbs, and the words behind them: help, completion and parsing by Typer, all made from :class:`pipeline.settings.Settings`.

Nothing heavy is imported here: a mistyped word is answered at once.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from pipeline.settings import OneOf, Settings, flag, nearest, options
from pipeline.settings import device as device_word
from stages.errors import UsageError

DEVICES = ("auto", "cpu", "cuda", "mps")
EXAMPLE = "python -m pipeline run samples/fade.mp4 --task transition"
HELP_ALL = "--help-all"
SCRIPT = "unlayer"
"""The program's name where it is installed, for which the shell completes words."""


@dataclass(frozen=True)
class Verb:
    """A verb: its help, where its function is (``module:name``, from Settings to an exit status), and what its inputs are, where it takes
    any."""

    help: str
    where: str
    inputs: tuple[str, str] | None = (
        "INPUT",
        "a clip, a picture, or a folder of numbered pictures",
    )
    built: bool = True


VERBS: dict[str, Verb] = {
    "run": Verb("take one clip apart", "pipeline.run.execute:run"),
    "probe": Verb(
        "show what is in a clip: streams, shots, cuts and transitions", "pipeline.cli.probe:probe"
    ),
    "batch": Verb(
        "the same for every clip of a folder",
        "pipeline.batch.batch:batch",
        ("FOLDER", "where the clips lie"),
    ),
    "doctor": Verb(
        "say what this machine can do, and what it lacks", "pipeline.cli.doctor:doctor", None
    ),
    "bench": Verb(
        "measure what runs cost here: seconds, dB a second, memory, growth",
        "pipeline.bench.bench:bench",
        None,
    ),
    "report": Verb(
        "write a run's report.html again",
        "pipeline.report:report",
        ("RUN", "the folder that a run wrote"),
    ),
}


def read_words(verb: str, words: Sequence[str]) -> tuple[dict[str, Any], frozenset[str]]:
    """The settings that ``words`` (without the verb) give, and the switches that they take back (``--no-lossless``).

    Raises UsageError for a wrong word; ``--help`` prints and exits with 0.
    """
    cut = list(words).index("--") if "--" in words else len(words)
    if {"-h", "--help", HELP_ALL} & set(words[:cut]):
        show_help(verb, everything=HELP_ALL in words[:cut])
        raise SystemExit(0)
    told, back = _in_order(verb, words[:cut])
    try:
        # Behind "--" everything is a file's name, whatever it begins with.
        answer = command().main(
            [verb, *told, *words[cut + 1 :]], prog_name=program(), standalone_mode=False
        )
    except typer.TyperException as error:
        raise UsageError(" ".join(error.format_message().split())) from error
    return answer, back


def _in_order(verb: str, words: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """The same words with the inputs last, behind ``--``, and every value tied to its option; and what is taken back.

    Raises UsageError for an unknown option, with the nearest right one, for an option without its value, and for one that contradicts an
    earlier one: of two values only one could be used.
    """
    known = {flag(item): item for item in options(verb)}
    given, inputs, back = [], [], set()
    said: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        item = known.get(name)
        if item is None and not _is_option(word):
            inputs.append(word)
        elif item is None:
            taken = known.get(f"--{name[5:]}") if name.startswith("--no-") and not equals else None
            if taken is None or taken.default is not False:
                near = [
                    *known,
                    HELP_ALL,
                    *(f"--no-{name[2:]}" for name, item in known.items() if item.default is False),
                ]
                owners = [other for other in VERBS if name in map(flag, options(other))]
                instead = (
                    f"; it is one of {' and '.join(owners)}"
                    if owners
                    else nearest(name, near) or "; see --help-all"
                )
                raise UsageError(f"{word} is not an option of {verb}{instead}")
            _say_once(said, taken.name, name)
            back.add(taken.name)
        elif item.default is False:
            if equals:
                raise UsageError(
                    f"{name} is a switch and takes no value; leave out {equals}{value}"
                )
            _say_once(said, item.name, name)
            given.append(name)
        else:
            if not equals:
                if not left or left[0] in known or _is_option(left[0]):
                    raise UsageError(
                        f"{name} needs {item.metadata['metavar']}: {help_of(item, verb)}"
                    )
                value = left.pop(0)
            if item.name in said and not item.metadata["repeat"]:
                raise UsageError(
                    f"{name} is given twice, as {_short(said[item.name])} and as {_short(value)}; give it once"
                )
            said[item.name] = value
            given.append(f"{name}={value}")
    return [*given, "--", *inputs], frozenset(back)


def _say_once(said: dict[str, str], setting: str, word: str) -> None:
    """Notes the ``word`` that switches a setting on or off. Raises UsageError where another word did the opposite before."""
    before = said.setdefault(setting, word)
    if before != word:
        raise UsageError(f"{before} and {word} contradict each other; give one of them")


def _short(word: str) -> str:
    """A value as messages show it."""
    return word if len(word) <= 60 else f"{word[:57]}..."


def _is_option(word: str) -> bool:
    """Whether a word is meant as an option: ``-5``, ``-`` and ``-my film.mp4`` are not."""
    return (
        len(word) > 1
        and word[0] == "-"
        and " " not in word
        and not re.fullmatch(r"-\d+|-\d*\.\d+", word)
    )


def program() -> str:
    """What the user typed to start us."""
    return SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m pipeline"


@cache
def command() -> Any:
    """The command line as Typer has it: a command for each verb, with help and completion."""
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
        """Takes mixed video apart."""

    for name, verb in VERBS.items():
        app.command(name, cls=_Command, help=verb.help)(_asks(name, verb))
    return typer.main.get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        from pipeline.cli.versions import versions

        for name, number in versions().items():
            print(f"{name:<8}{number}" if name != "unlayer" else f"unlayer {number}")
        raise typer.Exit


def _asks(name: str, verb: Verb) -> Callable[..., dict[str, Any]]:
    """A function whose parameters are the verb's options, as Typer reads them; it answers what was given, as settings."""

    def asks(**words: Any) -> dict[str, Any]:
        # An option that was not given is None, False or an empty list; a word that was may be empty.
        given = {
            item.name: _value(item, word)
            for item in options(name)
            if (word := words[item.name]) or word == ""
        }
        return (
            given
            if verb.inputs is None
            else {
                **given,
                "inputs": tuple(_input(word, *verb.inputs) for word in words["inputs"] or ()),
            }
        )

    parameters = []
    if verb.inputs is not None:
        metavar, help = verb.inputs
        argument = typer.Argument(None, metavar=metavar, help=help, parser=_same)
        parameters.append(
            inspect.Parameter(
                "inputs",
                inspect.Parameter.KEYWORD_ONLY,
                default=argument,
                annotation=list[Any] | None,
            )
        )
    for item in options(name):
        switch, known = item.default is False, item.metadata
        given: dict[str, Any] = {} if switch else {"parser": _same, "metavar": known["metavar"]}
        if choices := choices_of(item):
            given["autocompletion"] = _beginning(choices)
        # The shell is to offer what takes a switch back; --no-progress has no such word.
        spelled = (
            f"{flag(item)}/--no-{flag(item)[2:]}"
            if switch and not item.name.startswith("no_")
            else flag(item)
        )
        option = typer.Option(
            None,
            spelled,
            help=told(item, name),
            rich_help_panel=known["group"],
            show_default=False,
            **given,
        )
        kind: Any = bool | None if switch else list[Any] | None if known["repeat"] else Any
        parameters.append(
            inspect.Parameter(
                item.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind
            )
        )
    more = typer.Option(None, HELP_ALL, help="show all options and exit")
    parameters.append(
        inspect.Parameter(
            "help_all", inspect.Parameter.KEYWORD_ONLY, default=more, annotation=bool | None
        )
    )
    asks.__annotations__ = {item.name: item.annotation for item in parameters}
    asks.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return asks


def _same(word: str) -> str:
    """Words are parsed by the settings, not by Typer: it would refuse names of files that are no text."""
    return word


def _input(word: str, metavar: str, help: str) -> Path:
    if not word:
        # As where a shell's variable is not set; it would be the current folder.
        raise UsageError(f"{metavar} is empty; give {help}")
    return Path(word)


def _value(item: Field[Any], words: Any) -> Any:
    """A setting's value from its option's words. Raises UsageError."""
    if words is True:
        return True
    try:
        parse = item.metadata["parse"]
        return tuple(parse(word) for word in words) if item.metadata["repeat"] else parse(words)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{flag(item)}: {error}") from error


def help_of(item: Field[Any], verb: str) -> str:
    """A setting's help where it is an option of ``verb``."""
    return str(item.metadata["elsewhere"].get(verb, item.metadata["help"]))


def told(item: Field[Any], verb: str) -> str:
    """The same with its default."""
    default = item.default
    return help_of(item, verb) + (
        f" (default: {default})"
        if default not in ("", "*") and (default or type(default) is int)
        else ""
    )


def choices_of(item: Field[Any]) -> tuple[str, ...]:
    """The words that a setting can be, where they can be listed."""
    parse = item.metadata["parse"]
    if isinstance(parse, OneOf):
        return parse.choices
    if parse is device_word:
        return DEVICES
    if item.name == "task":
        from pipeline.tasks import names

        return names()
    return ()


def _beginning(choices: Sequence[str]) -> Callable[[str], list[str]]:
    def completes(incomplete: str) -> list[str]:
        return [word for word in choices if word.startswith(incomplete)]

    return completes


class _Command(TyperCommand):
    """A verb whose help takes one line an option, so that it fits a screen."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints the help: options under the headings of their groups."""
        assert self.name is not None
        show_help(self.name)


def show_help(name: str, console: Console | None = None, *, everything: bool = False) -> None:
    """Prints the help of a verb: the options that people need most, or all of them."""
    verb, console = VERBS[name], console or Console()
    items = [item for item in options(name) if everything or name not in item.metadata["rare"]]
    inputs = f" {verb.inputs[0]}{'...' if name == 'run' else ''}" if verb.inputs else ""
    # Where nothing is given to be taken apart the task has a default.
    task = (
        " --task TASK" if verb.inputs and any(item.name == "task" for item in options(name)) else ""
    )
    console.print(
        Text(f"{program()} {name}{inputs}{task} [options]", "bold"),
        Text(f"{verb.help}"),
        sep="\n",
        soft_wrap=True,
    )
    groups: dict[str, list[tuple[str, str]]] = {}
    if verb.inputs:
        groups[items[0].metadata["group"]] = [verb.inputs]
    for item in items:
        groups.setdefault(item.metadata["group"], []).append(
            (f"{flag(item)} {item.metadata['metavar']}".rstrip(), told(item, name))
        )
    width = max(len(option) for rows in groups.values() for option, _ in rows)
    for group, rows in groups.items():
        console.print(Text(group, "yellow"))
        table = Table.grid(padding=(0, 2))
        table.add_column(min_width=width, no_wrap=True, style="cyan")
        table.add_column()
        for option, help in rows:
            table.add_row(Text(option), Text(help))
        console.print(Padding(table, (0, 0, 0, 2)))
    if task:
        from pipeline.tasks import names

        console.print(Text(f"tasks: {', '.join(names())}", "dim"), soft_wrap=True)
    if name == "run":
        console.print(Text(f"example: {EXAMPLE}", "dim"), soft_wrap=True)
    if left := len(options(name)) - len(items):
        console.print(Text(f"{HELP_ALL} shows {left} options more", "dim"))


def settings_from(verb: str, words: Sequence[str]) -> Settings:
    """The settings that ``words`` (without the verb) ask for. Raises UsageError; ``--help`` exits with 0."""
    given, back = read_words(verb, words)
    if (path := given.get("config")) is not None:
        from pipeline.config import read_config

        given = {**read_config(path, verb), **given}
    for name in back:
        given.pop(name, None)
    inputs = VERBS[verb].inputs
    if inputs is not None and not given.get("inputs"):
        raise UsageError(f"{verb} needs {inputs[0]}: {inputs[1]}")
    return Settings(**given)
