"""Fades: dissolves from or to a plain colour, which then is one of the two sides."""

from __future__ import annotations

from stages.kinds.base import TransitionKind
from stages.plain_colors import rgb_of

NEARLY = 24  # of 255: how far a colour may be from black or white to be called so


def _through_color(color: str, halves: tuple[str | None, str | None]) -> str:
    """Return FFmpeg's name of a fade through black or white; ``fadethrough`` for other colours."""
    levels = rgb_of(color)
    if max(levels) <= NEARLY:
        return "fadeblack"
    return "fadewhite" if min(levels) >= 255 - NEARLY else "fadethrough"


KIND = TransitionKind("fade", undo="weight", through_color=_through_color)
