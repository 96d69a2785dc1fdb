"""The name of this program, as its user types it."""

from __future__ import annotations

from pipeline import PACKAGE

SCRIPT = "unlayer"
"""The installed program's name, for which the shell completes words."""


def program() -> str:
    """Return what the user types to start this program."""
    return SCRIPT if PACKAGE.startswith(SCRIPT) else f"python -m {PACKAGE}"
