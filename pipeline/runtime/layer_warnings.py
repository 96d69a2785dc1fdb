"""Join the warnings of several layers, so that each thing is said once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MOST_NAMED = 4
"""Most layers that a warning names."""


def joined_warnings(layers: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Return one line for each different warning, which begins with the names of its layers.

    layers: each layer's name and its warnings, in order.

    Example: ``scene-001, scene-002: PNG files cannot say that ...``.
    """
    names_by_text: dict[str, list[str]] = {}
    for name, texts in layers:
        for text in dict.fromkeys(texts):
            names_by_text.setdefault(text, []).append(name)
    return [f"{_listed(names)}: {text}" for text, names in names_by_text.items()]


def _listed(names: Sequence[str]) -> str:
    """Return the names with commas; of many, the first ones and how many more there are."""
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: MOST_NAMED - 1])} and {len(names) - MOST_NAMED + 1} more layers"
