"""Find ``stages`` and ``models`` beside this package, whatever else has these names.

This is for ``python -m pipeline`` in a checkout. Many projects have a folder ``models``. Python
looks into the current folder first, and would take that one for ours. The package ``unlayer`` needs
none of this, as it holds its own packages under names of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

NAMES = ("stages", "models")
"""The packages that lie beside this one."""

ROOT = Path(__file__).parents[1]
"""The folder that holds all three."""


class OwnPackages(MetaPathFinder):
    """Finds the packages :data:`NAMES` in :data:`ROOT` alone."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where one of our packages is, and nothing for any other."""
        return PathFinder.find_spec(name, [str(ROOT)]) if name in NAMES else None


def claim_names() -> None:
    """Let the names of our packages mean ours from now on.

    Raises ImportError where another package with such a name is loaded already.
    """
    for name in NAMES:
        loaded = sys.modules.get(name)
        places = [Path(place).resolve() for place in getattr(loaded, "__path__", [])]
        if loaded is not None and (ROOT / name).resolve() not in places:
            where = getattr(loaded, "__file__", None) or next(map(str, places), "nowhere")
            raise ImportError(
                f"pipeline needs its own package {name!r}, but another one is loaded already, from "
                f"{where}; import unlayer instead of pipeline"
            )
    if not any(isinstance(finder, OwnPackages) for finder in sys.meta_path):
        sys.meta_path.insert(0, OwnPackages())
