"""Refuse hints that contradict each other: a pixel is foreground or background.

A box only says that the foreground is somewhere inside, so background may lie in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from stages.errors import UsageError
from stages.hint_regions import HintRegion

if TYPE_CHECKING:
    from pipeline.framewise.hint import Hints, HintSource


@dataclass(frozen=True)
class _Drawn:
    """What a hint marks in one frame. frame: its number; ``None`` for every frame."""

    hint: HintSource
    region: HintRegion
    frame: int | None


def check_contradictions(hints: Hints) -> None:
    """Raise UsageError where a pixel of a frame is marked as foreground and as background."""
    pictures = [
        _Drawn(source, source.region(source.picture(), None), hints.frame_of(source))
        for source in hints.sources
        if source.is_picture
    ]
    everywhere = [drawn for drawn in pictures if drawn.frame is None]
    _check_frame(everywhere)
    for frame in dict.fromkeys(drawn.frame for drawn in pictures if drawn.frame is not None):
        _check_frame([*(drawn for drawn in pictures if drawn.frame == frame), *everywhere])
    backgrounds = [drawn for drawn in pictures if not drawn.hint.foreground]
    for source in hints.sources:
        if backgrounds and not source.is_picture:
            _check_clip(source, backgrounds, hints.first)


def _check_frame(drawn: Sequence[_Drawn]) -> None:
    """Raise UsageError where two hints of the same frame contradict each other."""
    for one, other in product(drawn, drawn):
        if one.hint.foreground and not other.hint.foreground:
            _check_pair(one, other)


def _check_clip(source: HintSource, backgrounds: Sequence[_Drawn], first_read: int) -> None:
    """Raise UsageError where a clip marks a pixel that is background in the same frame.

    first_read: the input's first frame that is read.
    """
    numbers = [drawn.frame for drawn in backgrounds if drawn.frame is not None]
    # Backgrounds of every frame are compared in all frames of the clip.
    is_everywhere = len(numbers) < len(backgrounds)
    first, last = (first_read, None) if is_everywhere else (min(numbers), max(numbers))
    for frame, levels in source.frames(first, last):
        region = source.region(levels, None)
        if not bool(region.pixels.any()):
            continue
        for wanted in (frame, None):
            for background in backgrounds:
                if background.frame == wanted:
                    _check_pair(_Drawn(source, region, frame), background)


def _check_pair(foreground: _Drawn, background: _Drawn) -> None:
    """Raise UsageError where both contradict each other.

    A box of the foreground may hold background, but not be full of it.
    """
    inside, outside = foreground.region, background.region
    both = int((inside.pixels & outside.pixels).sum())
    if both == 0 or (inside.is_box and both < int(inside.pixels.sum())):
        return
    pixels = "the same pixel" if both == 1 else f"the same {both} pixels"
    where = "" if foreground.hint.is_picture else f" in frame {foreground.frame}"
    raise UsageError(
        f"{foreground.hint.name} and {background.hint.name}: mark {pixels}{where}; "
        "a pixel is foreground or background"
    )
