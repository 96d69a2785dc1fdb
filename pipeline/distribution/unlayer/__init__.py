"""Unlayer from Python: all that ``pipeline`` offers, under the name of the program.

    from unlayer import separate

It works in any folder, also beside a ``pipeline``, ``stages`` or ``models`` of somebody else, and
in one process with them: this package holds its own as ``unlayer.pipeline`` and so on.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline import (
        LayerResult,
        Separated,
        SeparateSettings,
        UnlayerError,
        UsageError,
        __version__,
        separate,
    )

__all__ = [
    "LayerResult",
    "SeparateSettings",
    "Separated",
    "UnlayerError",
    "UsageError",
    "__version__",
    "separate",
]

try:
    from unlayer._checkout import install_finder
except ModuleNotFoundError:
    # Installed from a wheel.
    _pipeline = "unlayer.pipeline"
else:
    _pipeline = install_finder()


def __getattr__(name: str) -> Any:
    """Load what this package offers when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_pipeline), name)
