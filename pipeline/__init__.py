"""The shell around the stages: the command line, a run and its folder, the tasks. Uses ``stages``; nothing uses it.

From Python: ``from pipeline import separate``, see :func:`pipeline.api.separate`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["LayerResult", "Separated", "UnlayerError", "UsageError", "__version__", "separate"]

if TYPE_CHECKING:
    from pipeline.api import LayerResult, Separated, separate
    from stages.errors import UnlayerError, UsageError

# Before PyTorch and NumPy start their threads: threads that spin while they wait for one another stretched a run of 12 seconds to
# more than 200 on a machine that did other things too. NumPy's matrices here are small; PyTorch's threads: see stages/optim/threads.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def __getattr__(name: str) -> Any:
    """What is offered from here is loaded when it is asked for: the command line must not wait for PyTorch to refuse a word."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline import api

    return getattr(api, name)
