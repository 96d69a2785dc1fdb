"""The search for transitions as runs and ``probe`` do it: one streaming pass over small frames, with its progress told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, takewhile

from pipeline.progress import Step
from pipeline.settings import Settings
from stages.clip import Frames
from stages.errors import UsageError
from stages.find import find, search_size
from stages.read import Clip
from stages.shots import Analysis, Shot


def search(
    clip: Clip,
    settings: Settings,
    step: Step,
    seen: Callable[[Frames], None] = lambda block: None,
    enough: Callable[[], bool] = lambda: False,
) -> Analysis:
    """Shots and transitions of the clip; ``seen`` is shown each block that goes by; once ``enough`` answers yes the rest is left out.

    Frames count as in the whole clip, ``Analysis.frames`` are those that were decoded: fewer where ``--start`` or ``--end`` trims.
    Raises UsageError for a ``--transition`` outside the clip.
    """
    blocks = counted(clip.blocks(size=search_size(clip.info.width, clip.info.height)), clip.info.frames, step, seen)
    head = next(blocks, None)
    blocks = takewhile(lambda block: not enough(), blocks)
    offset = head.first if head else 0
    for first, last in settings.transition:
        if first < offset:
            raise UsageError(
                f"--transition {first}:{last} begins before the first frame that --start leaves, {offset}; choose another range"
            )
    # The search counts the frames it is given from 0.
    given = (Frames(block.pixels, block.times, block.first - offset) for block in chain([head] if head else [], blocks))
    try:
        found = find(given, overrides=[(first - offset, last - offset) for first, last in settings.transition])
    except UsageError as error:
        if not offset:
            raise
        raise UsageError(f"--transition lies outside the frames, from {offset} on, that the trim leaves; choose others") from error
    return moved(found, offset) if offset else found


def moved(analysis: Analysis, by: int) -> Analysis:
    """The same analysis with ``by`` added to every frame number."""
    shots = tuple(Shot(shot.first_frame + by, shot.last_frame + by) for shot in analysis.shots)
    moves = (replace(move, first_frame=move.first_frame + by, last_frame=move.last_frame + by) for move in analysis.transitions)
    return Analysis(analysis.frames, shots, tuple(moves))


def counted(
    blocks: Iterable[Frames], frames: int | None, step: Step, seen: Callable[[Frames], None] = lambda block: None
) -> Iterator[Frames]:
    """The same blocks, with a step told for each. ``frames``: how many are expected; where that is unknown the fraction stays 0."""
    for block in blocks:
        seen(block)
        yield block
        done = block.last + 1
        step(done / frames if frames else 0.0, f"frame {done} of {frames}" if frames else f"frame {done}")
