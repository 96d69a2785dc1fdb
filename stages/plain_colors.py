"""Plain colours as text, the way the manifest has them."""

from __future__ import annotations


def rgb_of(color: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a colour ``#rrggbb``."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue
