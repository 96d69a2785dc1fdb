"""Put the names of command-line options into the messages and notes of the stages.

The stages know settings, such as ``max_pixels``, but no options. An option has the same name.
"""

from __future__ import annotations

from pipeline.option_fields import flag
from pipeline.settings import options
from stages.errors import UnlayerError


def with_options(error: UnlayerError) -> str:
    """Return an error's message, followed by the options of the settings that it names.

    Example: ``film.mkv: is 9000x9000, ...; scale it down, or allow more (--max-pixels)``.
    """
    options = ", ".join(f"--{name.replace('_', '-')}" for name in error.settings)
    return f"{error} ({options})" if options else str(error)


def with_named_options(text: str) -> str:
    """Return a note's text with the option of each setting that it names in braces.

    ``{strength} 2 removes it`` becomes ``--strength 2 removes it``.
    """
    for item in options("run"):
        text = text.replace(f"{{{item.name}}}", flag(item))
    return text
