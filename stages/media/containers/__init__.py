"""The output containers: each module of this folder that has a ``CONTAINER`` is one.

:mod:`stages.media.containers.base` says what a container is made of.
``tests/stages/media/test_container_contract.py`` runs the same tests over all of them.
"""

from __future__ import annotations

from stages.media.containers.base import LayerContainer
from stages.registry import entries_in

LAYER_CONTAINERS = entries_in(__name__, __path__, "CONTAINER", LayerContainer)
"""All containers by name."""
