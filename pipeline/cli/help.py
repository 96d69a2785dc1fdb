"""Print the help of a command."""

from __future__ import annotations

from dataclasses import Field
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.cli.verbs import EXAMPLE, HELP_ALL, VERBS, formatted_help
from pipeline.option_fields import flag
from pipeline.program import invocation
from pipeline.settings import options


def show_help(verb: str, console: Console | None = None, *, everything: bool = False) -> None:
    """Print the help of a command: the options that people need most, or all of them.

    verb: the command's name. console: where to print, standard output unless given. everything:
    whether to list all options.
    """
    console = console or Console()
    items = [item for item in options(verb) if everything or verb not in item.metadata["rare"]]
    needs_task = VERBS[verb].inputs is not None and any(item.name == "task" for item in items)
    console.print(
        Text(
            f"{invocation()} {verb}{_inputs(verb)}{' --task TASK' if needs_task else ''} [options]",
            "bold",
        ),
        Text(VERBS[verb].help),
        sep="\n",
        soft_wrap=True,
    )
    groups = _groups(verb, items)
    width = max(len(option) for rows in groups.values() for option, _ in rows)
    for group, rows in groups.items():
        console.print(Text(group, "yellow"))
        table = Table.grid(padding=(0, 2))
        table.add_column(min_width=width, no_wrap=True, style="cyan")
        table.add_column()
        for option, help in rows:
            table.add_row(Text(option), Text(help))
        console.print(Padding(table, (0, 0, 0, 2)))
    if needs_task:
        from pipeline.tasks import names

        console.print(Text(f"tasks: {', '.join(names())}", "dim"), soft_wrap=True)
    if verb == "run":
        console.print(Text(f"example: {EXAMPLE}", "dim"), soft_wrap=True)
    if left := len(options(verb)) - len(items):
        console.print(Text(f"{HELP_ALL} shows {left} options more", "dim"))


def _inputs(verb: str) -> str:
    """Return the inputs in the first line of the help."""
    inputs = VERBS[verb].inputs
    if inputs is None:
        return ""
    return f" {inputs[0]}..." if verb == "run" else f" {inputs[0]}"


def _groups(verb: str, items: list[Field[Any]]) -> dict[str, list[tuple[str, str]]]:
    """Return the rows of the help, an option and its meaning, by their headings."""
    groups: dict[str, list[tuple[str, str]]] = {}
    inputs = VERBS[verb].inputs
    if inputs is not None:
        groups[items[0].metadata["group"]] = [inputs]
    for item in items:
        option = f"{flag(item)} {item.metadata['metavar']}".rstrip()
        rows = groups.setdefault(item.metadata["group"], [])
        rows.append((option, formatted_help(item, verb)))
    return groups
