"""The task ``transition``: undo the dissolves, fades, wipes and irises of a clip."""

from pipeline.tasks.transition.task import TASK

__all__ = ["TASK"]
