"""The search for transitions as runs and ``probe`` do it: one streaming pass over small frames, with its progress told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, takewhile
from typing import Any, TypeVar

from pipeline.runtime.progress import Step
from pipeline.settings import Settings
from pipeline.tasks.transition.describe import described
from stages.checkpoint import CheckpointStore, Nothing
from stages.errors import UsageError
from stages.find.search import find, search_size
from stages.find.timeline import Event, Plain
from stages.media.clip import FrameIndex, Frames
from stages.media.read import Clip
from stages.shots import Analysis, ColorGap, Shot, Transition

Part = TypeVar("Part", Shot, Transition, ColorGap)

EVERY = 30.0
"""Seconds of the search after which its standing, some 25 MB, is kept."""


@dataclass(frozen=True)
class Searched:
    """What the search learnt. times: of the frames from ``first`` on. seen: what lets the clip be read in the middle."""

    analysis: Analysis
    first: int
    times: list[Fraction]
    seen: FrameIndex


def search(
    clip: Clip,
    settings: Settings,
    step: Step,
    enough: Callable[[], bool] = lambda: False,
    keeper: CheckpointStore | None = None,
) -> Searched:
    """Shots and transitions of the clip; once ``enough`` answers yes the rest is left out. An interrupted search goes on where ``keeper``
    has it.

    Frames count as in the whole clip, ``Analysis.frames`` are those that were decoded: fewer where ``--start`` or ``--end`` trims.
    Raises UsageError for a ``--transition`` outside the clip.
    """
    keeper = keeper or Nothing()
    begin, times, standing = 0, [], None
    if (kept := keeper.newest("search", FrameIndex, Event, Plain)) is not None:
        begin, times, standing, clip.seen = kept
    small = clip.blocks(begin + len(times), size=search_size(clip.info.width, clip.info.height))
    blocks = counted(small, clip.info.frames, step, times.extend)
    head = next(blocks, None)
    blocks = takewhile(lambda block: not enough(), blocks)
    offset = begin if kept or not head else head.first
    for first, last in settings.transition:
        if first < offset:
            raise UsageError(
                f"--transition {first}:{last} begins before the first frame that --start leaves, {offset}; choose another range"
            )

    def before(tell: Callable[[], dict[str, Any]]) -> None:
        # The block that comes next is among the frames that were seen: a clip can be sought only where it is known.
        if keeper.due(EVERY):
            standing = tell()
            keeper.save_if_due(
                "search",
                (offset, times[: standing["first"] + len(standing["frames"])], standing, clip.seen),
            )

    # The search counts the frames it is given from 0.
    given = (
        Frames(block.pixels, block.times, block.first - offset)
        for block in chain([head] if head else [], blocks)
    )
    spans = [(first - offset, last - offset) for first, last in settings.transition]
    try:
        found = find(given, overrides=spans, standing=standing, before=before)
    except UsageError as error:
        if not offset:
            raise
        raise UsageError(
            f"--transition lies outside the frames, from {offset} on, that the trim leaves; choose others"
        ) from error
    return Searched(moved(found, offset) if offset else found, offset, times, clip.seen)


def probe(clip: Clip, settings: Settings, step: Step) -> Mapping[str, Any]:
    """Search the clip and return what was found, as JSON values."""
    return described(search(clip, settings, step).analysis)


def moved(analysis: Analysis, by: int) -> Analysis:
    """The same analysis with ``by`` added to every frame number."""

    def later(parts: Iterable[Part]) -> tuple[Part, ...]:
        return tuple(
            replace(part, first_frame=part.first_frame + by, last_frame=part.last_frame + by)
            for part in parts
        )

    return Analysis(
        analysis.frames, later(analysis.shots), later(analysis.transitions), later(analysis.colors)
    )


def counted(
    blocks: Iterable[Frames],
    frames: int | None,
    step: Step,
    seen: Callable[[Iterable[Fraction]], None] = lambda times: None,
) -> Iterator[Frames]:
    """The same blocks, with a step told for each and its ``times`` to ``seen``. ``frames``: how many are expected; where that is unknown
    the fraction stays 0."""
    for block in blocks:
        seen(block.times)
        yield block
        done = block.last + 1
        step(
            done / frames if frames else 0.0,
            f"frame {done} of {frames}" if frames else f"frame {done}",
        )
