"""Print lines for people as they are: Rich must not take parts of a file name for its markup."""

from __future__ import annotations

import sys

from rich.console import Console

WARNING = "unlayer: warning:"
"""How a warning begins on standard error."""


def print_warning(text: str) -> None:
    """Print a warning as one line on standard error."""
    print(f"{WARNING} {text}", file=sys.stderr, flush=True)


def print_line(text: str, console: Console | None = None) -> None:
    """Print one line without markup, colours and line breaks of Rich's.

    console: where to; standard output unless given.
    """
    (console or Console()).print(text, markup=False, highlight=False, soft_wrap=True)
