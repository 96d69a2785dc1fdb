"""What the user types to start this program."""

from __future__ import annotations

from pipeline import PACKAGE

SCRIPT = "unlayer"
"""The installed program's name, for which the shell completes words."""


def invocation() -> str:
    """Return what the user types to start this program."""
    return SCRIPT if PACKAGE.startswith(SCRIPT) else f"python -m {PACKAGE}"
