"""Make a checkout look like an installation: one package, ``unlayer``, which holds all others.

The sources say ``from stages.errors import UnlayerError``. In a wheel this reads ``from
unlayer.stages.errors import UnlayerError``, because ``setup.py`` passes each file through
:func:`with_prefixed_imports`. From a checkout, or an editable installation of one, modules pass
through the same function when they are loaded. So in both cases a ``pipeline``, ``stages`` or
``models`` of somebody else may be loaded in the same process. A wheel has no need of this module
and lacks it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import decode_source
from pathlib import Path
from types import CodeType, ModuleType

NAMES = ("pipeline", "stages", "models")
"""The packages that ``unlayer`` holds."""

ROOT = Path(__file__).resolve().parents[3]
"""The checkout."""

_OURS = "|".join(NAMES)
_FROM = re.compile(rf"^( *)from (?=(?:{_OURS})(?:\.[\w.]+)? import\b)", re.MULTILINE)
_IMPORT = re.compile(rf"^( *)import (?=(?:{_OURS})$)", re.MULTILINE)


def with_prefixed_imports(source: str) -> str:
    """Return a source file with every import of our packages taken from ``unlayer``.

    ``from stages.errors import X`` becomes ``from unlayer.stages.errors import X``, and ``import
    stages`` becomes ``from unlayer import stages``. Lines keep their numbers.
    """
    return _IMPORT.sub(r"\1from unlayer import ", _FROM.sub(r"\1from unlayer.", source))


class RenamingLoader(SourceFileLoader):
    """Loads a source file as a module of ``unlayer``.

    Its bytecode is not cached: a cached file would be that of the module's plain name.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Return the module's code, with its imports changed."""
        path = self.get_filename(fullname)
        source = with_prefixed_imports(decode_source(self.get_data(path)))
        return compile(source, path, "exec", dont_inherit=True)


class CheckoutFinder(MetaPathFinder):
    """Finds the modules of ``unlayer`` in the checkout."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module of ``unlayer`` is, and nothing for any other."""
        parts = name.split(".")
        if parts[0] != "unlayer" or len(parts) == 1:
            return None
        is_top = len(parts) == 2 and parts[1] in NAMES
        spec = PathFinder.find_spec(name, [str(ROOT)] if is_top else path)
        if spec is not None and spec.origin is not None:
            spec.loader = RenamingLoader(name, spec.origin)
        return spec


def install_finder() -> str:
    """Let ``unlayer`` find its modules, and return the name of its package ``pipeline``.

    Where the checkout's ``pipeline`` is loaded already, as by ``python -m pipeline``, that one is
    used. Nothing is loaded twice then.
    """
    loaded = sys.modules.get("pipeline")
    places = [Path(place).resolve() for place in getattr(loaded, "__path__", [])]
    if ROOT / "pipeline" in places:
        return "pipeline"
    if not any(isinstance(finder, CheckoutFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, CheckoutFinder())
    return "unlayer.pipeline"
