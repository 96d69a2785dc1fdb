"""The kinds of transition, one file each: every module of this folder that has a ``KIND`` is one.

:mod:`stages.kinds.base` says what a kind is made of. ``tests/stages/kinds/test_kind_contract.py``
runs the same tests over all of them.
"""

from __future__ import annotations

from stages.kinds import cut, dissolve, other, pixels, wipe
from stages.kinds.base import Filter, TransitionKind, WipePattern
from stages.registry import entries_in

TRANSITION_KINDS = entries_in(__name__, __path__, "KIND", TransitionKind)
"""All kinds by name."""

CUT = cut.KIND.name
"""The kind of a boundary without mixed frames."""
DISSOLVE = dissolve.KIND.name
"""The kind whose frames have one weight each."""
WIPE = wipe.KIND.name
"""The kind of a matte whose pattern is not known."""
PIXELS = pixels.KIND.name
"""The kind in which each pixel changes at a time of its own."""
OTHER = other.KIND.name
"""The kind of a boundary that no model explains."""

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

FILTERS: dict[str, Filter] = {
    name: apply for kind in TRANSITION_KINDS.values() for name, apply in kind.filters.items()
}
"""What the filters of all kinds do to both scenes of a dissolve, by name."""


def kind_of_filter(name: str) -> str:
    """Return the name of the kind that has the filter ``name``."""
    return next(kind.name for kind in TRANSITION_KINDS.values() if name in kind.filters)


def kind_of_pattern(name: str) -> str:
    """Return the name of the kind that has the pattern ``name``."""
    return next(kind.name for kind in TRANSITION_KINDS.values() if name in kind.patterns)
