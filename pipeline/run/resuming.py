"""A task's work on a job whose checkpoints and inputs may have been changed: both are said in one line, and neither is used unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.run.unchanged import Unchanged
from pipeline.task import Job
from pipeline.tasks import blaming
from stages.errors import CheckpointError, UnlayerError
from stages.media.clip import FrameIndex

T = TypeVar("T")

RESTARTED = "what an interrupted run had kept was of another input, of other settings or of another version; it was begun anew"
DAMAGED = "what an interrupted run had kept is damaged; it was begun anew"
ANEW = frozenset({RESTARTED, DAMAGED})
"""The warnings of a run that was begun anew: what it had kept before is of no use, wherever it was sent to."""


def going_on(
    work: Callable[[Job], T], job: Job, forget: Callable[[], None], inputs: Unchanged
) -> T:
    """Return ``work(job)``; with ``--anew`` it is begun again, once and with a warning, where what was kept is damaged.

    forget: removes what was kept. inputs: the files that the job reads.
    Raises CheckpointError where a damaged checkpoint cannot be gone on from, InputChangedError where an input was changed meanwhile.
    """
    try:
        return _attempt(work, job, inputs)
    except CheckpointError:
        if not job.settings.anew:
            raise
    forget()
    job.keep.read.clear()
    job.clip.seen, job.clip.salvaged = FrameIndex(), None
    job.stages.warn(DAMAGED)
    return _attempt(work, job, inputs)


def _attempt(work: Callable[[Job], T], job: Job, inputs: Unchanged) -> T:
    try:
        with blaming(job.settings.task):
            return work(job)
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:
        # An input that is another file by now explains whatever went wrong with it.
        inputs.check()
        # PyTorch's errors for want of memory are no MemoryError.
        if isinstance(error, UnlayerError | OSError) or "memory" in str(error) or not job.keep.read:
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(
            f"{job.keep.read[-1]}: cannot be gone on from ({what}); begin anew with --overwrite; --debug shows where it failed"
        ) from error
