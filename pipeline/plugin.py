"""Everything that a task from outside this project may import.

    from unlayer.plugin import Output, Recipe, Separation, SeparationContext, layered_task

Names in ``__all__`` keep their meaning as long as :data:`API_VERSION` stays the same. New names
and new optional arguments do not change it. Names that are removed or that change their meaning
raise it by one, and the changelog says so. All other modules may change at any time.
"""

from __future__ import annotations

from pipeline.framewise.recipe import Division, Output, Recipe
from pipeline.framewise.run import layered_task, run_layered
from pipeline.task import (
    BenchClip,
    Budget,
    DryRun,
    Estimate,
    FitRecord,
    Job,
    Result,
    RunParts,
    RunSummary,
    Task,
    WrittenLayer,
)
from stages.context import ExpectedQuality, FitSettings, Note, Separation, SeparationContext
from stages.diagnosis import ClipSample, Diagnosis, verdict_of
from stages.errors import FitError, UnlayerError, UsageError
from stages.motion.flow import flows, warp
from stages.occlusion import Occlusion
from stages.storage.checkpoint import CheckpointStore

__all__ = [
    "API_VERSION",
    "BenchClip",
    "Budget",
    "CheckpointStore",
    "ClipSample",
    "Diagnosis",
    "Division",
    "DryRun",
    "Estimate",
    "ExpectedQuality",
    "FitError",
    "FitRecord",
    "FitSettings",
    "Job",
    "Note",
    "Occlusion",
    "Output",
    "Recipe",
    "Result",
    "RunParts",
    "RunSummary",
    "Separation",
    "SeparationContext",
    "Task",
    "UnlayerError",
    "UsageError",
    "WrittenLayer",
    "flows",
    "layered_task",
    "require_api",
    "run_layered",
    "verdict_of",
    "warp",
]

API_VERSION = 1
"""The version of this interface."""


def require_api(version: int) -> None:
    """Check that a task written for this ``version`` of the interface can run.

    A package may call it at the top of its module. Raises UnlayerError, which ``doctor`` and
    ``run`` show in one line, where the versions differ.
    """
    if version != API_VERSION:
        raise UnlayerError(
            f"it is written for version {version} of pipeline.plugin, and this is {API_VERSION}"
        )
