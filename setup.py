"""Build one package, ``unlayer``, out of ``pipeline``, ``stages`` and ``models``.

Everything else about the project stands in ``pyproject.toml``. Installed, the three lie in
``unlayer``, so that they take no name that another project may want. Their imports are changed
accordingly while they are copied.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

OUTER = Path("pipeline/distribution/unlayer")
CHECKOUT = runpy.run_path(str(OUTER / "_checkout.py"))
INNER = find_packages(
    include=[f"{name}*" for name in CHECKOUT["NAMES"]], exclude=["pipeline.distribution*"]
)


class BuildUnderOneName(build_py):
    """Copies modules, with their imports changed."""

    def build_module(self, module: str, module_file: str, package: str) -> Any:
        """Copy one module, unless only a checkout needs it."""
        if module == "_checkout":
            return None
        copy, is_new = super().build_module(module, module_file, package)
        path = Path(copy)
        path.write_text(CHECKOUT["with_prefixed_imports"](path.read_text("utf-8")), "utf-8")
        return copy, is_new


setup(
    packages=["unlayer", *(f"unlayer.{name}" for name in INNER)],
    package_dir={"unlayer": str(OUTER), **{f"unlayer.{n}": n for n in CHECKOUT["NAMES"]}},
    cmdclass={"build_py": BuildUnderOneName},
)
