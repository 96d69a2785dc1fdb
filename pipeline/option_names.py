"""Put the names that the user types into messages: options, or in Python the settings' names.

The stages know settings, such as ``max_pixels``, but no options. An option has the same name:
``--max-pixels``. The messages of :mod:`pipeline` name options, which a Python caller does not type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.option_fields import flag
from pipeline.settings import options
from stages.errors import UnlayerError

OUT_OF_MEMORY = (
    "out of memory; close other programs, choose --preset fast, or take a part with --start and "
    "--end"
)
"""What to say where the machine's own memory ran out."""


def with_options(error: UnlayerError) -> str:
    """Return an error's message, followed by the options of the settings that it names.

    Example: ``film.mkv: is 9000x9000, ...; scale it down, or allow more (--max-pixels)``.
    """
    named = ", ".join(f"--{name.replace('_', '-')}" for name in error.settings)
    return f"{error} ({named})" if named else str(error)


def with_named_options(text: str) -> str:
    """Return a note's text with the option of each setting that it names in braces.

    ``{strength} 2 removes it`` becomes ``--strength 2 removes it``.
    """
    for item in options("run"):
        text = text.replace(f"{{{item.name}}}", flag(item))
    return text


@contextmanager
def python_names() -> Iterator[None]:
    """Make the errors raised inside name settings as Python callers write them.

    An error's message is changed by :func:`with_setting_names`; its class and traceback stay.
    """
    try:
        yield
    except UnlayerError as error:
        text = with_setting_names(str(error))
        if error.settings:
            text = f"{text} ({', '.join(error.settings)})"
        error.args = (text,)
        raise


def with_setting_names(text: str) -> str:
    """Return a message with ``--max-seconds`` written ``max_seconds``, and so on.

    Options of another command (``probe --csv``) stay, because Python callers do not have them.
    """
    for item in options("run"):
        text = re.sub(rf"(?<!probe )(?<!batch )(?<![\w-]){flag(item)}(?![\w-])", item.name, text)
    return text
