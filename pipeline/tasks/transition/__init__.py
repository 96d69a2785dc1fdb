"""The task ``transition``: undo the dissolves, fades, wipes and irises of a clip.

``task`` tells the rest of the program about it. ``run`` does the work in three steps:

1. ``search`` finds the shots and the transitions, and ``search_cache`` keeps them for later runs.
2. ``separate`` takes one transition apart at a time, and keeps its frames in a ``frame_spool``.
3. ``write`` writes all layers in one pass over the clip, with ``confidence`` if that is asked for.

``describe`` says what was found and made, for the manifest, and ``transition_warnings`` what the
user should know about it. ``dry_run`` and ``probe`` answer the commands of these names. The methods
are in :mod:`stages.find` and :mod:`stages.transition`.
"""

from pipeline.tasks.transition.task import TASK

__all__ = ["TASK"]
