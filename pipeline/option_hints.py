"""Add the command-line options that can help to the messages of errors."""

from __future__ import annotations

from stages.errors import UnlayerError


def with_options(error: UnlayerError) -> str:
    """Return an error's message, followed by the options of the settings that it names.

    The stages know settings, such as ``max_pixels``, but no options. The option has the same name:
    ``film.mkv: is 9000x9000, ...; scale it down, or allow more (--max-pixels)``.
    """
    options = ", ".join(f"--{name.replace('_', '-')}" for name in error.settings)
    return f"{error} ({options})" if options else str(error)
