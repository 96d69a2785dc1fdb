"""Check that a frame-wise run fits into the memory and onto the disk that there are."""

from __future__ import annotations

from pipeline.framewise.recipe import LEAST_WINDOW, Recipe
from pipeline.framewise.things import requested_things
from pipeline.runtime.memory import (
    check_disk,
    check_memory,
    planned_bytes,
    tight_memory_warning,
    uncompressed_bytes,
)
from pipeline.task import Job
from stages.media.clip import ClipInfo
from stages.media.sniff import printable

LOSSLESS_RATIO = 2
"""By how much lossless video is assumed to compress."""


def max_window_frames(job: Job, recipe: Recipe, unordered: bool) -> int:
    """Return how many frames a window may have in the memory there is.

    unordered: whether the input is separate pictures, which form one window.
    Raises UnlayerError where even the shortest window does not fit.
    """
    info = job.clip.info
    frame_bytes = recipe.memory * 3 * info.height * info.width
    least = LEAST_WINDOW
    if unordered:
        least = len(job.clip.paths)
    elif info.frames == 1:
        least = 1
    max_frames = max(least, int(planned_bytes(job.settings) / frame_bytes))
    window = least
    if not unordered:
        window = min(recipe.lengths(max_frames)[0], info.frames or max_frames)
    for warning in (
        check_memory(frame_bytes * least, job.settings, _frames_named(info, least)),
        tight_memory_warning(frame_bytes * window, _frames_named(info, window)),
    ):
        if warning:
            job.stages.warn(warning)
    return max_frames


def _frames_named(info: ClipInfo, count: int) -> str:
    """Return what a message calls ``count`` frames of the clip."""
    frames = f"{count} frames" if count > 1 else "a frame"
    return f"{printable(info.path)}: {frames} of {info.width}x{info.height}"


def check_layers_fit(job: Job, recipe: Recipe, frame_count: int) -> int:
    """Return about how many bytes lossless layers take; 0 where that need not be known.

    frame_count: of the clip. Other layers are small enough not to be checked.
    Raises UnlayerError where the disk has not so many.
    """
    info = job.clip.info
    if not job.settings.loses_nothing or info.is_picture:
        return 0
    uncompressed = uncompressed_bytes(info) * frame_count * layer_count(job, recipe)
    needed = uncompressed // LOSSLESS_RATIO
    check_disk(job.work, needed)
    return needed


def layer_count(job: Job, recipe: Recipe) -> int:
    """Return how many layers the run writes, as far as that is known before it.

    Of ``--layers auto``, nobody knows how many things there are; one is assumed.
    """
    things = max(1, requested_things(job.settings)) if recipe.division is not None else 1
    return sum(things if output.divided else 1 for output in recipe.outputs)
