"""Everything around the stages: the command line, a run and its folder, the tasks.

This package uses ``stages``; no other package uses it. From Python: ``from unlayer import
separate``, or in a checkout the same from ``pipeline``; see :func:`pipeline.api.separate`.

Start reading at :mod:`pipeline.run`. The way of a run:

1. ``cli`` reads the command line, ``config`` a file of settings, and ``api`` a call from Python.
   Each of them makes a ``settings.Settings``. ``values`` and ``hint_arguments`` check its words,
   and ``setting_checks`` refuses settings that contradict each other.
2. ``run`` takes one input to a finished folder, ``batch`` one run for each clip of a folder. What
   they stand on (folders, progress, memory, signals) is in ``runtime``.
3. ``tasks`` has the tasks, ``task`` says what one is, and ``framewise`` runs those that split every
   frame into the same layers. They call the ``stages``.
4. ``report`` and ``timeline`` write what a finished run shows to people and to editing software.

Other commands: ``diagnosis`` says what is in a clip (``probe``), ``estimate`` what a run would cost
(``--dry-run``), and ``bench`` measures what runs do cost. ``plugin`` is what a task from outside
this project may import.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pipeline.own_packages import claim_names

__version__ = "0.2.0"
__all__ = [
    "LayerResult",
    "SeparateSettings",
    "Separated",
    "UnlayerError",
    "UsageError",
    "__version__",
    "separate",
]

PACKAGE = __name__
"""The name of this package: ``pipeline``, or ``unlayer.pipeline`` where it is installed."""

if TYPE_CHECKING:
    from pipeline.api import LayerResult, Separated, separate
    from pipeline.setting_types import SeparateSettings
    from stages.errors import UnlayerError, UsageError

# This must be set before PyTorch and NumPy start their threads. With threads that spin while they
# wait, a run of 12 seconds took more than 200 on a busy machine. NumPy's matrices are small here,
# so one thread is enough for it; for PyTorch's threads see stages/optim/threads.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if __name__ == "pipeline":
    claim_names()


def __getattr__(name: str) -> Any:
    """Load what this package offers when it is first used.

    The command line can then refuse a wrong word without waiting for PyTorch.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline import api

    return getattr(api, name)
