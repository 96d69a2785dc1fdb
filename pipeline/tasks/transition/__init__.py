"""The task ``transition``: undo the transitions of a clip."""

from pipeline.tasks.transition.task import TASK

__all__ = ["TASK"]
