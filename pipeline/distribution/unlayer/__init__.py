"""Unlayer from Python: all that ``pipeline`` offers, under the name of the program.

    from unlayer import separate

It works in any folder, also beside a ``pipeline``, ``stages`` or ``models`` of somebody else.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline import (
        LayerResult,
        Separated,
        UnlayerError,
        UsageError,
        __version__,
        separate,
    )

__all__ = ["LayerResult", "Separated", "UnlayerError", "UsageError", "__version__", "separate"]


def _load_pipeline() -> None:
    """Load our ``pipeline``, wherever Python would look for one.

    Raises ImportError where another package with this name is loaded already.
    """
    # Installed, this package lies beside it; in a checkout, inside of it.
    root = next(
        folder
        for folder in Path(__file__).resolve().parents
        if (folder / "pipeline" / "own_packages.py").is_file()
    )
    place = root / "pipeline"
    loaded = sys.modules.get("pipeline")
    if loaded is not None:
        if place in [Path(folder).resolve() for folder in getattr(loaded, "__path__", [])]:
            return
        raise ImportError(
            "unlayer has a package 'pipeline', but another one is loaded already; "
            "import unlayer first, or in a program of its own"
        )
    spec = importlib.util.spec_from_file_location(
        "pipeline", place / "__init__.py", submodule_search_locations=[str(place)]
    )
    assert spec is not None and spec.loader is not None, f"{place} has no package"
    module = importlib.util.module_from_spec(spec)
    sys.modules["pipeline"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules["pipeline"]
        raise


_load_pipeline()


def __getattr__(name: str) -> Any:
    """Load what this package offers when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(sys.modules["pipeline"], name)
