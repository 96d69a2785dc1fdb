"""Print lines for people as they are: Rich must not take parts of a file name for its markup."""

from __future__ import annotations

from rich.console import Console


def print_line(text: str, console: Console | None = None) -> None:
    """Print one line without markup, colours and line breaks of Rich's.

    console: where to; standard output unless given.
    """
    (console or Console()).print(text, markup=False, highlight=False, soft_wrap=True)
