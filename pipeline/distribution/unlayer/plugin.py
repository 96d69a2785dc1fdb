"""Everything that a task from outside this project may import; see :mod:`pipeline.plugin`.

from unlayer.plugin import Output, Recipe, Separation, SeparationContext, layered_task
"""

from pipeline.plugin import *  # noqa: F403
from pipeline.plugin import __all__ as __all__
