"""The task ``transition``: undo the dissolves, fades, wipes and irises of a clip."""

from pipeline.tasks.transition.run import TASK

__all__ = ["TASK"]
