"""Search a clip for transitions: one pass over small frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, takewhile
from typing import Any, TypeVar

from pipeline.runtime.progress import Step
from pipeline.settings import Settings
from pipeline.timeline.clock import ListClock, check_times, frames_of, time_code_of
from pipeline.timeline.shot_list import read_shot_list
from stages.diagnosis import Diagnosed
from stages.errors import UsageError
from stages.find.listed import measure_listed
from stages.find.search import find, search_size
from stages.find.timeline import PlainFrame, TransitionEvent, analysis_of
from stages.media.clip import FrameIndex, Frames
from stages.media.read import Clip
from stages.optim.threads import read_ahead
from stages.shots import Analysis, ColorGap, Shot, Transition
from stages.storage.checkpoint import CheckpointStore, NoCheckpoints

Part = TypeVar("Part", Shot, Transition, ColorGap)

SAVE_INTERVAL = 30.0
"""Seconds between two checkpoints of the search's state, which has about 25 MB."""


@dataclass(frozen=True)
class SearchResult:
    """What the search found.

    analysis: the shots, transitions and stretches of plain colour.
    first: number of the first frame that was read.
    times: presentation time, in seconds, of every frame from ``first`` on.
    frame_index: lets the clip be read from the middle.
    source: where it comes from: ``search``, ``cache`` (an earlier search) or ``list`` (the user).
    diagnosed: what ``probe`` said is in the clip, where it was asked.
    """

    analysis: Analysis
    first: int
    times: list[Fraction]
    frame_index: FrameIndex
    source: str = "search"
    diagnosed: Diagnosed | None = None


def search(
    clip: Clip,
    settings: Settings,
    step: Step,
    enough: Callable[[], bool] = lambda: False,
    checkpoints: CheckpointStore | None = None,
) -> SearchResult:
    """Find the shots and transitions of a clip.

    step: gets the progress.
    enough: returns True once the rest of the clip is to be left out.
    checkpoints: where an interrupted search finds its state again.

    Frame numbers count from the beginning of the whole clip. ``Analysis.frames`` counts the
    decoded frames: fewer than the clip has, where ``--start`` or ``--end`` trims it.
    Raises UsageError for a ``--transition`` outside the clip.
    """
    if settings.shots is not None:
        return search_of_list(clip, settings.shots, step)
    checkpoints = checkpoints or NoCheckpoints()
    saved = _saved_search(checkpoints)
    if saved is not None:
        clip.frame_index = saved.frame_index
    times = [] if saved is None else saved.times
    blocks = _small_blocks(clip, 0 if saved is None else saved.next_frame, step, times)
    head = next(blocks, None)
    rest = takewhile(lambda block: not enough(), blocks)
    offset = _first_frame(head, saved)
    spans = _spans_from(offset, [frames_of(span, clip.info) for span in settings.transition])

    def save_state(state_of_search: Callable[[], dict[str, Any]]) -> None:
        # The frame index already holds the block that comes next: reading can start only there.
        if checkpoints.due(SAVE_INTERVAL):
            state = state_of_search()
            searched = times[: state["first"] + len(state["frames"])]
            checkpoints.save_if_due("search", (offset, searched, state, clip.frame_index.copy()))

    try:
        analyzed = find(
            _counted_from(offset, chain([head] if head else [], rest)),
            overrides=spans,
            state=None if saved is None else saved.state,
            on_block=save_state,
        )
    except UsageError as error:
        raise _error_about_transition(error, offset) from error
    analysis = shifted(analyzed, offset) if offset else analyzed
    # The index also has the frames before --start. Pictures have none, and lie evenly.
    if known_times := clip.frame_index.times:
        check_times(settings.transition, clip.info, known_times)
    return SearchResult(analysis, offset, times, clip.frame_index)


@dataclass(frozen=True)
class SavedSearch:
    """What an interrupted search had found.

    first: number of the first frame that it read. times: of the frames that it searched, in
    seconds. state: of the search itself, see :func:`stages.find.search.find`. frame_index: lets the
    clip be read from where the search was.
    """

    first: int
    times: list[Fraction]
    state: dict[str, Any]
    frame_index: FrameIndex

    @property
    def next_frame(self) -> int:
        """The number of the frame that it reads next."""
        return self.first + len(self.times)


