"""The output containers: each module of this folder that has a ``CONTAINER`` is one.

:mod:`stages.media.containers.base` says what a container is made of.
``tests/stages/media/test_container_contract.py`` runs the same tests over all of them.
"""

from __future__ import annotations

import importlib
import pkgutil

from stages.media.containers.base import LayerContainer


def _discovered() -> dict[str, LayerContainer]:
    """Import every module of this folder and return the containers by name, in the files' order."""
    containers: dict[str, LayerContainer] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        found = getattr(importlib.import_module(f"{__name__}.{module.name}"), "CONTAINER", None)
        if found is not None:
            assert isinstance(found, LayerContainer), f"{module.name}.CONTAINER is no container"
            assert found.name not in containers, f"there are two containers named {found.name}"
            containers[found.name] = found
    return containers


LAYER_CONTAINERS = _discovered()
"""All containers by name."""
