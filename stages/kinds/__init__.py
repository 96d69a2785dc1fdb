"""The kinds of transition, one file each: every module of this folder that has a ``KIND`` is one.

:mod:`stages.kinds.base` says what a kind is made of. ``tests/stages/kinds/test_kind_contract.py``
runs the same tests over all of them.
"""

from __future__ import annotations

import importlib
import pkgutil

from stages.kinds.base import TransitionKind, WipePattern


def _discovered() -> dict[str, TransitionKind]:
    """Import every module of this folder and return the kinds by name, in alphabetical order."""
    kinds: dict[str, TransitionKind] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        kind = getattr(importlib.import_module(f"{__name__}.{module.name}"), "KIND", None)
        if kind is not None:
            assert isinstance(kind, TransitionKind), f"{module.name}.KIND is no TransitionKind"
            assert kind.name not in kinds, f"there are two kinds of transition named {kind.name}"
            kinds[kind.name] = kind
    return kinds


TRANSITION_KINDS = _discovered()
"""All kinds by name."""

PATTERNS: dict[str, WipePattern] = dict(
    sorted(
        (
            (name, pattern)
            for kind in TRANSITION_KINDS.values()
            for name, pattern in kind.patterns.items()
        ),
        key=lambda item: not item[1].simple,
    )
)
"""The patterns of all kinds by name, the simple ones first."""


def kind_of_pattern(name: str) -> str:
    """Return the name of the kind that has the pattern ``name``."""
    return next(kind.name for kind in TRANSITION_KINDS.values() if name in kind.patterns)