def _saved_search(checkpoints: CheckpointStore) -> SavedSearch | None:
    """Return an interrupted search, or ``None`` where there is none."""
    saved = checkpoints.newest("search", FrameIndex, TransitionEvent, PlainFrame)
    return None if saved is None else SavedSearch(*saved)


def _first_frame(head: Frames | None, saved: SavedSearch | None) -> int:
    """Return the number of the first frame that the whole search reads.

    head: the first block of this process, where there is one.
    """
    if saved is not None:
        return saved.first
    return 0 if head is None else head.first


def _small_blocks(clip: Clip, first: int, step: Step, times: list[Fraction]) -> Iterator[Frames]:
    """Yield the clip's frames from ``first`` on, at the size of the search.

    step: gets the progress. times: the frames' times are added to it.
    """
    size = search_size(clip.info.width, clip.info.height)
    blocks = read_ahead(clip.blocks(first, size=size))
    return with_progress(blocks, clip.info.frames, step, times.extend)


def _counted_from(offset: int, blocks: Iterable[Frames]) -> Iterator[Frames]:
    """Yield blocks whose frames are counted from ``offset``, as the search counts them."""
    for block in blocks:
        yield Frames(block.pixels, block.times, block.first - offset)


def _error_about_transition(error: UsageError, offset: int) -> UsageError:
    """Return the search's error about a ``--transition``, with numbers that the user knows.

    The search counts from the first frame that it gets. That is the user's count only where
    ``offset``, the number of that frame, is 0.
    """
    if not offset:
        return UsageError(f"--transition {error}")
    return UsageError(
        "--transition lies outside the frames that --start and --end leave, which begin "
        f"at {offset}; choose others"
    )


def _spans_from(offset: int, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges of ``--transition`` with their frames counted from ``offset``.

    Raises UsageError where a range begins before it.
    """
    for first, last in spans:
        if first < offset:
            raise UsageError(
                f"--transition {first}:{last} begins before the first frame that --start leaves, "
                f"{offset}; choose another range"
            )
    return [(first - offset, last - offset) for first, last in spans]


def search_of_list(clip: Clip, text: str, step: Step) -> SearchResult:
    """Return what a shot list says, with the weights measured in one pass over the clip.

    text: of the list. Raises UsageError where the list is wrong, or does not fit the clip.
    """
    clock = ListClock(clip.info.rate, *time_code_of(clip.info))
    times: list[Fraction] = []
    blocks = _small_blocks(clip, 0, step, times)
    head = next(blocks, None)
    if head is None:
        return SearchResult(Analysis(0, (), ()), 0, [], clip.frame_index)
    try:
        shots = read_shot_list(text, clock, head.first)
        begin, end, events = measure_listed(chain([head], blocks), shots.transitions)
        analysis = analysis_of(end - begin + 1, shots.timeline(end), events)
    except UsageError as error:
        raise UsageError(f"--shots: {error}") from error
    except ValueError as error:
        raise UsageError(f"--shots: {error}; each frame must be in exactly one row") from error
    return SearchResult(analysis, begin, times, clip.frame_index, "list")


def shifted(analysis: Analysis, offset: int) -> Analysis:
    """Return the same analysis with ``offset`` added to every frame number."""

    def later(parts: Iterable[Part]) -> tuple[Part, ...]:
        return tuple(
            replace(
                part, first_frame=part.first_frame + offset, last_frame=part.last_frame + offset
            )
            for part in parts
        )

    transitions = tuple(
        transition
        if transition.event is None
        else replace(transition, event=(transition.event[0] + offset, transition.event[1] + offset))
        for transition in later(analysis.transitions)
    )
    return Analysis(analysis.frames, later(analysis.shots), transitions, later(analysis.colors))


def with_progress(
    blocks: Iterable[Frames],
    frame_count: int | None,
    step: Step,
    on_times: Callable[[Iterable[Fraction]], None] = lambda times: None,
) -> Iterator[Frames]:
    """Yield the same blocks and report progress after each.

    frame_count: how many frames are expected; where it is ``None`` the fraction stays 0.
    on_times: gets the times of each block's frames.
    """
    for block in blocks:
        on_times(block.times)
        yield block
        done = block.last + 1
        if frame_count:
            step(done / frame_count, f"frame {done} of {frame_count}")
        else:
            step(0.0, f"frame {done}")
