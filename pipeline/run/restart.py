"""Do a task's work, and begin again where damaged checkpoints stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.run.input_guard import InputGuard
from pipeline.task import Job
from pipeline.tasks import naming_package
from stages.errors import CheckpointError, UnlayerError
from stages.media.clip import FrameIndex

T = TypeVar("T")

RESTARTED = (
    "the checkpoints of an interrupted run were of another input, of other settings or of another "
    "version; the run began again"
)
DAMAGED = "the checkpoints of an interrupted run are damaged; the run began again"
RESTART_WARNINGS = frozenset({RESTARTED, DAMAGED})
"""The warnings of a run that began again. Its old checkpoints are useless, wherever they lie."""


def with_restart(
    work: Callable[[Job], T], job: Job, forget: Callable[[], None], inputs: InputGuard
) -> T:
    """Return ``work(job)``.

    With ``--anew`` the work begins again, once and with a warning, where a checkpoint is damaged.
    forget: removes the checkpoints. inputs: the files that the job reads. Raises CheckpointError
    where a damaged checkpoint stops the work, and InputChangedError where an input was changed.
    """
    try:
        return _attempt(work, job, inputs)
    except CheckpointError:
        if not job.settings.anew:
            raise
    forget()
    job.checkpoints.files_read.clear()
    job.clip.frame_index = FrameIndex()
    job.clip.salvaged = None
    job.stages.warn(DAMAGED)
    return _attempt(work, job, inputs)


def _attempt(work: Callable[[Job], T], job: Job, inputs: InputGuard) -> T:
    try:
        with naming_package(job.settings.task):
            return work(job)
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:
        # An input that was replaced explains whatever went wrong with it.
        inputs.check()
        # PyTorch raises RuntimeError, not MemoryError, when memory runs out.
        if isinstance(error, UnlayerError | OSError) or "memory" in str(error):
            raise
        if not job.checkpoints.files_read:
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(
            f"{job.checkpoints.files_read[-1]}: the run cannot go on from it ({what}); "
            "begin again with --overwrite; --debug shows where it failed"
        ) from error
